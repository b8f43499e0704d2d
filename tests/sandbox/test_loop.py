"""Threads of the sandbox: a round that fails is not the last, and a stop waits for the round it is in."""

from __future__ import annotations

import logging
import threading

import pytest
from daily_emr_sandbox.loop import Rounds, wait_until


class Clerk(Rounds):
    def __init__(self) -> None:
        super().__init__("clerk", 0.01)
        self.rounds = 0
        self.inside, self.go_on = threading.Event(), threading.Event()

    def _round(self) -> None:
        self.rounds += 1
        if self.rounds == 1:
            raise ValueError("a bad day")
        self.inside.set()
        self.go_on.wait(10)


def test_a_round_that_fails_is_not_the_last_and_a_stop_waits_for_its_end(caplog: pytest.LogCaptureFixture) -> None:
    clerk = Clerk()
    with caplog.at_level(logging.ERROR):
        clerk.start()
        assert clerk.inside.wait(10), "the next round tries again"
    assert "clerk failed" in caplog.text
    stopping = threading.Thread(target=clerk.stop)
    stopping.start()
    wait_until(clerk._stopped.is_set, "the clerk was told", 10.0)
    assert stopping.is_alive()
    clerk.go_on.set()
    wait_until(lambda: not stopping.is_alive(), "the clerk has stopped", 10.0)
    assert clerk.rounds == 2


def test_what_was_never_started_can_be_stopped() -> None:
    Clerk().stop()
