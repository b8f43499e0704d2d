"""The same traffic, counted by CloudWatch at the load balancer and by a real Prometheus at the tasks."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import PATIENT_S, TIME_FACTOR
from tests.integration.modules import Runner
from tests.sandbox.prometheus import needs_prometheus, running_prometheus

pytestmark = [pytest.mark.usefixtures("mended"), needs_prometheus]

# One request in ten fails: /api/reports is the route that the fault breaks.
PATHS = (*["/api/appointments"] * 9, "/api/reports")
# Requests a second by each: a window's edge is a small part of a per cent.
SENDERS, RATE = len(PATHS), 10.0
# The window that is compared, on either side of it the same traffic, and what the two counters are late by.
WINDOW_MIN = 60
MARGIN = timedelta(seconds=6)


@contextmanager
def steady_traffic(url: str) -> Iterator[None]:
    """Requests at a constant rate, a share of which fails."""
    over = threading.Event()

    def send(first: int) -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        while not over.wait(1 / RATE):
            for path in PATHS[first:] + PATHS[:first]:
                connection.request("GET", path)
                connection.getresponse().read()
                if over.wait(1 / RATE):
                    break
        connection.close()

    # Each begins with another path: the failures are spread as evenly as the requests.
    senders = [threading.Thread(target=send, args=(first,)) for first in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        yield
    finally:
        over.set()
        for sender in senders:
            sender.join()


def over_the_window(found: dict[str, Any]) -> dict[str, Any]:
    return next(burn for burn in found["burns"] if burn["window_minutes"] == WINDOW_MIN)


def test_cloudwatch_and_prometheus_agree(sandbox: Sandbox, run: Runner, tmp_path: Path) -> None:
    sandbox.break_("one_route_fails")
    url = sandbox.description["balancer_url"]
    with running_prometheus(sandbox, tmp_path) as prometheus, steady_traffic(url):
        at = datetime.now(UTC) + timedelta(minutes=WINDOW_MIN) / TIME_FACTOR + MARGIN
        wait_until(lambda: datetime.now(UTC) > at + MARGIN, "the window and what is late are over", PATIENT_S)
        there = {"source": "prometheus", "prometheus_url": prometheus.url, "prometheus_scrape_seconds": 1}
        there["prometheus_labels"] = {"job": "emr-web"}
        at_the_balancer = over_the_window(run("error_budget", {"at": at.isoformat()}))
        at_the_tasks = over_the_window(run("error_budget", {"at": at.isoformat(), **there}))

    assert at_the_balancer["bad"] > 0.8 * SENDERS * RATE * WINDOW_MIN / len(PATHS)
    for name in ("bad", "valid", "ratio"):
        assert at_the_balancer[name] == pytest.approx(at_the_tasks[name], rel=0.01), name
