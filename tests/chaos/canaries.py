"""Canaries in what holds secrets: none is found in what a run says and leaves (fault table, rows 49 and 50).

Three ways: tasks with no_log that leak in every way that ansible-core leaves open, at several verbosities; whole runs
of a toy by the command (ok, refused, killed), with canaries in the environment and in the text of an alert; and runs on
the sandbox (planted.py).
What is searched: what is said, events, run folders, the folder of ansible-runner, ~/.ansible, temporary files.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from daily_emr_runbooks import runner
from daily_emr_runbooks.environment import run_environment
from tests.chaos.planted import sandbox_runs
from tests.chaos.rows import Row
from tests.leaky import Leaky, hits
from tests.unit.core.test_playbooks import INCIDENT, INCIDENT_SPECS, Aws, Project, make_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

VERBOSITIES = {"ci": ("", "-vvvvv"), "long": ("", "-v", "-vvv", "-vvvvv")}
CANARIES = {
    "AWS_SESSION_TOKEN": "canary-token-7f3a91c2",
    "AWS_SECRET_ACCESS_KEY": "canary-secret-51bd0e77",
    "LAUNCHDARKLY_ACCESS_TOKEN": "canary-flags-2c9d4410",
    "SLACK_WEBHOOK": "canary-slack-90aa8f31",
    "PGPASSWORD": "canary-database-6620fe1b",
}
PATIENT = "canary-patient-Achieng-4411"
ALERT = {
    "source": "alertmanager",
    "name": "EmrDown",
    "component": "emr-web",
    "reference": "ab12",
    "started_at": "2026-11-22T01:30:00Z",
    "received_at": "2026-11-22T01:30:01Z",
    "text": f"{PATIENT} cannot be found",
}
ENDS = ("ok", "refused", "killed")
STARTED = "started"


def line(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Iterable[Row]:  # noqa: ARG001  # no chance here
    with tempfile.TemporaryDirectory() as folder:
        yield _no_log(Path(folder), VERBOSITIES[size], say)
        yield _runs(Path(folder), say)
    yield sandbox_runs(say)


def _no_log(folder: Path, verbosities: tuple[str, ...], say: Callable[[str], None]) -> Row:
    started, faults = time.monotonic(), []
    for verbosity in verbosities:
        leaky = Leaky(folder / f"quiet{verbosity}")
        said = leaky.play(*filter(None, [verbosity]))
        left = "".join(text for _, text in _files(leaky.folder, but=("library", "secret.json", "leaky.yml")))
        faults += [f"verbosity {verbosity or 0}: {found!a}" for found in hits(said + left)]
    shown = hits(Leaky(folder / "loud", quiet=False).play())
    say(f"tasks with no_log at {len(verbosities)} verbosities")
    control = "without the callback the same tasks show the secret" if shown else ""
    return Row(
        "tasks with no_log show nothing", 16 * len(verbosities), tuple(faults), control, time.monotonic() - started
    )


def _runs(folder: Path, say: Callable[[str], None]) -> Row:
    started, faults = time.monotonic(), []
    aws = Aws()
    try:
        for end in ENDS:
            project = _prepared(make_project(aws, folder / end), end)
            said = _run(project, end)
            faults += [f"{end}: {fault}" for fault in _found(project, said)]
            if (STARTED if end == "killed" else '"playbook_on_stats"') not in said or PATIENT in said:
                faults.append(f"{end}: did not get as far as it should")
        bare = _prepared(make_project(aws, folder / "bare"), "killed")
        found = list(_found(bare, _run(bare, "killed", "bare")))
        control = f"with ansible-runner as it is, the killed run leaves {found[0]}" if found else ""
    finally:
        aws.stop()
    say(f"runs that end {', '.join(ENDS)}")
    tried = len(ENDS) * (len(CANARIES) + 1)
    return Row("runs say and leave no secret and no patient", tried, tuple(faults), control, time.monotonic() - started)


def _prepared(project: Project, end: str) -> Project:
    tasks = INCIDENT.replace(
        '        incident_id: "{{ incident_id }}"\n',
        '        incident_id: "{{ incident_id }}"\n'
        "        alert: \"{{ lookup('ansible.builtin.file', incident_alert) }}\"\n",
    )
    project.write("roles/incident/tasks/main.yml", tasks)
    specs = f'{INCIDENT_SPECS}      incident_alert: {{type: path, default: ""}}\n'
    project.write("roles/incident/meta/argument_specs.yml", specs)
    project.write(
        "roles/incident/defaults/main.yml", f'incident_id: ""\ntoy_healthy: {str(end != "refused").lower()}\n'
    )
    project.write("alert.json", json.dumps(ALERT))
    for name in ("home", "temporary"):
        (project.folder / name).mkdir()
    if end == "killed":
        # Something to be killed in, behind the start of the incident.
        wait = "\n    - name: Wait\n      ansible.builtin.wait_for:\n        path: /nowhere\n        timeout: 60\n"
        project.write(
            "roles/incident/tasks/main.yml", tasks.replace("\n    - name: Decide", f"{wait}\n    - name: Decide")
        )
    return project


def _outside(project: Project) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
    places = {"HOME": str(project.folder / "home"), "TMPDIR": str(project.folder / "temporary")}
    return {**kept, **CANARIES, **places, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}


def _run(project: Project, end: str, *guards: str) -> str:
    """Run it as the command does, in a process of its own, and kill all of that in its middle if wanted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.canaries", str(project.folder), *guards],
        cwd=Path(__file__).parents[2],
        env={**_outside(project), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = ""
    for text in process.stdout or ():
        said += text
        if end == "killed" and text.startswith(STARTED):
            for pid in (*_descendants(process.pid), process.pid):
                os.kill(pid, signal.SIGKILL)
    process.wait()
    return said


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in map(int, children) for found in (*_descendants(child), child)]


def _found(project: Project, said: str) -> Iterator[str]:
    left = [("what it said", said), *_files(project.folder, but=("credentials", "alert.json"))]
    for name, canary in (*CANARIES.items(), ("a patient", PATIENT)):
        yield from (f"{name} in {place}" for place, text in left if hits(text, canary))


def _files(folder: Path, but: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_file() and not path.is_symlink() and not name.startswith(but):
            yield name, path.read_text(errors="replace")


def _play(folder: Path) -> None:
    """What the command does, for the process that may be killed."""
    runs_dir = folder / ".runs"
    play = runner.Play(
        project=folder,
        playbook=folder / "runbooks/toy.yml",
        inventory=folder / "hosts.json",
        environment=run_environment(os.environ, project=folder, runs_dir=runs_dir, sandbox=folder / "sandbox"),
        inputs={"incident_alert": str(folder / "alert.json")},
    )

    def show(event: runner.Event) -> None:
        sys.stdout.write(f"{json.dumps(event)}\n")
        if (event.get("event_data") or {}).get("task") == "Wait":
            sys.stdout.write(f"{STARTED}\n")
        sys.stdout.flush()

    runner.run(play, runs_dir, show, threading.Event())


if __name__ == "__main__":
    if sys.argv[2:] == ["bare"]:
        runner.rewrite_command = lambda _folder: None
    _play(Path(sys.argv[1]))
