"""One running sandbox for all tests of the sandbox, and parts of it that run on their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.daemon import free_network
from daily_emr_sandbox.loop import LoopThread
from daily_emr_sandbox.settings import Settings

# A rollout in seconds; processes, databases and HTTP are as fast as they are.
TIME_FACTOR = 40


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running sandbox. Tests that break it mend it."""
    box = Sandbox(tmp_path_factory.mktemp("sandbox") / "state")
    box.up(time_factor=TIME_FACTOR, parts=())
    try:
        yield box
    finally:
        box.down()


@pytest.fixture(scope="session")
def claims_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The same, with queues and claims."""
    box = Sandbox(tmp_path_factory.mktemp("claims_sandbox") / "state")
    box.up(time_factor=TIME_FACTOR, parts=("claims",))
    try:
        yield box
    finally:
        box.down()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Addresses for parts that run without a daemon."""
    with free_network() as network:
        yield Settings(tmp_path_factory.mktemp("parts"), network, time_factor=TIME_FACTOR, parts=frozenset())


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    thread.start()
    yield thread
    thread.stop()
