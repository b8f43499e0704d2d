#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_limit
short_description: Set or lift the global concurrency or rate limit of a queue of BullMQ
version_added: 0.1.0
description:
  - Sets how many jobs of a queue run at the same time over all workers, or how many begin a second, by one call of the
    official package. A limit that was set can be lifted again.
  - Refuses a limit above what the provider behind the queue accepts, and to lift one while the database is at its own.
  - Refuses to lift one when the workers would then do more than the provider accepts, by what a job usually takes, and
    when nobody can say how many workers there are.
author:
  - Daily EMR operations (@daily-emr)
options:
  limit:
    description: Which of the two limits.
    type: str
    choices: [concurrency, rate]
    required: true
  value:
    description: Jobs at the same time, or jobs a second; V(0) lifts the limit.
    type: int
    required: true
  connections_percent:
    description: Share of the connections of the database, in percent, above which no limit is lifted.
    type: int
    default: 80
  cpu_percent:
    description: CPU of the database, in percent, above which no limit is lifted.
    type: int
    default: 70
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.queue
  - daily_emr.ops.queue.flow
"""

EXAMPLES = r"""
- name: Protect the provider
  daily_emr.ops.queue_limit:
    queue: "{{ queue }}"
    limit: rate
    value: 5
"""

RETURN = r"""
outcome:
  description: How the change ended, one of V(ok), V(noop), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
prediction:
  description: What the change does and costs. Empty when there is nothing to do.
  returned: always
  type: list
  elements: str
  sample: ["Drain time: never now, 12 min after it."]
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["The provider accepts 10 jobs a second: set at most that."]
undo:
  description: The module and arguments that would undo the change.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.queue_limit
    args:
      limit: concurrency
      value: 1
target:
  description: What the change is about.
  returned: always
  type: str
  sample: queue/notifications
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_changes import BullMQChange
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import outlook
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_load import LOAD_OPTIONS, at_limit, read_load
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import FLOW_OPTION, QUEUE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, unread

SECOND_MS = 1000


class QueueLimit(BullMQChange):
    """One of the two global limits of a queue; 0 is none."""

    name: ClassVar[str] = "queue_limit"
    imperative: ClassVar[bool] = False
    spec: ClassVar[Json] = {
        "queue": QUEUE_OPTION,
        "flow": FLOW_OPTION,
        "limit": {"type": "str", "choices": ["concurrency", "rate"], "required": True},
        "value": {"type": "int", "required": True},
        **LOAD_OPTIONS,
    }

    def observe(self) -> Json:
        readings = Readings()
        readings.take(queue=lambda: self.state("brief"))
        found = readings.need("queue")
        before = {"limit": self.params["limit"], "value": self._value(found)}
        if self._lifts(before):
            read_load(self.clients, self.queue, readings.take, readings.values)
        return {**before, "context": {**found, **readings.context()}}

    def _value(self, found: Json) -> float:
        return _limits(found)[self.params["limit"]]

    def _lifts(self, before: Json) -> bool:
        """Whether more jobs could run afterwards."""
        return bool(before["value"]) and (not self.params["value"] or self.params["value"] > before["value"])

    def wanted(self, before: Json) -> Json:
        return {"limit": self.params["limit"], "value": self.params["value"]}

    def refusals(self, before: Json) -> list[str]:
        context, value = before["context"], self.params["value"]
        reasons = self.common_refusals(before)
        accepts = self.queue["provider_rate"]
        if value < 0:
            reasons.append(f"A limit of {value} means nothing: set 0 to lift it.")
        if self.params["limit"] == "rate" and accepts and value > accepts:
            reasons.append(f"The provider accepts {accepts} jobs a second: set at most that.")
        if self._lifts(before):
            reasons += unread(context) + at_limit(context, self.params, "lifting a limit") + self._provider(context)
        return reasons

    def _provider(self, context: Json) -> list[str]:
        """Without a limit of its own the queue does what its workers can, the usual ones at least."""
        queue, accepts = self.queue, self.queue["provider_rate"]
        limits = _limits(context) | {self.params["limit"]: self.params["value"]}
        bounds = [limits["rate"], limits["concurrency"] * SECOND_MS / queue["usual_job_ms"]]
        if context["workers"] is not None:
            bounds.append(self.usual_rate(max(context["workers"], queue["worker_expected"])) or 0)
        most = min((bound for bound in bounds if bound), default=None)
        if not accepts or (most is not None and most <= accepts):
            return []
        more = "Nobody knows how many" if most is None else f"{most:.1f}"
        return [
            f"{more} jobs a second would be done then, and the provider accepts {accepts}: set a rate of at most that "
            "instead."
        ]

    def prediction(self, before: Json) -> list[str]:
        flow, value = self.flow, self.params["value"]
        if self.params["limit"] == "rate" and value:
            after: float | None = float(value)
        elif self.params["limit"] == "concurrency" and value:
            after = value * SECOND_MS / self.queue["usual_job_ms"]
        else:
            after = self.usual_rate()
        return [
            f"At most {value} jobs {'at the same time' if self.params['limit'] == 'concurrency' else 'a second'}."
            if value
            else "No limit any more: the workers take as much as they can.",
            *outlook(flow, completions=after, provider_rate=self.queue["provider_rate"]),
        ]

    def apply(self, before: Json) -> None:
        if self.params["limit"] == "concurrency":
            self.call("set_concurrency", before, value=self.params["value"])
        else:
            self.call("set_rate", before, value=self.params["value"], per_ms=SECOND_MS)

    def inverse(self, before: Json) -> Json | str:
        if before["value"] != int(before["value"]):
            return f"Nothing to undo: a limit of {before['value']} jobs a second was the incident."
        return self.step_back(self.name, limit=self.params["limit"], value=int(before["value"]))


def _limits(found: Json) -> dict[str, float]:
    """Both limits that stand on a queue; the rate in jobs a second."""
    rate = found["rate_max"] * SECOND_MS / found["rate_ms"] if found["rate_max"] and found["rate_ms"] else 0
    return {"concurrency": int(found["concurrency"] or 0), "rate": int(rate) if rate == int(rate) else float(rate)}


ENTRY = change_entry(QueueLimit)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
