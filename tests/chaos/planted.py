"""Whole runs on the sandbox, whose secrets and patients are canaries, at every verbosity and after SIGKILL."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.crash.points import VARIABLE
from tests.chaos.rows import Row
from tests.chaos.scenes import sandbox_with
from tests.integration.canaries import PATIENT, TOKEN, hits, planted
from tests.integration.conftest import ROOT, Operator, Run

FAULT = "scaled_to_zero"
LOUD = ("-v", "-vv", "-vvv", "-vvvv", "-vvvvv")


def sandbox_runs(say: Callable[[str], None]) -> Row:
    """The row: a plan at each verbosity, a run that is killed behind its intent, and the one that finishes it."""
    started, faults = time.monotonic(), list[str]()
    with tempfile.TemporaryDirectory(prefix="emr-canaries-") as place, sandbox_with(("people",), Path(place)) as box:
        folder = Path(place)
        canaries = planted(box)
        box.break_(FAULT)
        left = folder / "left"
        for name in ("home", "temporary", "said"):
            (left / name).mkdir(parents=True)
        operator = _Elsewhere(box, left / "runs")
        for option in LOUD:
            (left / "said" / option).write_text(operator.playbook(option, "--check", "--diff").output)
        strike = {"at": "intent on the disk", "signal": "SIGKILL", "target": "command", "fired": f"{left}/fired"}
        killed = operator.command({VARIABLE: json.dumps(strike)})
        again = operator.command({}, "--input", "incident_take_over=CANARY", "--input", "incident_lease_seconds=30")
        report = operator.runbook("report", "latest", "--format", "both")
        for name, run in {"killed": killed, "again": again, "report": report}.items():
            (left / "said" / name).write_text(run.output)
        (left / "said" / "people").write_text(json.dumps(box.people()))
        if again.record()["outcome"] not in ("succeeded", "noop"):
            faults.append(f"the run after the kill ended as {again.record()['outcome']}: {again.output[-300:]}")
        if not (left / "fired").exists():
            faults.append("nothing was killed")
        if not box.people()["messages"]:
            faults.append("nobody was told anything")
        faults += hits(left, canaries)
        faults += hits(box.state_dir / "logs", {"patient": PATIENT})
        held = box.boto("secretsmanager").get_secret_value(SecretId="daily-emr/sandbox/DATABASE_URL")
        (left / "leak").write_text(held["SecretString"])
        control = hits(left, canaries)
    say(f"{len(LOUD)} verbosities, a killed run and the one after it")
    return Row(
        f"runs on the sandbox leave none of {len(canaries)} secrets and no patient, at -v to -vvvvv and after SIGKILL",
        len(canaries) * (len(LOUD) + 3),
        tuple(faults),
        "a secret that is written beside them is found" if len(control) > len(faults) else "",
        time.monotonic() - started,
    )


class _Elsewhere(Operator):
    """An operator whose home and temporary files are in a folder that is searched."""

    def environ(self, **extra: str) -> dict[str, str]:
        places = {"HOME": str(self.runs.parent / "home"), "TMPDIR": str(self.runs.parent / "temporary")}
        return super().environ(**places, AWS_SESSION_TOKEN=TOKEN, **extra)

    def command(self, env: dict[str, str], *more: str) -> Run:
        """The `runbook` command with its points (tests/chaos/command.py)."""
        paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'collections'}"}
        options = (*self._options("--input"), *more)
        words = (sys.executable, "-m", "tests.chaos.command", "run", self.name, "--environment", "sandbox", *options)
        return self.start(*words, env={**paths, **env})
