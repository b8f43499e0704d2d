"""Nothing of a run lives on behind its verdict, what it is in the middle of is finished, and nobody else is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from daily_emr_runbooks import supervisor as supervision
from daily_emr_runbooks.descendants import Descendants, adopt
from daily_emr_runbooks.outcome import judge
from daily_emr_runbooks.record import RunFolder
from daily_emr_runbooks.runbooks import Input
from daily_emr_runbooks.runner import Finished, leashed, run
from daily_emr_runbooks.supervisor import in_flight, longest_silence_s, supervised, write_missing_records

from .test_runner import ignore, play, until

if TYPE_CHECKING:
    from daily_emr_runbooks.project import Project

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to a subreaper")

STEP = {"step": "limit", "target": "service/web"}
# Leaves its parent, its session and its process group, as a worker of Ansible and what it starts may.
STRAY = """
import os, sys
if child := os.fork(): os._exit(os.waitpid(child, 0)[1])
os.setsid()
if os.fork(): os._exit(0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def folder_with(project: Project, *lines: dict[str, Any], mode: str = "run") -> RunFolder:
    folder = project.runs_dir / "INC-1" / "run-1"
    folder.mkdir(parents=True)
    opened = {"kind": "opened", "mode": mode, "environment": "staging"}
    with (folder / "journal.jsonl").open("w") as journal:
        for number, line in enumerate((opened, *lines), 1):
            head = {"seq": number, "at": "2026-11-23T20:59:58.000Z", "incident": "INC-1", "run": "run-1"}
            journal.write(json.dumps(head | {"component": "emr-web"} | line) + "\n")
    return RunFolder(folder)


def kinds(folder: RunFolder) -> list[str]:
    return [str(line["kind"]) for line in folder.journal()]


def stray(*command: str) -> None:
    subprocess.run([sys.executable, "-c", STRAY, *command], check=True)


def meanwhile(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A child of this process that was there before."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def _of(project: Project) -> list[psutil.Process]:
    """What runs for a project: its name is in the command of ansible-playbook, and of each module."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.pid != os.getpid() and str(project.root) in " ".join(process.info["cmdline"] or [])
    ]


def _stopped_in_its_task(project: Project, started: Path, *, guarded: bool) -> Finished:
    """A run that is stopped while its module waits to go on."""
    begun = play(project, kettle_wait_for=str(started))

    def when_it_waits(stop: Callable[[], None]) -> threading.Thread:
        def wait() -> None:
            until(started.exists)
            stop()

        return meanwhile(wait)

    if not guarded:
        cancel = threading.Event()
        operator = when_it_waits(cancel.set)
        finished = run(begun, project.runs_dir, ignore, cancel)
        operator.join()
        return finished
    with supervised(project, list) as supervisor:
        operator = when_it_waits(lambda: supervisor.cancel("SIGINT"))
        finished = run(begun, project.runs_dir, ignore, supervisor.stop)
    operator.join()
    return finished


def test_after_a_verdict_no_module_goes_on(project: Project, tmp_path: Path) -> None:
    """ansible-runner returns "canceled" while the module, in a session of its own, waits to change something."""
    started = tmp_path / "started"
    finished = _stopped_in_its_task(project, started, guarded=True)

    assert finished.cancelled
    assert _of(project) == []
    started.unlink()  # for which the module would have waited
    assert not (project.runs_dir / "INC-1" / "run-1" / "record.json").exists()


def test_without_the_supervisor_it_does(project: Project, tmp_path: Path) -> None:
    """The control of the test above."""
    started = tmp_path / "started"
    finished = _stopped_in_its_task(project, started, guarded=False)

    assert finished.cancelled
    left = _of(project)
    assert left
    started.unlink()
    until((project.runs_dir / "INC-1" / "run-1" / "record.json").exists)
    psutil.wait_procs(left)


def test_what_left_its_parent_and_its_session_is_ended_too(project: Project) -> None:
    with supervised(project, list) as supervisor:
        stray("sleep", "600")
        [pid] = supervisor._descendants.living()
        assert os.getsid(pid) != os.getsid(0)

    assert not psutil.pid_exists(pid)
    assert supervisor.lost == ""


def test_nobody_else_is_touched(project: Project, bystander: subprocess.Popen[bytes]) -> None:
    with supervised(project, list):
        stray("sleep", "600")
    assert bystander.poll() is None


def test_another_run_beside_this_one_is_left_alone() -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run(['cat'])"], stdin=subprocess.PIPE
    )
    try:
        until(lambda: bool(psutil.Process(other.pid).children()))
        with adopt() as descendants:
            assert descendants.living() == []
            assert descendants.kill() == []
        assert psutil.Process(other.pid).children()
    finally:
        other.communicate()


def test_a_call_in_flight_is_finished_before_anything_is_killed(project: Project, tmp_path: Path) -> None:
    folder = folder_with(project, {"kind": "intent", **STEP})
    go, journal = tmp_path / "go", folder.path / "journal.jsonl"
    outcome = json.dumps({"kind": "outcome", "outcome": "ok", **STEP})
    script = f"until [ -e {go} ]; do sleep 0.02; done; echo '{outcome}' >> {journal}; exec sleep 600"

    def reply() -> None:
        until((folder.path / "cancel").exists)  # it was told to send nothing new
        go.touch()

    with supervised(project, lambda: [folder]) as supervisor:
        stray("sh", "-c", script)
        [pid, *_] = supervisor._descendants.living()
        world = meanwhile(reply)
    world.join()

    assert kinds(folder)[:3] == ["opened", "intent", "outcome"]
    assert not psutil.pid_exists(pid)
    assert not (folder.path / "cancel").exists(), "the next run is not meant"


def test_a_call_that_never_ends_is_killed_and_unknown(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "QUIET_S", 0.1)
    folder = folder_with(project, {"kind": "lease"}, {"kind": "intent", **STEP})
    with supervised(project, lambda: [folder]):
        stray("sleep", "600")

    assert (folder.record() or {})["outcome"] == "unknown"


@pytest.mark.parametrize("number", supervision.SIGNALS)
def test_a_signal_marks_the_run_and_does_not_stop_the_playbook_at_once(
    project: Project, number: signal.Signals
) -> None:
    folder = folder_with(project, {"kind": "lease"}, {"kind": "intent", **STEP})
    with supervised(project, lambda: [folder]) as supervisor:
        os.kill(os.getpid(), number)
        until((folder.path / "cancel").exists)
        until(lambda: "cancelled" in kinds(folder))
        assert (folder.path / "cancel").read_text() == number.name
        assert not supervisor.stop.is_set()
        os.kill(os.getpid(), number)
        assert not supervisor.stop.wait(0.5), "a second one does not cut the call that is in flight"
        with (folder.path / "journal.jsonl").open("a") as journal:
            journal.write(json.dumps({"kind": "outcome", "outcome": "failed", **STEP}) + "\n")
        assert supervisor.stop.wait(60), "but does not wait for the playbook to close"
    assert supervisor.reason == number.name


def test_a_run_that_has_not_opened_its_incident_is_stopped_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "UNOPENED_S", 0.0)
    with supervised(project, list) as supervisor:
        supervisor.cancel("SIGTERM")
        assert supervisor.stop.wait(60)


def test_a_run_that_gives_no_sign_of_life_has_timed_out(project: Project) -> None:
    folder = folder_with(project)
    with supervised(project, lambda: [folder], longest_silence_s=0.05) as supervisor:
        until(lambda: "cancelled" in kinds(folder))
    assert supervisor.reason == "timeout"
    record = folder.record() or {}
    assert record["outcome"] == "cancelled"
    assert "because it timed out" in record["sentence"]


def test_the_longest_wait_of_the_inputs_bounds_the_silence() -> None:
    def wait(name: str, default: Any) -> Input:
        return Input(name, "int", "", required=False, default=default, choices=())

    declared = [wait("a_timeout_s", 600), wait("b_timeout_s", 1800), wait("b_passes", 9000)]
    assert longest_silence_s(declared, {}) == 1800 + supervision.SILENCE_MARGIN_S
    assert longest_silence_s(declared, {"a_timeout_s": 3600}) == 3600 + supervision.SILENCE_MARGIN_S
    assert longest_silence_s([], {}) == supervision.DEFAULT_SILENCE_S


def test_an_event_is_a_sign_of_life(project: Project) -> None:
    heard: list[Any] = []
    with supervised(project, list, longest_silence_s=3600) as supervisor:
        supervisor._last_event -= 1000
        supervisor.watching(heard.append)({"event": "verbose"})
        assert supervisor._silent_s() < 1000
    assert heard == [{"event": "verbose"}]


def test_signals_are_those_of_the_command_again_afterwards(project: Project) -> None:
    before = [signal.getsignal(number) for number in supervision.SIGNALS]
    with supervised(project, list):
        pass
    assert [signal.getsignal(number) for number in supervision.SIGNALS] == before


CLOSED = [
    ([], "failed_clean", "none"),
    ([{"kind": "cancelled", "msg": "The run was stopped by SIGINT."}], "cancelled", "none"),
    ([{"kind": "lease"}, {"kind": "intent", **STEP}], "unknown", "kept"),
    (
        [{"kind": "lease"}, {"kind": "intent", **STEP}, {"kind": "outcome", "outcome": "ok", **STEP}],
        "failed_partial",
        "kept",
    ),
]


@pytest.mark.parametrize(("lines", "outcome", "lease"), CLOSED, ids=[row[1] for row in CLOSED])
def test_a_run_that_could_not_close_is_closed_from_its_journal(
    project: Project, lines: list[dict[str, Any]], outcome: str, lease: str
) -> None:
    folder = folder_with(project, *lines)
    write_missing_records(project, [folder])

    record = folder.record() or {}
    assert record["outcome"] == outcome
    assert ("was not given back" in record["sentence"]) == (lease == "kept")
    assert folder.journal()[-1] | {"kind": "closed", "outcome": outcome, "lease": lease} == folder.journal()[-1]
    finished = Finished("failed", 1, folder.path / "output.txt")
    assert judge(project, finished, [folder], ["emr-web"]).outcome == outcome


def test_a_record_that_is_there_stays_as_it_is(project: Project) -> None:
    folder = folder_with(project)
    (folder.path / "record.json").write_text('{"outcome": "succeeded"}')
    write_missing_records(project, [folder])
    assert (folder.record(), kinds(folder)) == ({"outcome": "succeeded"}, ["opened"])


def test_what_will_not_die_makes_the_run_unknown(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Descendants, "kill", lambda _self, _spared=(): [4242])
    folder = folder_with(project)
    with supervised(project, lambda: [folder]) as supervisor:
        pass
    assert "Process 4242 of the run cannot be ended" in supervisor.lost
    assert folder.record() is None
    assert judge(project, Finished("failed", 1, folder.path, lost=supervisor.lost), [folder], []).outcome == "unknown"


def test_what_tells_people_sees_how_the_run_ended_and_then_ends(project: Project, tmp_path: Path) -> None:
    folder = folder_with(project, {"kind": "observed"})
    journal, told = folder.path / "journal.jsonl", tmp_path / "told"
    script = f"until grep -q closed {journal}; do sleep 0.02; done; touch {told}"
    with supervised(project, lambda: [folder]) as supervisor:
        stray("sleep", "600")
        teller = subprocess.Popen(["sh", "-c", script])
        (folder.path / "notifications.lock").write_text(str(teller.pid))
    assert (told.exists(), supervisor.lost, kinds(folder)[-1]) == (True, "", "closed")


def test_what_tells_people_is_not_waited_for_for_ever(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "TELLING_S", 0.2)
    folder = folder_with(project)
    with supervised(project, lambda: [folder]):
        teller = subprocess.Popen(["sleep", "600"])
        (folder.path / "notifications.lock").write_text(str(teller.pid))
    assert not psutil.pid_exists(teller.pid)


@pytest.mark.parametrize("last", ["intent", "outcome", "refused"])
def test_only_an_intent_without_an_end_is_in_flight(project: Project, last: str) -> None:
    folder = folder_with(project, {"kind": "intent", **STEP}, {"kind": last, **STEP})
    assert in_flight(folder) == (last == "intent")


def test_the_playbook_is_told_when_its_command_was_killed(tmp_path: Path) -> None:
    ready, told = tmp_path / "ready", tmp_path / "told"
    script = f"trap 'touch {told}; exit' TERM; touch {ready}; while :; do sleep 0.02; done"
    command = (
        "import subprocess\nfrom daily_emr_runbooks.runner import leashed\n"
        f"subprocess.run(leashed(['sh', '-c', {script!r}]))"
    )
    parent = subprocess.Popen([sys.executable, "-c", command])
    until(ready.exists)
    parent.kill()
    parent.wait()
    until(told.exists)


def test_a_command_that_died_at_once_starts_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    leash = leashed(["touch", str(made)])
    leash[4] = "1"
    assert subprocess.run(leash, check=False).returncode == 128 + signal.SIGTERM
    assert not made.exists()
