# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: whether a web service has come to rest. May change without notice.

"""What has to be true of a service that settled: one release, all tasks, healthy targets, nothing moving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._balancer import read_targets, too_few_targets
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import read_tasks
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import (
    in_progress,
    read_history,
    read_service,
    rolling_back,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    listed,
    parse_utc,
    plural,
    target_groups,
)

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

_LOOKED_AT = ("service", "history", "tasks", "targets")


def look(clients: Clients, service: Json) -> Readings:
    """A fresh look at what has to settle."""
    readings = Readings()
    cluster, name = service["cluster"], service["service"]
    readings.take(
        service=lambda: read_service(clients, cluster, name),
        history=lambda: read_history(clients, cluster, name),
        tasks=lambda: read_tasks(clients, cluster, name),
        targets=lambda: read_targets(clients, target_groups(service)),
    )
    return readings


def unread_of(readings: Readings) -> list[str]:
    """What could not be read."""
    return [f"could not read the {name}" for name in _LOOKED_AT if name not in readings.values]


def missing(readings: Readings, wanted_targets: Json, revision: str, started_after: str) -> list[str]:
    """What is not settled yet; pure. A reading that failed is missing, too.

    wanted_targets: min_healthy_targets and min_zones.
    """
    if lost := unread_of(readings):
        return lost
    found = readings.values
    service, tasks, history = found["service"], found["tasks"], found["history"]
    wanted = revision or service["revision"]
    reasons = []
    moving = in_progress(history) or rolling_back(history)
    if moving:
        reasons.append(f"the deployment of {moving['revision']} is {moving['status']}")
    rollout = (service.get("deployment") or {}).get("rollout")
    if not moving and rollout not in (None, "COMPLETED"):
        # The list of deployments follows a change some seconds later than the service itself.
        reasons.append(f"the rollout of {service['revision']} is {rollout}")
    if service["revision"] != wanted:
        reasons.append(f"the service asks for {service['revision']}, not {wanted}")
    if service["running"] < service["desired"] or not tasks:
        reasons.append(f"{service['running']} of {plural(service['desired'], 'task')} run")
    strangers = {task["revision"] for task in tasks} - {wanted}
    if strangers:
        reasons.append(f"tasks still run {listed(strangers)}")
    old = [task for task in tasks if started_after and parse_utc(task["started_at"]) <= parse_utc(started_after)]
    if old:
        reasons.append(f"{plural(len(old), 'old task')} still run")
    return reasons + too_few_targets(found["targets"], wanted_targets)


def describe(readings: Readings) -> str:
    """What runs, in a few words."""
    tasks, targets = readings.values["tasks"], readings.values["targets"]
    healthy = [target for target in targets if target["state"] == "healthy"]
    zones = plural(len({target["zone"] for target in healthy}), "zone")
    return (
        f"{plural(len(tasks), 'task')} of {readings.values['service']['revision']}, "
        f"{plural(len(healthy), 'healthy target')} in {zones}"
    )
