# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the options that the modules of telehealth share. May change without notice.

"""``telehealth``, the whole inventory variable, and ``thresholds``."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import SETTINGS
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_provider import PROVIDERS

_PROVIDER: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        "api_url": {"type": "str", "required": True},
        "turn_host": {"type": "str", "required": True},
        "turn_port": {"type": "int", "required": True},
        # The name of a secret, never its value.
        "secret": {"type": "str", "required": True, "no_log": False},
        "processor_approved": {"type": "bool", "default": False},
        "regions": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "turn_host": {"type": "str", "required": True},
                "turn_port": {"type": "int", "required": True},
            },
        },
    },
}

TELEHEALTH_OPTION: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        "component": {"type": "str", "required": True},
        "log_group": {"type": "str", "required": True},
        "notice_topic": {"type": "str", "required": True},
        "clinic_lead": {"type": "str", "default": ""},
        "feature_flags": {
            "type": "dict",
            "required": True,
            "options": {"api_url": {"type": "str"}, "project": {"type": "str"}, "environment": {"type": "str"}},
        },
        "flags": {
            "type": "dict",
            "required": True,
            "options": {name: {"type": "str", "required": True} for name in SETTINGS},
        },
        "providers": {
            "type": "dict",
            "required": True,
            "options": dict.fromkeys(PROVIDERS, _PROVIDER),
        },
    },
}

_SHARES = ("join_success", "explains_share", "poor_share")
_NUMBERS = (
    "min_joins",
    "min_failures",
    "api_slow_ms",
    "media_slow_ms",
    "relay_rtt_ms",
    "webhook_silent_minutes",
    "clock_skew_s",
    "rotation_recent_minutes",
    "probe_timeout_s",
)
TELEHEALTH_HEALTH_SPEC: dict[str, Any] = {
    "telehealth": TELEHEALTH_OPTION,
    "thresholds": {
        "type": "dict",
        "required": True,
        "options": {
            **{name: {"type": "float", "required": True} for name in _SHARES},
            **{name: {"type": "int", "required": True} for name in _NUMBERS},
        },
    },
}
