# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the options that the modules of a claims API share. May change without notice.

"""``claims_api``, and the thresholds of its diagnosis."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import SERVICE_OPTION

# The option ``claims_api`` of every module of it: the whole inventory variable.
CLAIMS_API_OPTION: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        "component": {"type": "str", "required": True},
        # Name of the secret, never its value.
        "secret": {"type": "str", "required": True, "no_log": False},
        "base_url": {"type": "str", "required": True},
        "ca_file": {"type": "path"},
        "facility_id": {"type": "str", "required": True},
        "identifier_system": {"type": "str", "required": True},
        "circuit_flag": {"type": "str", "required": True},
        "cached_flag": {"type": "str", "required": True},
        "normal_per_minute": {"type": "float", "required": True},
        "normal_p95_ms": {"type": "int", "required": True},
    },
}

_RATIOS = ("failing_ratio", "refused_ratio")
_NUMBERS = (
    "min_calls",
    "submission_slow_ms",
    "read_slow_ms",
    "waiting_minutes",
    "due_hours",
    "window_minutes",
    "settle_after_s",
    "certificate_days",
    "clock_s",
    "probe_timeout_s",
)

CLAIMS_HEALTH_SPEC: dict[str, Any] = {
    "claims_api": CLAIMS_API_OPTION,
    "database": DATABASE_OPTION,
    "service": SERVICE_OPTION,
    "thresholds": {
        "type": "dict",
        "required": True,
        "options": {
            **{name: {"type": "float", "required": True} for name in _RATIOS},
            **{name: {"type": "int", "required": True} for name in _NUMBERS},
        },
    },
}
