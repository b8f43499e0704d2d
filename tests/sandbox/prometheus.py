"""A real Prometheus (Debian package `prometheus`) that scrapes the tasks of a sandbox during a test."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

UNPACKED = Path(__file__).resolve().parents[2] / ".cache/prometheus/usr/bin"
PROGRAM = shutil.which("prometheus", path=f"{UNPACKED}{os.pathsep}{os.environ['PATH']}")
needs_prometheus = pytest.mark.skipif(
    PROGRAM is None, reason="there is no Prometheus: `make prometheus` unpacks it on Debian"
)
HOST, PORT = 15, 26300
"""Host of the sandbox's network, and port: nothing of the sandbox listens there."""
CONFIGURATION = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: emr-web
    file_sd_configs: [{{files: ["{targets}"], refresh_interval: 1s}}]
"""


@dataclass
class Prometheus:
    """A running server."""

    url: str
    targets: Path
    sandbox: Sandbox

    def discover(self) -> int:
        """Scrape the tasks that run now; returns how many."""
        port = self.sandbox.description["task_port"]
        running = [task["address"] for task in self.sandbox.status()["tasks"] if task["status"] == "RUNNING"]
        draft = self.targets.with_suffix(".draft")
        draft.write_text(json.dumps([{"targets": [f"{address}:{port}" for address in running]}]))
        draft.rename(self.targets)
        return len(running)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series of an instant query."""
        where = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(where, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    @property
    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2):
                return True
        except OSError:
            return False


@contextlib.contextmanager
def running_prometheus(sandbox: Sandbox, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus with its data and its log in a folder. For tests that are marked with `needs_prometheus`."""
    assert PROGRAM is not None
    place = f"{sandbox.description['network']}.{HOST}:{PORT}"
    started = Prometheus(f"http://{place}", folder / "targets.json", sandbox)
    started.targets.write_text("[]")
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(targets=started.targets))
    options = {"config.file": configuration, "storage.tsdb.path": folder / "data", "web.listen-address": place}
    command = [PROGRAM, *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    try:
        wait_until(lambda: started.ready or process.poll() is not None, "Prometheus is ready", 60)
        assert process.poll() is None, (folder / "prometheus.log").read_text()
        tasks = started.discover()
        wait_until(lambda: len(started.query("up == 1")) == tasks, "every task is scraped", 60)
        yield started
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
