# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: probes of the tasks of a web service. May change without notice.

"""What users and the load balancer would see of one task."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import checks_of, failure_of
from ansible_collections.daily_emr.ops.plugins.module_utils._http import Answer, probe, request
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings

# A row that every environment has, of a synthetic tenant; no patient is behind it.
CHART_PATH = "/api/charts/probe"
CHARTS_PATH = "/api/charts"
CHARTS_ROUTE = "/api/charts"
_CREATED = (200, 201)


@dataclass(frozen=True)
class TaskProbe:
    """What one task answered: is it alive, what does it say of its dependencies, does it serve a chart."""

    id: str
    zone: str
    revision: str
    started_at: str
    live: Answer
    ready: Answer
    chart: Answer

    @property
    def checks(self) -> dict[str, Json]:
        """The checks of /readyz: {name: {"status", "ms", "reason"}}; empty when it did not answer in that form."""
        return checks_of(self.ready)

    def reason(self, name: str) -> str | None:
        """Why a dependency fails for this task; empty when it does not, None when the task does not say."""
        check = self.checks.get(name)
        return None if check is None else failure_of(check)

    @property
    def content(self) -> bool:
        """Whether the task says that all its dependencies answer; no word of them is not that."""
        return bool(self.checks) and not any(self.reason(name) for name in self.checks)

    @property
    def silent(self) -> bool:
        """Whether nothing at all came back."""
        return all(answer.status is None for answer in (self.live, self.ready, self.chart))

    def ms(self, name: str) -> float | None:
        """Milliseconds the dependency took, None when the task does not say."""
        taken = self.checks.get(name, {}).get("ms")
        return float(taken) if isinstance(taken, (int, float)) else None

    @property
    def serves(self) -> bool:
        return self.ready.ok and self.chart.ok


def probe_task(task: Json, port: int, timeout_s: float, host: str) -> TaskProbe:
    """Ask one task everything at once, past the load balancer."""
    if not task["address"]:
        nothing = Answer(None, "error", 0)
        answers: dict[str, Any] = {"live": nothing, "ready": nothing, "chart": nothing}
    else:
        base = f"http://{task['address']}:{port}"
        answers = gather(
            live=lambda: probe(base, "/livez", timeout_s=timeout_s, host=host),
            ready=lambda: probe(base, "/readyz", timeout_s=timeout_s, host=host),
            chart=lambda: probe(base, CHART_PATH, timeout_s=timeout_s, host=host),
        )
    return TaskProbe(task["id"], task["zone"] or "", task["revision"], task["started_at"], **answers)


def reachable(readings: Readings) -> Readings:
    """Probes of tasks that we cannot reach are no readings: who runs outside of the network sees nothing of them."""
    probes = list(readings.values.get("task_probes", {}).values())
    states = {target["state"] for target in readings.values.get("targets", [])}
    if probes and "healthy" in states and all(probe.silent for probe in probes):
        del readings.values["task_probes"]
        readings.unread["task_probes"] = (
            "no task answers from here, and the load balancer finds them healthy; run from inside the network"
        )
    return readings


def write_and_read(service: Json, timeout_s: float) -> str:
    """A real transaction: write a synthetic chart through the load balancer, read it back through the edge.

    Returns why it failed; empty when it did not.
    """
    probes = service["probes"]
    host = probes["host"] or ""
    written = request(
        "POST",
        probes["balancer_url"].rstrip("/") + CHARTS_PATH,
        timeout_s=timeout_s,
        host=host,
        headers={"Idempotency-Key": str(uuid.uuid4())},
        body={"tenant": "synthetic", "note": "verification"},
    )
    if written.status not in _CREATED or not written.body.get("id"):
        return f"write_failing: {written.seen} for a synthetic chart through the load balancer"
    found = probe(probes["edge_url"], f"{CHARTS_PATH}/{written.body['id']}", timeout_s=timeout_s, host=host)
    if not found.ok or found.body.get("id") != written.body["id"]:
        return f"read_back_failing: {found.seen} for the chart that was just written, through the edge"
    return ""
