# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the observations of one look at a queue. May change without notice.

"""What the rules of a queue have in common: which observations are felt, the kind of the queue, and its flow."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import Evidence
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import Flow, usable_connections
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import SQS
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, since

if TYPE_CHECKING:
    from collections.abc import Callable

BULLMQ_5 = 5
# What somebody waits for, what is lost on the way, or what will soon be felt.
SYMPTOMS = (
    "jobs_waiting_too_long",
    "backlog_deep",
    "jobs_failing",
    "one_class_fails",
    "failed_jobs_left",
    "jobs_stalled",
    "lists_mixed",
    "queue_paused",
    "queue_throttled",
    "workers_missing",
    "redis_in_transition",
    "redis_memory_full",
    "redis_unreachable",
    "dead_letters_waiting",
)
_SUBJECTS = {
    "one_class_fails": "poison",
    "redis_in_transition": "replication_group",
    "redis_memory_full": "replication_group",
    "redis_cpu_high": "replication_group",
    "redis_unreachable": "replication_group",
    "redis_failed_over": "replication_group",
    "database_limit": "database",
    "dead_letters_waiting": "dead_letters",
}


class QueueEvidence(Evidence):
    """time_factor: how many times faster than AWS the environment runs."""

    def __init__(self, readings: Readings, queue: Json, thresholds: Json, at: str, *, time_factor: float = 1.0) -> None:
        super().__init__(readings, queue["component"], thresholds, at, symptoms=SYMPTOMS, about=_SUBJECTS)
        self.queue = queue
        self.time_factor = time_factor
        self.sqs = queue["kind"] == SQS
        self.flow = flow_of(readings, queue)
        self.subjects |= {
            "replication_group": None if self.sqs else queue["replication_group"],
            "database": queue["database"],
            "dead_letters": queue["dead_letters"] if self.sqs else None,
        }

    def aws_seconds(self, seconds: float) -> float:
        """A period at the pace of AWS, as long as it is here."""
        return seconds / self.time_factor

    def lately(self, moment: str, now: str, minutes: float) -> bool:
        return since(moment, now) <= timedelta(minutes=minutes) / self.time_factor

    def of_kind(
        self,
        kind: str,
        name: str,
        needs: tuple[str, ...],
        rule: Callable[[], tuple[bool | None, str]],
        *,
        expected: str,
        call: str,
    ) -> None:
        """An observation that only one kind of queue can have; of the other it is ruled out."""
        if self.queue["kind"] == kind:
            self.look(name, needs, rule, expected=expected, call=call)
        else:
            self.look(
                name, (), lambda: (False, f"a queue of {self.queue['kind']} has none"), expected=expected, call=call
            )


def flow_of(readings: Readings, queue: Json) -> Flow:
    """Depth, rates and connections, as far as they were read."""
    values = readings.values
    maximum = values.get("max_connections")
    rates = _messages(values) if queue["kind"] == SQS else _jobs(values)
    return Flow(
        **rates,
        connections=values.get("connections_in_use"),
        usable_connections=None if maximum is None else usable_connections(maximum),
    )


def _jobs(values: Json) -> Json:
    if "jobs" not in values:
        return {"workers": len(values["tasks"]) if "tasks" in values else None}
    jobs = values["jobs"]
    first, second = jobs["first"], jobs["second"]
    seconds = max((second["at_ms"] - first["at_ms"]) / 1000, 0.001)
    added = second["added"] - first["added"]
    if first["completed_ever"] is not None and second["completed_ever"] is not None:
        done = second["completed_ever"] - first["completed_ever"]
    else:
        # What came in and is neither open nor failed was done.
        done = added - (open_jobs(second) - open_jobs(first)) - (second["counts"]["failed"] - first["counts"]["failed"])
    workers = jobs["workers"] if jobs["workers"] is not None else len(values["tasks"]) if "tasks" in values else None
    return {
        "depth": waiting_jobs(second),
        "arrivals": round(max(added, 0) / seconds, 2),
        "completions": round(max(done, 0) / seconds, 2),
        "workers": workers,
    }


def _messages(values: Json) -> Json:
    metrics = values.get("message_metrics") or {}
    return {
        "depth": values["messages"]["visible"] if "messages" in values else None,
        "arrivals": metrics.get("arrivals"),
        "completions": metrics.get("completions"),
        "workers": len(values["tasks"]) if "tasks" in values else None,
    }


def waiting_jobs(state: Json) -> int:
    """Jobs that a worker could take now, or could if the queue were not paused (A4.2)."""
    counts = state["counts"]
    return int(counts["wait"] + counts["paused"] + counts["prioritized"])


def misplaced_jobs(state: Json) -> int:
    """Jobs where layout 5 keeps none now, as after a pause by raw keys: its next pause or resume would lose a list."""
    counts = state["counts"]
    return int(counts["wait"] if state["paused"] else counts["paused"]) if state["layout"] == BULLMQ_5 else 0


def held_jobs(state: Json) -> int:
    """Jobs of a queue that runs in the list of a paused one, where no worker looks; a resume takes them back."""
    return 0 if state["paused"] else int(state["counts"]["paused"])


def open_jobs(state: Json) -> int:
    counts = state["counts"]
    return waiting_jobs(state) + int(counts["active"] + counts["delayed"] + counts["children"])
