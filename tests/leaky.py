"""A playbook that leaks a secret in every way that `no_log` of ansible-core 2.19 and later leaves open.

Used by the unit tests of the callback `quiet` and by `make chaos`.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

COLLECTIONS = Path(__file__).parents[1] / "collections"
QUIET = "daily_emr.ops.quiet"
SECRET = "CANARY~d41d8cd98f'00b204\"e9"

CONFIG = """
[defaults]
collections_path = {collections}
callbacks_enabled = {callbacks}
localhost_warning = false
home = {folder}/home
local_tmp = {folder}/tmp
retry_files_enabled = false
[connection]
pipelining = true
[diff]
always = true
"""
MODULE = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({"how": {}, "value": {}})
how, value = module.params["how"], module.params["value"]
if how == "warn":
    module.warn("warned of " + value)
if how == "deprecate":
    module.deprecate("deprecated " + value, version="99.0", collection_name="toy.toy")
if how == "raise":
    raise RuntimeError("raised for " + value)
module.exit_json(changed=True, value=value, diff={"before": "", "after": value})
"""
# Each is one way out. All are no_log, and none ends the play.
TASKS = """
- name: Say why an assertion failed
  ansible.builtin.assert: {that: false, fail_msg: "wrong: {{ secret }}"}
- name: Fail with a message
  ansible.builtin.fail: {msg: "failed for {{ secret }}"}
- name: Fail for each
  ansible.builtin.fail: {msg: "failed for {{ item }}"}
  loop: ["{{ secret }}", "{{ secret }}"]
- name: Fail again and again
  ansible.builtin.fail: {msg: "failed for {{ secret }}"}
  register: again
  until: again is succeeded
  retries: 1
  delay: 0
- name: Raise in a module
  talker: {how: raise, value: "{{ secret }}"}
- name: Warn in a module
  talker: {how: warn, value: "{{ secret }}"}
- name: Warn for each
  talker: {how: warn, value: "{{ item }}"}
  loop: ["{{ secret }}"]
- name: Deprecate in a module
  talker: {how: deprecate, value: "{{ secret }}"}
- name: Return a value and a difference
  talker: {how: "", value: "{{ secret }}"}
- name: Copy a file that is not there
  ansible.builtin.copy: {src: "/no/{{ secret }}", dest: /dev/null}
- name: Use a filter that quotes its input
  ansible.builtin.debug: {msg: "{{ secret | from_json }}"}
- name: Show it
  ansible.builtin.debug: {msg: "{{ secret }}"}
- name: Ask with a condition that is no condition
  ansible.builtin.debug: {msg: never}
  when: secret
- name: Give it to a command
  ansible.builtin.command: {argv: ["false", "{{ secret }}"]}
- name: Give it to an environment
  ansible.builtin.command: {argv: ["true"]}
  environment: {TOY_SECRET: "{{ secret }}"}
- name: Give an option that does not exist
  ansible.builtin.ping: {nosuch: "{{ secret }}"}
"""


class Leaky:
    """The playbook in a folder of its own."""

    def __init__(self, folder: Path, *, quiet: bool = True) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "library").mkdir()
        (folder / "library" / "talker.py").write_text(MODULE)
        callbacks = f"daily_emr.ops.gate, {QUIET}" if quiet else "daily_emr.ops.gate"
        config = CONFIG.format(collections=COLLECTIONS, callbacks=callbacks, folder=folder)
        (folder / "ansible.cfg").write_text(config)
        (folder / "secret.json").write_text(json.dumps({"secret": SECRET}))
        (folder / "hosts.ini").write_text(f"toy ansible_connection=local ansible_python_interpreter={sys.executable}\n")
        tasks = TASKS.replace("\n-", "\n\n-").strip().split("\n\n")
        play = "- hosts: toy\n  gather_facts: false\n  no_log: true\n  ignore_errors: true\n"
        play += (
            "  vars: {secret: \"{{ (lookup('ansible.builtin.file', 'secret.json') | from_json).secret }}\"}\n  tasks:\n"
        )
        (folder / "leaky.yml").write_text(play + "".join(f"    {line}\n" for one in tasks for line in one.splitlines()))

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
        return {**kept, "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"), "HOME": str(self.folder)}

    def play(self, *arguments: str) -> str:
        """All that ansible-playbook says, and what it leaves in its log."""
        log = self.folder / "log"
        done = subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.ini", "leaky.yml", *arguments],
            cwd=self.folder,
            env={**self.environment(), "ANSIBLE_LOG_PATH": str(log)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if "PLAY RECAP" not in done.stdout:
            raise AssertionError(done.stdout + done.stderr)
        return done.stdout + done.stderr + log.read_text()


def forms(value: str) -> Iterator[str]:
    """A value as it is, its longer words, and the value as what prints it would write it."""
    raw = value.encode()
    yield from re.findall(r"\w{9,}", value)
    yield value
    yield json.dumps(value)[1:-1]
    yield repr(value)[1:-1]
    yield quote(value, safe="")
    yield quote(value)
    # Wherever it begins in what is encoded as a whole: three ways, without the ends that depend on the neighbours.
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode()
        yield encoded[4 if before else 0 : len(encoded) - 4]


def hits(text: str, value: str = SECRET) -> list[str]:
    """The forms of a value that a text holds."""
    return [form for form in dict.fromkeys(forms(value)) if form in text]
