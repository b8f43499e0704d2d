"""ansible-runner, for real: what it leaves on disk, and who can end a run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from daily_emr_runbooks.environment import run_environment
from daily_emr_runbooks.runner import Event, Play, run, sweep

from .conftest import permissions

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from daily_emr_runbooks.project import Project

SECRET = "canary-token-91f3"
INPUT = "canary-input-77ab"


def play(project: Project, **inputs: Any) -> Play:
    return Play(
        project=project.root,
        playbook=project.root / "runbooks" / "kettle.yml",
        inventory=project.root / "inventories" / "staging",
        environment=run_environment(
            os.environ, project=project.root, runs_dir=project.runs_dir, sandbox=project.sandbox_dir
        ),
        inputs=inputs,
    )


def files_with(folder: Path, canary: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()]


def ignore(_: Event) -> None: ...


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that has no event of its own."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.02)


def test_a_run_leaves_no_credential_and_no_input_on_disk(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", SECRET)
    monkeypatch.setenv("GITHUB_TOKEN", SECRET)
    seen_during: list[Path] = []
    event_files: list[Path] = []

    def look(event: Event) -> None:
        if event.get("event") in ("runner_on_ok", "playbook_on_stats"):
            seen_during.extend([*files_with(project.runs_dir, SECRET), *files_with(project.runs_dir, INPUT)])
            # A partial event is there until it has been read, a moment after it was written.
            found = project.runs_dir.rglob("job_events/*.json")
            event_files.extend(path for path in found if not path.name.endswith("-partial.json"))

    finished = run(play(project, kettle_note=INPUT), project.runs_dir, look, threading.Event())

    assert finished.return_code == 0
    assert seen_during == []
    assert event_files == []
    assert files_with(project.runs_dir, SECRET) == []
    assert files_with(project.runs_dir, INPUT) == []
    seen = (project.runs_dir / "INC-1" / "run-1" / "environment").read_text().split()
    assert "AWS_SESSION_TOKEN" in seen
    assert "GITHUB_TOKEN" not in seen


def test_what_is_left_can_be_read_by_its_owner_only(project: Project) -> None:
    finished = run(play(project), project.runs_dir, ignore, threading.Event())

    folder = finished.output.parent
    assert permissions(folder) == 0o700
    assert permissions(finished.output) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "output.txt"]


def test_a_handler_that_raises_at_every_event_does_not_touch_the_run(project: Project) -> None:
    def broken(_: Event) -> None:
        raise ValueError(SECRET)

    finished = run(play(project), project.runs_dir, broken, threading.Event())

    assert (finished.return_code, finished.status) == (0, "successful")
    assert finished.stats is not None
    assert finished.stats["ok"] == {"emr-web": 1}
    assert "ValueError at runner_on_ok" in finished.handler_faults
    assert SECRET not in "".join(finished.handler_faults)


def test_a_cancelled_run_says_so_and_is_cleaned_up(project: Project, tmp_path: Path) -> None:
    started, cancel = tmp_path / "started", threading.Event()

    def cancel_once_it_runs() -> None:
        until(started.exists)
        cancel.set()

    operator = threading.Thread(target=cancel_once_it_runs)
    operator.start()
    try:
        finished = run(play(project, kettle_wait_for=str(started)), project.runs_dir, ignore, cancel)
    finally:
        operator.join()
        # ansible-runner gives up on a playbook that is in the middle of a task, and leaves it and its module alone.
        left = [
            child
            for process in psutil.process_iter(["cmdline"])
            if str(project.root) in " ".join(process.info["cmdline"] or [])
            for child in (*process.children(recursive=True), process)
        ]
        started.unlink(missing_ok=True)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left)

    assert finished.cancelled
    assert finished.stats is None
    assert not (finished.output.parent / "env").exists()


def test_what_a_killed_command_left_is_removed_by_the_next_one(project: Project, tmp_path: Path) -> None:
    started = tmp_path / "started"
    script = (
        "import sys, threading, pathlib\n"
        "from tests.unit.command.test_runner import play, ignore, run\n"
        "from daily_emr_runbooks.project import Project\n"
        "project = Project(pathlib.Path(sys.argv[1]))\n"
        "run(play(project, kettle_wait_for=sys.argv[2]), project.runs_dir, ignore, threading.Event())\n"
    )
    root = Path(__file__).resolve().parents[3]
    environment = os.environ | {"AWS_SESSION_TOKEN": SECRET, "PYTHONPATH": f"{root}:{root / 'collections'}"}
    command = subprocess.Popen(
        [sys.executable, "-c", script, str(project.root), str(started)], env=environment, start_new_session=True
    )
    try:
        until(lambda: started.exists() or command.poll() is not None)
        assert command.poll() is None
        sweep(project.runs_dir)
        [folder] = (project.runs_dir / ".runner").iterdir()
        assert (folder / "artifacts").exists()  # it lives, so it is left alone
    finally:
        children = psutil.Process(command.pid).children(recursive=True)
        command.kill()
        command.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):  # some end by themselves when their parent is gone
                child.kill()
        psutil.wait_procs(children, timeout=10)
        started.unlink(missing_ok=True)

    assert files_with(project.runs_dir, SECRET) == []  # not even before the sweep
    sweep(project.runs_dir)
    assert not (folder / "artifacts").exists()
    assert folder.exists()


def test_a_run_on_nobody_is_told_by_its_counts(project: Project) -> None:
    (project.root / "runbooks" / "kettle.yml").write_text("- hosts: empty\n  tasks: [{ping: {}}]\n")

    finished = run(play(project), project.runs_dir, ignore, threading.Event())

    assert finished.return_code == 0
    assert not (finished.stats or {}).get("ok")
    assert json.dumps(finished.results) == "[]"
