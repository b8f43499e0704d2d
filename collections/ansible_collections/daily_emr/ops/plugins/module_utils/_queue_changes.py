# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the changes of a queue share. May change without notice.

"""A change of one queue: where it is, what it says, the one request that changes it, and what that leads to."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import Flow
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_evidence import misplaced_jobs
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import BULLMQ
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_program import ask, place_of, read_group, send
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, given

SERVING = ("available", "snapshotting")


class QueueChange(Change):
    """A change of one queue, named by the option ``queue``."""

    @property
    def queue(self) -> Json:
        found: Json = self.params["queue"]
        return found

    @property
    def target(self) -> str:
        return f"queue/{self.queue['component']}"

    @property
    def flow(self) -> Flow:
        """What the diagnosis has measured; everything in it may be unknown."""
        return Flow.of(self.params["flow"])

    def aws_seconds(self, seconds: float) -> float:
        """A period of AWS's own pace, as long as it is in this environment."""
        return float(self.clients.environment.seconds(seconds))

    def usual_rate(self, workers: int | None = None) -> float | None:
        """Jobs a second that so many workers do when nothing keeps them; those that were seen where none are given."""
        workers, queue = workers or self.flow.workers, self.queue
        return None if not workers else workers * queue["jobs_per_worker"] * 1000 / queue["usual_job_ms"]

    def repetition_refusals(self) -> list[str]:
        """Why what was tried once may not be tried again."""
        if self.queue["idempotent"] or self.params["reconciled"]:
            return []
        return ["A job of this queue may not run twice: reconcile what became of each before any is sent again."]

    def step_back(self, module: str, **args: Any) -> Json:
        """An inverse: the same queue given to ``module`` with other arguments."""
        return {"module": f"daily_emr.ops.{module}", "args": {"queue": given(self.queue), **args}}


class BullMQChange(QueueChange):
    """A change of a queue of BullMQ, by one call of its package."""

    def state(self, command: str = "counters", **more: Any) -> Json:
        """What the queue says now, with the state of its replication group."""
        if self.queue["kind"] != BULLMQ:
            raise Refused(f"{self.queue['component']} is a queue of {self.queue['kind']}, which has no such switch.")
        group = read_group(self.clients, self.queue["replication_group"])
        found = ask(self.clients, self.queue, place_of(self.clients, self.queue, group), command, **more)
        return {**found, "group": group["status"]}

    def call(self, command: str, before: Json, **more: Any) -> Json:
        """The one call. It is not made when the queue has another layout than the one that was seen."""
        place = place_of(self.clients, self.queue)
        expects = {"layout": before["context"]["layout"]}
        return send(self.clients, self.queue, place, command, expects=expects, **more)

    def common_refusals(self, before: Json) -> list[str]:
        """What no change of a queue may be made in."""
        context = before["context"]
        reasons = []
        if context["layout"] is None:
            reasons.append(
                f"The queue says version {context['version'] or 'none'}, which is neither BullMQ 5 nor 6: nobody knows "
                "its keys, so leave it alone and ask its owner."
            )
        if context["group"] not in SERVING:
            reasons.append(
                f"The replication group is {context['group']}: wait until it is available, its primary may change."
            )
        if context["server"]["loading"] or context["server"]["role"] not in ("master", None):
            reasons.append("The server behind the endpoint is not a primary that takes writes: wait, and run again.")
        counts = context["counts"]
        if misplaced_jobs(context):
            now = "paused" if context["paused"] else "running"
            reasons.append(
                f"The queue is {now}, and {counts['wait']} jobs stand in wait and {counts['paused']} in paused, as "
                "after a pause by raw keys, and BullMQ 5 would lose one of the lists: stop the producers and move the "
                "jobs by hand."
            )
        return reasons
