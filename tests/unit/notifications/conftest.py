"""The stand-ins of the providers, without the rest of a sandbox, and a run whose journal is written line by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _notifier
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal
from ansible_collections.daily_emr.ops.plugins.module_utils._notifier import Ledger, Work, started
from daily_emr_sandbox.daemon import free_network
from daily_emr_sandbox.loop import LoopThread
from daily_emr_sandbox.people.part import People
from daily_emr_sandbox.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = ROOT / "roles/incident/templates/notifications"
INCIDENT, RUN = "INC-20261201-010203-ab12", "20261201-010203-cd34"
STEP = {"step": "ecs_service_release", "target": "service/daily-emr-staging/daily-emr-staging-web"}
Json = dict[str, Any]


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    with free_network() as network:
        (tmp_path / "state").mkdir()
        yield Settings(tmp_path / "state", network, time_factor=60, parts=frozenset())


@pytest.fixture
def people(settings: Settings) -> Iterator[People]:
    loop = LoopThread()
    loop.start()
    part = People(settings, loop)
    part.start()
    yield part
    part.stop()
    loop.stop()


@dataclass
class Run:
    """A run folder and the work of telling people about it."""

    folder: Path
    work: Work

    def __post_init__(self) -> None:
        self.journal = Journal(self.folder, INCIDENT, RUN, "emr-web")
        self.journal.create()

    def opened(self, **more: Any) -> None:
        about = {"runbook": "app_outage", "title": "The application is down", "severity": "SEV1"}
        self.journal.append("opened", **{**about, "environment": "staging", "mode": "run", **more})

    def decided(self, cause: str = "bad_release") -> None:
        self.journal.append(
            "decided", verdict="cause", cause=cause, sentence="Errors come only from the newest release."
        )

    def changed(self, outcome: str = "ok") -> None:
        self.journal.append("intent", **STEP, prediction=["Removes 97 % of the bad requests."])
        self.journal.append("outcome", **STEP, outcome=outcome, prediction=[])

    def closed(self, outcome: str = "succeeded", *, verified: bool = True, reached: str = "") -> None:
        self.journal.append("verified", verified=verified, reached=reached, sentence="Good 20 times in a row.")
        self.journal.append("closed", outcome=outcome, sentence="It is healthy again.")

    def whole(self) -> None:
        self.opened()
        self.decided()
        self.changed()
        self.closed()

    @property
    def states(self) -> list[tuple[str, str, str]]:
        """What became of what, as the ledger has it: channel, event, state."""
        return [(line["channel"], line["event"], line["state"]) for line in Ledger(self.folder).read().values()]


@pytest.fixture
def run(people: People, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of which all channels tell. No provider is given more than a moment."""
    monkeypatch.setattr(_notifier, "PAUSES_S", (0.01, 0.02))
    monkeypatch.setattr(_notifier, "LOOK_S", 0.01)
    monkeypatch.setattr(_notifier, "GRACE_S", 0.1)
    tokens = dict(line.split("=", 1) for line in (settings.state_dir / "notification_tokens").read_text().splitlines())
    folder = tmp_path / "runs" / INCIDENT / RUN
    here = people.describe()["notifications"]
    pid = 1
    return Run(folder, Work(str(folder), here, tokens, str(TEMPLATES), 5.0, pid=pid, born=started(pid)))
