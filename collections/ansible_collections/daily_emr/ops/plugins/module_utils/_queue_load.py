# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the database behind a queue can take. May change without notice.

"""State, CPU and connections of the database that workers use, and why it can take no more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import (
    DATABASE_SERVES,
    peak,
    read_database,
    read_max_connections,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import fitting_workers, usable_connections
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, iso, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

# The bounds of A4.4b, M5 and A4.5.
LOAD_OPTIONS: Json = {
    "connections_percent": {"type": "int", "default": 80},
    "cpu_percent": {"type": "int", "default": 70},
}


def read_load(clients: Clients, queue: Json, take: Callable[..., None], values: Json) -> None:
    """Read all of it by take, into values; the limit of connections needs the parameter groups of the instance."""
    instance = queue["database"]
    take(database=lambda: read_database(clients, instance))
    groups = values.get("database", {}).get("parameter_groups", [])
    now, of = str(iso(datetime.now(UTC))), {"DBInstanceIdentifier": instance}
    take(
        CPU_of_the_database=lambda: peak(clients, "AWS/RDS", "CPUUtilization", "Average", now, **of),
        connections_in_use=lambda: int(peak(clients, "AWS/RDS", "DatabaseConnections", "Maximum", now, **of)),
        max_connections=lambda: queue["max_connections"] or read_max_connections(clients, groups),
    )


def at_limit(context: Json, params: Mapping[str, Any], what: str) -> list[str]:
    """Why the database can take no more; what could not be read is for the caller to refuse."""
    reasons = []
    status, cpu = context.get("database", {}).get("status"), context.get("CPU_of_the_database")
    used, maximum = context.get("connections_in_use"), context.get("max_connections")
    if status and status not in DATABASE_SERVES:
        reasons.append(f"The database is {status}: {what} would not help, run the runbook database_failover.")
    if cpu is not None and cpu > params["cpu_percent"]:
        reasons.append(
            f"The CPU of the database is at {cpu:.0f} %, and {what} would make it worse: run the runbook "
            "database_failover."
        )
    if used is not None and maximum and 100 * used / maximum > params["connections_percent"]:
        reasons.append(
            f"{used} of {maximum} connections of the database are in use, and {what} would need more: free "
            "connections first."
        )
    return reasons


def no_headroom(context: Json, workers: int, pool: int) -> list[str]:
    """M5: why so many workers at once do not fit into what is left of the connections, with a fifth kept free."""
    used, maximum = context.get("connections_in_use"), context.get("max_connections")
    if used is None or maximum is None:
        return []
    running, usable = context["service"]["running"], usable_connections(maximum)
    fit = fitting_workers(running=running, usable=usable, in_use=used, pool=pool)
    if workers <= fit:
        return []
    return [
        f"{plural(workers, 'worker')} would open {(workers - running) * pool} connections more, and the database has "
        f"{max(usable - used, 0)} to give ({used} of {usable} in use): at most {fit} fit."
    ]
