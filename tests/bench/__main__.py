"""What a whole run of `app_outage` costs on a healthy system, beside the same reads done in two other ways.

`python -m tests.bench [rounds]` starts a sandbox of its own, runs the three in turn, round by round, without and with
100 ms on every AWS call, and prints medians and the ratios of the medians. It asserts nothing about time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

import psutil
from daily_emr_sandbox.client import Sandbox

ROOT = Path(__file__).resolve().parents[2]
DELAY_MS = 100
# Of the diagnosis: proof of identity, then ListServiceDeployments, DescribeServiceDeployments,
# DescribeServiceRevisions, DescribeTaskDefinition and DescribeImages, each of which names the next one's subject.
LONGEST_CHAIN = 6


@dataclass(frozen=True)
class Cost:
    """Of one command: wall and CPU seconds of the whole process tree, processes seen, AWS calls."""

    wall: float
    cpu: float
    processes: int
    calls: int


def measure(command: list[str], box: Sandbox, runs: Path) -> Cost:
    env = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}
    env |= {"DAILY_EMR_SANDBOX": str(box.state_dir), "DAILY_EMR_RUNS": str(runs), "LC_ALL": "C.UTF-8"}
    mark = box.mark()
    before = _cpu_of_children()
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    seen: set[tuple[int, float]] = set()
    watcher = threading.Thread(target=_watch, args=(process.pid, seen))
    watcher.start()
    output, _ = process.communicate()
    wall = time.monotonic() - started
    watcher.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{output.decode()}")
    return Cost(wall, _cpu_of_children() - before, len(seen), len(box.calls(mark)))


def _cpu_of_children() -> float:
    """CPU seconds of every child that has ended, with its own children."""
    usage = os.times()
    return usage.children_user + usage.children_system


def _watch(pid: int, seen: set[tuple[int, float]]) -> None:
    """Collect the processes of the tree by sampling; one that lives for less than a few milliseconds is missed."""
    try:
        root = psutil.Process(pid)
        while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
            for process in [root, *root.children(recursive=True)]:
                seen.add((process.pid, process.create_time()))
            time.sleep(0.002)
    except psutil.NoSuchProcess:
        return


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        box = Sandbox(Path(folder) / "sandbox")
        box.up(parts=())
        try:
            compare(box, rounds, Path(folder) / "runs")
        finally:
            box.down()


def compare(box: Sandbox, rounds: int, runs: Path) -> None:
    playbook = ["ansible-playbook", "-i", "inventories/sandbox"]
    ways = {
        "runbook app_outage": [*playbook, "runbooks/app_outage.yml"],
        "info modules": [*playbook, "tests/bench/stock.yml"],
        "plain script": [sys.executable, "tests/bench/plain.py", str(box.state_dir)],
    }
    diagnosis: dict[int, float] = {}
    for delay in (0, DELAY_MS):
        box.clear_faults()
        if delay:
            box.fault("*", "*", "delay", ms=delay, count=1_000_000)
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        took = []
        for _round in range(rounds):
            for name, command in ways.items():
                costs[name].append(measure(command, box, runs))
            took.append(diagnosed(runs))
        diagnosis[delay] = median(took)
        report(costs, delay)
    added = (diagnosis[DELAY_MS] - diagnosis[0]) * 1000 / DELAY_MS
    print(  # noqa: T201
        f"\ndiagnosis: {diagnosis[0]:.2f} s, with {DELAY_MS} ms on each call {diagnosis[DELAY_MS]:.2f} s: "
        f"{added:.1f} calls one after the other; its longest dependent chain has {LONGEST_CHAIN}"
    )


def diagnosed(runs: Path) -> float:
    """Seconds from the opened incident to what was observed, in the newest run."""
    newest = max(runs.glob("*/*/record.json"), key=lambda path: path.stat().st_mtime_ns)
    at = {line["kind"]: datetime.fromisoformat(line["at"]) for line in json.loads(newest.read_text())["journal"]}
    return (at["observed"] - at["opened"]).total_seconds()


def report(costs: dict[str, list[Cost]], delay: int) -> None:
    medians = {
        name: {field: median(getattr(cost, field) for cost in found) for field in Cost.__dataclass_fields__}
        for name, found in costs.items()
    }
    base = medians["plain script"]
    print(f"\n{delay} ms on each AWS call, median of {len(next(iter(costs.values())))}")  # noqa: T201
    print(f"{'':20} {'wall s':>8} {'CPU s':>8} {'processes':>10} {'calls':>6}   ratio to the script: wall, CPU")  # noqa: T201
    for name, found in medians.items():
        ratios = f"{found['wall'] / base['wall']:6.1f} {found['cpu'] / base['cpu']:6.1f}"
        line = f"{name:20} {found['wall']:8.2f} {found['cpu']:8.2f} {found['processes']:10.0f} {found['calls']:6.0f}"
        print(f"{line}   {ratios}")  # noqa: T201
    print(json.dumps({"delay_ms": delay, **medians}))  # noqa: T201


if __name__ == "__main__":
    main()
