"""The receiver as it is served, with what reached the rules, and an internet that has one certificate."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from daily_emr_runbooks.alerts.receiver import Receiver
from daily_emr_runbooks.alerts.settings import Settings
from daily_emr_runbooks.alerts.triggers import Triggers, alarm_prefix
from daily_emr_runbooks.project import Project
from tests.alert_messages import TOKENS, TOPIC, Sns

PROJECT = Project(Path(__file__).resolve().parents[3])
TRIGGERS, PREFIX = Triggers.of(PROJECT, "sandbox"), alarm_prefix(PROJECT, "sandbox")


@dataclass
class Received:
    """What came of some requests."""

    statuses: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def started(self) -> list[tuple[str, str]]:
        return [(event["alert"]["runbook"], event["alert"]["component"]) for event in self.events]


class Desk:
    """Posts to a receiver."""

    def __init__(self, settings: Settings, runs: Path, sns: Sns) -> None:
        self.settings, self.runs, self.sns = settings, runs, sns
        self.asked: list[str] = []
        """Addresses that the receiver fetched."""
        self.reachable = True

    async def _get(self, address: str) -> bytes:
        self.asked.append(address)
        if not self.reachable:
            raise OSError("no way out")
        return self.sns.certificate

    def post(self, path: str, *requests: tuple[dict[str, str], bytes]) -> Received:
        return asyncio.run(self._post(path, requests))

    async def _post(self, path: str, requests: tuple[tuple[dict[str, str], bytes], ...]) -> Received:
        received = Received()

        async def put(event: dict[str, Any]) -> None:
            received.events.append(event)

        receiver = Receiver(self.settings, TRIGGERS, PREFIX, self.runs, put, self._get)
        async with TestClient(TestServer(receiver.application())) as client:
            for headers, body in requests:
                answer = await client.post(path, data=body, headers=headers)
                received.statuses.append(answer.status)
                received.texts.append(await answer.text())
        return received


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    for name, value in TOKENS.items():
        (folder / name).write_text(f"{value}\n")
        (folder / name).chmod(0o600)
    return folder


@pytest.fixture(scope="session")
def sns() -> Sns:
    return Sns()


@pytest.fixture
def desk(secrets: Path, tmp_path: Path, sns: Sns) -> Desk:
    settings = Settings.of({"environment": "sandbox", "secrets": str(secrets), "topic": TOPIC, "port": 0})
    return Desk(settings, tmp_path / "runs", sns)
