# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: an option that several modules share. May change without notice.

"""``slo``: the numbers of the service level and of what follows from it."""

from __future__ import annotations

from typing import Any

SLO_OPTION: dict[str, Any] = {
    "type": "dict",
    "default": {},
    "apply_defaults": True,
    "options": {
        "target": {"type": "float", "default": 0.999},
        "month_minutes": {"type": "int"},
        "freeze_minutes": {"type": "float", "default": 28},
        "caution_left_minutes": {"type": "float", "default": 7},
        "down_ratio": {"type": "float", "default": 0.05},
        "down_requests": {"type": "int", "default": 50},
        "min_bad": {"type": "int", "default": 10},
        "min_valid": {"type": "int", "default": 50},
        "stale_minutes": {"type": "int", "default": 15},
        "forecast_hours": {"type": "int", "default": 6},
        "slow_seconds": {"type": "float", "default": 0.6},
        "slow_ratio": {"type": "float", "default": 0.05},
    },
}
