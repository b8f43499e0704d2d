"""What a look at every control costs in calls, and how long at 100 ms a call: `python -m tests.bench.readiness`.

Counted on the fixtures of the unit tests, so it is the same on every machine; nothing is timed.
"""

from __future__ import annotations

import math

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import THREADS
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Reads
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_controls import CHECKS, declared_calls

from tests.unit.readiness.world import ready, run

SECONDS_A_CALL = 0.1


def chains() -> dict[str, int]:
    """How many calls each check makes one after the other, none of them shared."""
    made, _clients = run(ready())
    found = {}
    for check in CHECKS:
        look = made.look(check, Reads(made.clients))
        check.judge(look)
        found[check.control] = len(look.used)
    return found


def rounds(asked: int, longest: int) -> int:
    """Graham's bound, in calls: work that THREADS share ends after work / THREADS + the longest chain.

    asked: the calls that all checks ask for. To wait for one that another check sent takes no longer than to send it.
    """
    return math.ceil(asked / THREADS) + longest


def main() -> None:
    made, _clients = run(ready())
    _records, sent = made.evidence(CHECKS)
    alone = chains()
    asked, (control, longest) = sum(alone.values()), max(alone.items(), key=lambda item: item[1])
    lines = (
        f"{len(CHECKS)} checks, {len(declared_calls())} kinds of calls: {asked} asked for, {sent} sent",
        f"longest chain: {longest} calls ({control})",
        f"at 100 ms a call, {THREADS} at a time: at most {rounds(asked, longest) * SECONDS_A_CALL:.1f} s; "
        f"one after the other {asked * SECONDS_A_CALL:.1f} s",
    )
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    main()
