"""A run on another machine, with a real worker: what travels, what comes back, and what is said when it does not."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import sys
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from rich.console import Console

from daily_emr_runbooks import remote, worker
from daily_emr_runbooks.errors import CommandError
from daily_emr_runbooks.record import RunFolder
from daily_emr_runbooks.session import Request, run_runbook

from .conftest import permissions
from .test_runner import SECRET, ignore, play, until

if TYPE_CHECKING:
    from daily_emr_runbooks.outcome import Verdict
    from daily_emr_runbooks.project import Project

# Another machine, as far as one process can tell: a home and an environment of its own. It keeps what passes it by.
SSH = """#!{python}
import os, pathlib, subprocess, sys, threading
home = pathlib.Path({home!r})
(home / "asked").write_text("\\n".join([*sys.argv[1:], *sorted(os.environ)]))
environment = {{"HOME": str(home), "PATH": os.environ["PATH"], "AWS_SESSION_TOKEN": "of-the-node-5b1e"}}
worker = subprocess.Popen(
    [{runbook!r}, "worker"],
    env=environment, cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
)
(home / "pid").write_text(str(worker.pid))
def pass_on(source, sink, name):
    with open(home / name, "wb") as kept:
        while data := os.read(source.fileno(), 65536):
            kept.write(data)
            kept.flush()
            sink.write(data)
            sink.flush()
    sink.close()
threading.Thread(target=pass_on, args=(sys.stdin, worker.stdin, "went"), daemon=True).start()
pass_on(worker.stdout, sys.stdout.buffer, "came")
sys.exit(worker.wait())
"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the user on the node, which is reached as `node`."""
    home, programs = tmp_path / "node", tmp_path / "programs"
    home.mkdir()
    programs.mkdir()
    runbook = Path(sys.executable).with_name("runbook")
    (programs / "ssh").write_text(SSH.format(python=sys.executable, runbook=str(runbook), home=str(home)))
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(programs), os.environ["PATH"]]))
    return home


