"""Semaphore passes the answers of a survey as extra vars, which Ansible executes as templates: none may get that far.

Its server checks no answer, so a task may also carry variables that no survey asks for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._inputs import input_refusals
from ansible_collections.daily_emr.ops.plugins.plugin_utils.guard import LIFE_CYCLE_ROLE, declared_options

from daily_emr_runbooks.catalogue import Job, jobs
from daily_emr_runbooks.project import Project

ROOT = Path(__file__).resolve().parents[3]
JOBS = {job.name: job for job in jobs(Project(ROOT))}
GUARD = "guard"
# Names that Ansible itself evaluates before the first task of a play, or with it.
OF_ANSIBLE = ("ansible_connection", "ansible_become", "ansible_python_interpreter", "ansible_check_mode")


def play_of(playbook: str) -> dict[str, Any]:
    play: dict[str, Any] = yaml.safe_load((ROOT / playbook).read_text())[0]
    return play


def roles_of(playbook: str) -> list[str]:
    return [entry["role"] for entry in play_of(playbook)["roles"]]


def first_role(role: str) -> str:
    """The role whose tasks run first when this one is named."""
    path = ROOT / "roles" / role / "meta/main.yml"
    needs = (yaml.safe_load(path.read_text()) or {}).get("dependencies") or [] if path.is_file() else []
    return first_role(needs[0]["role"]) if needs else role


PLAYBOOKS = sorted(
    path.relative_to(ROOT).as_posix() for f in ("runbooks", "playbooks") for path in (ROOT / f).glob("*.yml")
)


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_every_play_begins_with_the_guard(playbook: str) -> None:
    play = play_of(playbook)
    assert first_role(roles_of(playbook)[0]) == GUARD
    assert not {"pre_tasks", "vars_files", "vars_prompt"} & set(play), "these are evaluated before the first task"
    assert "{{" not in str(play["hosts"])


def options_of(job: Job) -> dict[str, Any]:
    roles = {
        *roles_of(job.playbook),
        LIFE_CYCLE_ROLE,
        play_of(job.playbook).get("vars", {}).get("incident_runbook", ""),
    }
    return dict(declared_options(ROOT, roles - {""}))


@pytest.mark.parametrize("name", sorted(JOBS))
@pytest.mark.parametrize(
    "text", ["{{ lookup('pipe', 'id') }}", "a{% set x = 1 %}", "{# x #}", "#jinja2: trim_blocks:False"]
)
def test_the_guard_refuses_a_template_in_each_input_of_each_job(name: str, text: str) -> None:
    options = options_of(JOBS[name])
    assert {entry.name for entry in JOBS[name].inputs} <= set(options)
    for option in options:
        for value in (text, [text], {"a": text}):
            assert input_refusals({option: value}, options), option


class Canary:
    """Values that leave a file behind when Ansible executes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def value(self, name: str) -> str:
        return f"{{{{ lookup('pipe', 'touch {self.folder / name}') }}}}"

    def sung(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    (tmp_path / "canary").mkdir()
    return Canary(tmp_path / "canary")


def run(project: Path, playbook: str, answers: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """As Semaphore starts a task: from the root of the repository, with all answers in one -e of JSON."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    return subprocess.run(
        [program, "-i", "inventories/staging/hosts.yml", "--extra-vars", json.dumps(answers), "--diff", playbook],
        cwd=project,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("name", ["app_outage", "rehearsal"])  # of each kind one
def test_no_hostile_answer_is_executed(canary: Canary, name: str) -> None:
    names = [entry.name for entry in JOBS[name].inputs] + list(OF_ANSIBLE)

    done = run(ROOT, JOBS[name].playbook, {entry: canary.value(entry) for entry in names})

    assert canary.sung() == []
    assert done.returncode == 3, done.stdout + done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    for entry in names:
        assert entry in said
    assert "PLAY [" not in done.stdout, "not even a play was begun"


def test_a_commit_message_with_a_template_stops_nothing_and_is_not_executed(canary: Canary) -> None:
    """The run ends where any does here: the inventory of staging names no account yet."""
    message = canary.value("message")

    done = run(ROOT, JOBS["app_outage"].playbook, {"semaphore_vars": {"task_details": {"message": message}}})

    assert canary.sung() == []
    assert "PLAY [" in done.stdout, done.stderr
    assert "account_id of environment staging is not set" in done.stdout + done.stderr


@pytest.mark.parametrize(("name", "answer"), [("rehearsal", "rehearsal_hypothesis"), ("teardown", "teardown_confirm")])
def test_the_first_task_refuses_by_itself_where_the_gate_is_not_there(
    canary: Canary, tmp_path: Path, name: str, answer: str
) -> None:
    """And the control: without the guard the same answer is executed, before any task of ours is reached."""
    for guarded in (True, False):
        project = without_gate(tmp_path / str(guarded), guarded=guarded)
        done = run(project, JOBS[name].playbook, {answer: canary.value(answer)})
        assert done.returncode != 0
        assert canary.sung() == ([] if guarded else [answer]), done.stdout + done.stderr


def without_gate(folder: Path, *, guarded: bool) -> Path:
    """The project without its callback, and without what its first role does unless it is guarded."""
    folder.mkdir()
    (folder / "ansible.cfg").write_text((ROOT / "ansible.cfg").read_text().replace("callbacks_enabled", "#"))
    for name in ("collections", "inventories", "playbooks", "runbooks"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "roles").mkdir()
    for role in (ROOT / "roles").iterdir():
        if role.name != GUARD or guarded:
            (folder / "roles" / role.name).symlink_to(role)
    if not guarded:
        (folder / "roles" / GUARD / "tasks").mkdir(parents=True)
        (folder / "roles" / GUARD / "tasks/main.yml").write_text("[]\n")
    return folder
