# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what an incident did to the users of the web service. May change without notice.

"""The counts of the web service through a run, as its journal keeps them: numbers and times, nothing else.

What they add up to is not decided here. An incident may have several runs, whose counts overlap; what is made of all of
them is the record of the incident (src/daily_emr_runbooks/impact.py).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._slo import Policy
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_cloudwatch import (
    balancer_dimension,
    read_p95,
    read_requests,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_spans import Pace
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, iso

if TYPE_CHECKING:
    from collections.abc import Mapping

# How long users may have felt it before somebody opened a run, at AWS's pace.
BEFORE_MINUTES = 30
# The lease is held until a run has closed, and no mitigation depends on this: a service that does not answer soon is
# not waited for as one is whose answer decides something.
ATTEMPTS, PATIENCE_SECONDS = 2, 5


class BriefClients(Clients):
    """Clients that read, and give up soon."""

    def read(
        self, service: str, region: str = "", attempts: int = ATTEMPTS, *, patience: int = PATIENCE_SECONDS
    ) -> Any:
        """As Clients.read, but with fewer attempts and less patience."""
        return super().read(service, region, attempts, patience=patience)


def read_impact(clients: Clients, service: Json, slo: Mapping[str, Any], opened: datetime, at: datetime) -> Json:
    """The counts from half an hour of AWS before a run was opened until now.

    service, slo: as in the inventory. opened, at: when the run was opened, and now.

    Each entry of ``series`` has ``at``, its begin in UTC on the clock of the environment; ``minutes``, how many of
    AWS's minutes it covers (they are shorter where time runs faster, the sandbox); ``bad`` and ``valid`` requests; and
    ``p95_ms``, null where no target answered. A step that is not over yet is left out. Raises OpsError with the reason
    when the requests cannot be read, or when none was counted; latencies that cannot be read are null.
    """
    pace, policy = Pace(at, clients.environment.time_factor), Policy.from_params(slo, at)
    spans = pace.spans(pace.aws(opened) - timedelta(minutes=BEFORE_MINUTES))
    balancer = balancer_dimension(clients, service["load_balancer"])
    readings = Readings()
    readings.take(
        requests=partial(read_requests, clients, balancer, pace, spans),
        latency=partial(read_p95, clients, balancer, spans),
    )
    slowest = {} if "latency" in readings.unread else readings.need("latency")
    series = []
    for count in readings.need("requests").counts:
        # Steps begin at whole seconds; on AWS's clock and back they are some microseconds off.
        begin = datetime.fromtimestamp(round(pace.real(count.at).timestamp()), UTC)
        minutes = round(count.minutes, 3)
        if count.valid <= 0 or begin + timedelta(minutes=minutes) / pace.factor > at:
            continue
        seconds = slowest.get(begin)
        p95_ms = None if seconds is None else round(seconds * 1000, 1)
        series.append({"at": iso(begin), "minutes": minutes, "bad": count.bad, "valid": count.valid, "p95_ms": p95_ms})
    if not series:
        raise OpsError(f"CloudWatch counted no request of {service['load_balancer']} since {iso(spans[0].start)}.")
    bad, valid = (math.fsum(entry[name] for entry in series) for name in ("bad", "valid"))
    return {
        "series": series,
        "read_at": iso(at),
        "time_factor": pace.factor,
        "down_ratio": float(policy.down_ratio),
        "down_requests": policy.down_requests,
        "budget_minutes_month": float(policy.budget_minutes),
        "sentence": f"{bad:.0f} of {valid:.0f} requests failed from {series[0]['at']} to {iso(at)}.",
    }
