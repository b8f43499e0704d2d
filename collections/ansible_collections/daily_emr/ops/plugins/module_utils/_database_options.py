# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the options that the reading modules of a database share. May change without notice.

"""``database``, ``service`` and ``thresholds``."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import SERVICE_OPTION

_THRESHOLDS = (
    "database_slow_ms",
    "write_latency_ms",
    "connections_percent",
    "free_storage_percent",
    "slot_retained_percent",
    "victims",
    "blocked_s",
    "idle_transaction_s",
    "failover_quiet_minutes",
    "restorable_minutes",
    "transaction_s",
    "release_recent_minutes",
    "probe_timeout_s",
    "connections_per_task",
)

DATABASE_HEALTH_SPEC: dict[str, Any] = {
    "database": DATABASE_OPTION,
    "service": SERVICE_OPTION,
    "thresholds": {
        "type": "dict",
        "required": True,
        "options": {name: {"type": "int", "required": True} for name in _THRESHOLDS},
    },
}