def run(project: Project, *inputs: str) -> tuple[Verdict, str]:
    console = Console(record=True, width=200, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    return run_runbook(project, console, Request("kettle", "staging", inputs, node="node")), console.export_text()


def test_outcome_and_record_are_those_of_a_run_here(project: Project, node: Path) -> None:
    verdict, said = run(project)
    here = run_runbook(project, Console(file=open(os.devnull, "w")), Request("kettle", "staging"))  # noqa: SIM115, PTH123

    assert (verdict.outcome, verdict.sentence, verdict.exit_code) == (here.outcome, here.sentence, here.exit_code)
    assert "INC-1 opened on emr-web" in said
    (folder,) = verdict.folders
    assert folder.path == project.runs_dir / "INC-1" / "run-1"
    there = RunFolder(node / ".local" / "state" / "daily-emr" / "runs" / "INC-1" / "run-1")
    assert folder.record() == there.record() != None  # noqa: E711
    assert folder.journal() == there.journal() != []
    assert permissions(folder.path) == 0o700


def test_no_credential_travels_in_either_direction(
    project: Project, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", SECRET)
    run(project)

    assert SECRET not in (node / "went").read_text()
    assert "of-the-node-5b1e" not in (node / "came").read_text()
    assert "AWS_SESSION_TOKEN" not in (node / "asked").read_text()
    # Control: the run there has the node's own.
    runs = node / ".local" / "state" / "daily-emr" / "runs"
    assert "AWS_SESSION_TOKEN" in (runs / "INC-1" / "run-1" / "environment").read_text().split()
    assert sorted(path.name for path in next((runs / ".runner").iterdir()).iterdir()) == ["lock", "output.txt"]


@pytest.mark.usefixtures("node")
def test_a_failed_play_is_no_success_though_process_says_0(project: Project) -> None:
    verdict, _ = run(project, "kettle_outcome=none")
    assert (verdict.outcome, verdict.exit_code == 0) == ("failed_clean", False)


def test_inputs_are_checked_here_before_anything_is_sent(project: Project, node: Path) -> None:
    with pytest.raises(CommandError, match="kettle_litres"):
        run(project, "kettle_litres={{ 7 * 7 }}")
    assert not (node / "asked").exists()


@pytest.mark.parametrize("name", ["-oProxyCommand=touch x", "a b", "", "node;x", "x" * 300])
def test_a_node_is_a_plain_name(project: Project, node: Path, name: str) -> None:
    with pytest.raises(CommandError, match="is refused"):
        remote.run(play(project), name, project.runs_dir, ignore, threading.Event())
    assert not (node / "asked").exists()


@pytest.mark.usefixtures("node")
def test_a_node_that_does_not_answer_as_a_worker_is_one_sentence(project: Project, tmp_path: Path) -> None:
    (tmp_path / "programs" / "ssh").write_text("#!/bin/sh\necho Welcome\necho 'Permission denied.' >&2\nexit 255\n")
    with pytest.raises(CommandError, match=r"nothing was started there \(Permission denied\.\)"):
        run(project)


def test_a_worker_that_is_killed_leaves_an_unknown_end(project: Project, node: Path, tmp_path: Path) -> None:
    started, ends = tmp_path / "started", []
    operator = threading.Thread(target=lambda: ends.append(_remote(project, started)))
    operator.start()
    until(started.exists)
    running = psutil.Process(int((node / "pid").read_text()))
    family = running.children(recursive=True)
    os.kill(running.pid, signal.SIGKILL)
    operator.join()
    started.unlink()
    for process in family:
        process.kill() if process.is_running() else None
    psutil.wait_procs(family)

    assert ends[0].return_code is None
    assert "The run on node was lost" in ends[0].lost


def test_a_connection_that_is_lost_ends_nothing(project: Project, node: Path, tmp_path: Path) -> None:
    started, ends = tmp_path / "started", []
    operator = threading.Thread(target=lambda: ends.append(_remote(project, started)))
    operator.start()
    until(started.exists)
    running = psutil.Process(int((node / "pid").read_text()))
    running.parent().kill()  # ssh
    operator.join()
    assert ends[0].lost
    assert running.is_running()
    started.unlink()
    psutil.wait_procs([running])

    (record,) = node.rglob("record.json")
    assert json.loads(record.read_text())["outcome"] == "noop"


def test_the_word_to_stop_reaches_the_node(project: Project, node: Path, tmp_path: Path) -> None:
    started, ends, cancel = tmp_path / "started", [], threading.Event()
    operator = threading.Thread(target=lambda: ends.append(_remote(project, started, cancel)))
    operator.start()
    until(started.exists)
    running = psutil.Process(int((node / "pid").read_text()))
    family = running.children(recursive=True)
    cancel.set()
    operator.join()
    started.unlink()
    psutil.wait_procs([running, *family])

    assert ends[0].cancelled
    assert not ends[0].lost


def test_names_that_come_back_stay_in_the_folder_of_runs(project: Project) -> None:
    there = remote._Remote(play(project), "node", project.runs_dir, project.runs_dir, ignore)
    event: dict[str, Any] = {"event": "daily_emr_journal", "incident": "..", "run": "run-1", "lines": [{}]}
    there._keep_lines(event)
    assert not (project.runs_dir.parent / "run-1").exists()
    # Control: a name that is one is kept.
    there._keep_lines(event | {"incident": "INC-2"})
    assert (project.runs_dir / "INC-2" / "run-1" / "journal.jsonl").read_text() == "{}\n"


def test_what_a_node_says_of_its_folders_leads_nowhere_else(project: Project) -> None:
    there = remote._Remote(play(project), "node", project.runs_dir, project.runs_dir, ignore)
    there._there = "/runs"
    old = project.runs_dir / "INC-1" / "run-0"
    old.mkdir(parents=True)
    for path in ("/etc/x", "/runs/INC-1/r/../../../etc", "/runs/INC-1/r/..", "/runs/INC-1/run-0", "/runs", "", 7, None):
        event: dict[str, Any] = {"event_data": {"res": {"record": path, "incident": {"folder": path}}}}
        there._make_local(event)
        assert event["event_data"]["res"] == {"record": None, "incident": {"folder": None}}, path
    # Control: a new run's own.
    assert there._moved("/runs/INC-1/run-1/record.json") == str(project.runs_dir / "INC-1" / "run-1" / "record.json")


def test_an_archive_of_a_node_leaves_its_folder_nowhere(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "a" / "b"
    home.mkdir()
    folder.mkdir(parents=True)
    (home / "victim").write_text("mine")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, target in (("x", str(home)), ("records/INC-1", str(home)), ("../../home/victim", "nowhere")):
            link = zipfile.ZipInfo(name)
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, target)
        for name in (
            "x/key",
            "records/INC-1/key",
            "../../home/victim",
            "/tmp/key",
            "command",
            "rc",
            "records/I/r/journal",
        ):
            archive.writestr(name, "theirs")

    remote.unpack(packed.getvalue(), folder)

    assert [path.name for path in home.iterdir()] == ["victim"]
    assert (home / "victim").read_text() == "mine"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {"rc", "records/I/r/journal"}


def test_nothing_is_sent_to_what_is_no_worker(project: Project, node: Path, tmp_path: Path) -> None:
    """A shell that greets first would else hear the whole run, and start it."""
    text = (tmp_path / "programs" / "ssh").read_text()
    greeting = 'print("Welcome", flush=True)\n'
    (tmp_path / "programs" / "ssh").write_text(text.replace("worker = subprocess", f"{greeting}worker = subprocess"))
    with pytest.raises(CommandError, match="nothing was started there"):
        run(project)
    assert (node / "went").read_text() == ""
    assert list(node.rglob("record.json")) == []


def test_a_run_that_is_stopped_before_it_was_sent_is_not_started(project: Project, node: Path, tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    finished = _remote(project, tmp_path / "started", cancel)
    assert (finished.cancelled, finished.lost) == (True, "")
    assert (node / "went").read_text() == ""


def test_the_terminals_ctrl_c_does_not_reach_ssh(project: Project, node: Path, tmp_path: Path) -> None:
    started, ends, cancel = tmp_path / "started", [], threading.Event()
    operator = threading.Thread(target=lambda: ends.append(_remote(project, started, cancel)))
    operator.start()
    until(started.exists)
    running = psutil.Process(int((node / "pid").read_text()))
    family = running.children(recursive=True)
    assert os.getpgid(running.ppid()) != os.getpgid(0)
    cancel.set()
    operator.join()
    started.unlink()
    psutil.wait_procs([running, *family])
    assert ends[0].cancelled


def test_a_reader_that_stops_reading_does_not_hold_the_writer() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as sink, os.fdopen(reading, "rb"):
        stream = worker.LastingStream(sink)
        for _ in range(80):
            assert stream.write(b"x" * 1024 * 1024) == 1024 * 1024
        stream.end()


def _remote(project: Project, started: Path, cancel: threading.Event | None = None) -> Any:
    return remote.run(
        play(project, kettle_wait_for=str(started)), "node", project.runs_dir, ignore, cancel or threading.Event()
    )
