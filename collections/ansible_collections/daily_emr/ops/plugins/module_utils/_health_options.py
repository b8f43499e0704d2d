# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the options that the reading modules of a web service share. May change without notice.

"""``service`` with everything a diagnosis needs, and ``thresholds``."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import SERVICE_OPTION

_INTEGERS = (
    "p95_ms",
    "database_slow_ms",
    "release_recent_minutes",
    "flag_recent_hours",
    "good_after_hours",
    "min_healthy_targets",
    "min_zones",
    "probe_timeout_s",
    "cpu_percent",
)

HEALTH_SPEC: dict[str, Any] = {
    "service": SERVICE_OPTION,
    "thresholds": {
        "type": "dict",
        "required": True,
        "options": {
            "error_ratio": {"type": "float", "required": True},
            **{name: {"type": "int", "required": True} for name in _INTEGERS},
        },
    },
}
