# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what a queue will do. May change without notice.

"""How long a backlog takes, how many workers fit, and how a redrive climbs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import floor, isfinite
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import plural, spoken

if TYPE_CHECKING:
    from typing import Any

# A fifth of the connections stays free for migrations, backups and people (A4.4b, M5).
USABLE_SHARE = 0.8
# Below it two rates are the same: what is measured over seconds is not exact.
SAME_RATE = 0.05
# Workers that do less than this of the usual, with work before them, wait for something.
SLOW_PACE = 0.5
# So many jobs for each that they can work at are enough not to wait for the next one.
ENOUGH_WORK = 2
# A redrive begins so small that a cause which is not mended hurts nobody (A5.4, M7: 1, 5, 10, 25 %).
FIRST_SLICE = 5
GROWTH = 2


@dataclass(frozen=True)
class Flow:
    """What a look has measured; jobs and connections are counts, rates are jobs a second. None: not known."""

    depth: int | None = None
    arrivals: float | None = None
    completions: float | None = None
    workers: int | None = None
    connections: int | None = None
    usable_connections: int | None = None

    @classmethod
    def of(cls, option: dict[str, Any]) -> Flow:
        return cls(**{name: value for name, value in option.items() if value is not None})

    @property
    def drain_s(self) -> float | None:
        """Seconds until the queue is empty; infinite when it never is, None when nobody knows."""
        if self.depth is None or self.arrivals is None or self.completions is None:
            return None
        return drain_s(self.depth, self.arrivals, self.completions)


def drain_s(depth: int, arrivals: float, completions: float) -> float:
    """T = depth / (mu - lambda); where no more is done than arrives it never drains (A4.3)."""
    if not depth:
        return 0.0
    net = completions - arrivals
    return depth / net if net > SAME_RATE else float("inf")


def drain_time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return spoken(timedelta(seconds=seconds)) if isfinite(seconds) else "never"


def usable_connections(maximum: int) -> int:
    return int(maximum * USABLE_SHARE)


def fitting_workers(*, running: int, usable: int, in_use: int, pool: int) -> int:
    """Most workers whose pools fit into the connections that may be used, with those that run already."""
    return running + max(floor((usable - in_use) / pool), 0)


def needed_workers(flow: Flow, within_s: float) -> int | None:
    """Fewest workers that drain the backlog in time, at the pace of those that work now; None when it is not known."""
    if flow.depth is None or flow.arrivals is None or not flow.completions or not flow.workers:
        return None
    wanted = flow.arrivals + flow.depth / within_s
    each = flow.completions / flow.workers
    return max(-floor(-wanted / each), flow.workers)


def pace(flow: Flow, *, jobs_per_worker: int, usual_job_ms: int) -> float | None:
    """What share of the usual the workers do, while each has work before it; None when it has not, or nobody knows."""
    if flow.completions is None or not flow.workers or flow.depth is None:
        return None
    at_once = flow.workers * jobs_per_worker
    return flow.completions / (at_once * 1000 / usual_job_ms) if flow.depth >= ENOUGH_WORK * at_once else None


def with_workers(flow: Flow, workers: int) -> float | None:
    """Completions a second of another number of workers, when each does what one does now."""
    if flow.completions is None or not flow.workers:
        return None
    return flow.completions * workers / flow.workers


def outlook(
    flow: Flow,
    *,
    completions: float | None,
    depth: int | None = None,
    connections: int | None = None,
    provider_rate: int = 0,
) -> list[str]:
    """What a change leads to, in the sentences that a plan shows: rates, drain time, connections, provider.

    Args:
        completions: a second, after the change; None when nobody can say.
        depth: jobs that wait after the change, where it adds or takes some.
        connections: of the database, after the change; the same as now where none is given.
    """
    now, after = rate(flow.completions), rate(completions)
    depth_after = flow.depth if depth is None else depth
    waits = "an unknown number of jobs" if flow.depth is None else plural(flow.depth, "job")
    moved = "" if depth_after == flow.depth else f" ({depth_after} after it)"
    drains = None
    if depth_after is not None and flow.arrivals is not None and completions is not None:
        drains = drain_s(depth_after, flow.arrivals, completions)
    sentences = [
        f"Depth: {waits}{moved}; arrivals: {rate(flow.arrivals)}; completions: {now} now, {after} after it.",
        f"Drain time: {drain_time(flow.drain_s)} now, {drain_time(drains)} after it.",
    ]
    if flow.connections is not None:
        of = f", of {flow.usable_connections} that may be used" if flow.usable_connections is not None else ""
        then = flow.connections if connections is None else connections
        sentences.append(f"Connections of the database: {flow.connections} now, {then} after it{of}.")
    else:
        sentences.append("Connections of the database: unknown.")
    limit = f", of {provider_rate}/s that the provider accepts" if provider_rate else ""
    sentences.append(f"Rate at the provider: {now} now, {after} after it{limit}.")
    return sentences


def rate(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f}/s"


def slice_size(number: int, most: int) -> int:
    """Jobs in a slice of a redrive: a handful in the first, then twice as many each time, never more than most."""
    return max(min(FIRST_SLICE * int(GROWTH ** max(number - 1, 0)), most), 1)


def slice_ratio(*, failed: int, total: int) -> float:
    """Share of a slice that failed again."""
    return failed / total if total else 0.0
