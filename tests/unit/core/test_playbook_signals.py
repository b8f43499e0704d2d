"""What ansible-playbook does to a worker that is in the middle of a change, with the real one and its real signals.

Seen with ansible-core 2.19 and 2.21: SIGINT and SIGTERM are handed on to the worker, and the playbook ends without
rescue and always; SIGHUP and SIGKILL end the playbook alone, and the worker goes on to the end of its task.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[3]

ACTION = """
import os, time
from contextlib import nullcontext
from pathlib import Path
from ansible.plugins.action import ActionBase
from ansible_collections.daily_emr.ops.plugins.module_utils._cancel import signals_deferred

class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        folder = Path(self._task.args["folder"])
        noticed = lambda: (folder / "noticed").touch()
        with signals_deferred(noticed) if self._task.args["deferred"] == "yes" else nullcontext():
            (folder / "pid").write_text(str(os.getpid()))
            (folder / "began").touch()
            while not (folder / "go").exists():
                time.sleep(0.02)
            (folder / "changed").touch()
        return result
"""
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - block: [{change: {folder: "{{ folder }}", deferred: "{{ deferred }}"}}]
      rescue: [{file: {path: "{{ folder }}/rescued", state: touch}}]
      always: [{file: {path: "{{ folder }}/always", state: touch}}]
"""


def until(condition: object) -> None:
    """Wait for a condition that has no event of its own."""
    pause = threading.Event()
    while not condition():  # type: ignore[operator]
        pause.wait(0.02)


def struck(folder: Path, number: signal.Signals, *, deferred: bool) -> set[str]:
    """Send a signal to ansible-playbook while its worker makes a change; returns what happened after it."""
    (folder / "action_plugins").mkdir()
    (folder / "action_plugins" / "change.py").write_text(ACTION)
    (folder / "playbook.yml").write_text(PLAYBOOK)
    variables = [f"folder={folder}", f"deferred={'yes' if deferred else 'no'}"]
    # Ansible as it is: the project's settings would refuse a playbook without an inventory.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    program = Path(sys.executable).with_name("ansible-playbook")
    playbook = subprocess.Popen(
        [program, "playbook.yml", *(part for one in variables for part in ("-e", one))],
        cwd=folder,
        env={**inherited, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "LC_ALL": "C.UTF-8"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until(lambda: (folder / "began").exists() or playbook.poll() is not None)
    worker = psutil.Process(int((folder / "pid").read_text()))
    playbook.send_signal(number)
    if not deferred:
        worker.wait()
    elif number != signal.SIGINT:  # after which it waits for its workers
        playbook.wait()
    (folder / "go").touch()
    playbook.wait()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    return {name for name in ("changed", "noticed", "rescued", "always") if (folder / name).exists()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_change_is_not_cut_in_two(tmp_path: Path, number: signal.Signals) -> None:
    happened = struck(tmp_path, number, deferred=True)
    handed_on = number in (signal.SIGINT, signal.SIGTERM)
    assert happened == ({"changed", "noticed"} if handed_on else {"changed"})


def test_without_the_deferral_it_is(tmp_path: Path) -> None:
    """The control of the test above."""
    assert struck(tmp_path, signal.SIGTERM, deferred=False) == set()
