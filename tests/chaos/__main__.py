"""`make chaos`: attack the promises of docs/safety.md and print one row for each.

    python -m tests.chaos [--size ci|long] [--seed N] [--hours H] [LINE ...]

Each line runs in a process of its own, so that what it patches for its control and what it starts stays there; as many
at a time as --jobs says. With --hours, whole rounds with new seeds follow each other until that time is over. The exit
code is 0 when nothing went wrong and each control failed as it has to.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.rows import Row

ROOT = Path(__file__).resolve().parents[2]
# In the order of what they promise; the dearest first, so that the cheap ones fill what it leaves.
LINES = (
    "kill_points",
    "check_mode",
    "api_faults",
    "approvals",
    "operators",
    "hostile",
    "canaries",
    "broken_ground",
    "silent_people",
    "undo",
    "nothing_done",
    "flapping",
    "journal",
)
# Tried with both ends of the supported range: what Ansible makes of a value is Ansible's.
BOTH_ENDS = ("hostile",)
SHOWN_FAULTS = 20


def main() -> int:
    given = _arguments()
    if given.inside:
        return _inside(given.lines[0], given.seed, given.size)
    seed = given.seed or random.SystemRandom().randrange(1, 10**9)
    until = time.monotonic() + given.hours * 3600
    while True:
        good = _round(given.lines or list(LINES), seed, given.size, given.jobs)
        if not good or time.monotonic() >= until:
            return 0 if good else 1
        seed += 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Attack the promises of docs/safety.md.")
    parser.add_argument("lines", nargs="*", metavar="LINE", choices=[*LINES, []], help=", ".join(LINES))
    parser.add_argument("--size", choices=["ci", "long"], default="ci")
    parser.add_argument("--seed", type=int, default=0, help="of the random choices; it is printed")
    parser.add_argument("--hours", type=float, default=0.0, help="repeat with new seeds until so much time is over")
    parser.add_argument("--jobs", type=int, default=2, help="lines at a time")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _round(lines: list[str], seed: int, size: str, jobs: int) -> bool:
    """Every line once, and the table. True when all of them hold."""
    console = Console(width=max(Console().width, 110))
    console.print(f"seed {seed}, size {size}", highlight=False)
    tried = [(name, Path(sys.executable)) for name in lines]
    if again := [name for name in lines if name in BOTH_ENDS]:
        newest = _newest()
        tried += [(name, newest) for name in again if newest]
        if not newest:
            console.print(f"no Python 3.13 found: {', '.join(again)} with one ansible-core only", highlight=False)
    with ThreadPoolExecutor(jobs) as pool:
        found = list(pool.map(lambda one: _outside(*one, seed, size, console), tried))
    rows = [row for part in found for row in part]
    table = Table("promise", "tried", "went wrong", "without the guard", "s")
    for row in rows:
        wrong = str(len(row.faults)) if row.faults else "0"
        table.add_row(row.name, str(row.tried), wrong, row.control or "NOT FOUND", f"{row.seconds:.0f}")
    console.print(table)
    for row in rows:
        for fault in row.faults[:SHOWN_FAULTS]:
            console.print(f"FAILED {row.name}: {fault}", style="red", markup=False, highlight=False, soft_wrap=True)
        if not row.control:
            console.print(f"FAILED {row.name}: its control found nothing, so it can find nothing", style="red")
    return all(not row.faults and row.control and row.tried for row in rows)


def _newest() -> Path | None:
    """The Python of the other end of the supported range; None where there is none on this machine."""
    told = subprocess.run([ROOT / "bin/newest"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return Path(told) / "bin/python" if told else None


def _outside(name: str, python: Path, seed: int, size: str, console: Console) -> list[Row]:
    """Run one line in a process of its own; one that breaks is a fault like any other."""
    started = time.monotonic()
    command = [str(python), "-m", "tests.chaos", "--inside", "--seed", str(seed), "--size", size, name]
    paths = os.pathsep.join([str(ROOT / "collections"), str(ROOT)])
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths, "PATH": f"{python.parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    rows = []
    assert process.stdout is not None
    for line in process.stdout:
        row = Row(**json.loads(line))
        rows.append(replace(row, faults=tuple(row.faults)))
        said = f"{name}: {row.name}: {row.tried} tried, {len(row.faults)} wrong"
        console.print(said, highlight=False, soft_wrap=True)
    if process.wait() or not rows:
        wrong = f"the line ended with {process.returncode} after {len(rows)} rows: see its traceback above"
        rows.append(Row(name, 0, (wrong,), "-", time.monotonic() - started))
    return rows


def _inside(name: str, seed: int, size: str) -> int:
    """The process of one line: rows on standard output, progress and tracebacks on standard error."""
    rows_out = sys.stdout
    sys.stdout = sys.stderr

    def say(text: str) -> None:
        sys.stderr.write(f"  {name}: {text}\n")

    started = time.monotonic()
    try:
        for row in importlib.import_module(f"tests.chaos.{name}").line(seed, size, say):
            now = time.monotonic()
            rows_out.write(json.dumps(asdict(replace(row, seconds=row.seconds or now - started))) + "\n")
            rows_out.flush()
            started = now
    except Exception:  # noqa: BLE001  # of a test: whoever reads it wants all of it
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
