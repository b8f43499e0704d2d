"""A stand-in of Semaphore for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .semaphore_server import TOKEN, Server


@pytest.fixture
def semaphore(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An empty server, and its token where the modules look for it."""
    monkeypatch.setenv("SEMAPHORE_API_TOKEN", TOKEN)
    server = Server()
    yield server
    server.stop()
