# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: an option that several modules share. May change without notice.

"""``thresholds``: the numbers that turn a reading of the traffic into a finding."""

from __future__ import annotations

from typing import Any

_RATIOS = ("error_ratio", "client_error_ratio", "client_share", "explains_share", "load_times")
_NUMBERS = ("p95_ms", "min_requests", "min_bad", "min_signature")
TRAFFIC_THRESHOLDS: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        **{name: {"type": "float", "required": True} for name in _RATIOS},
        **{name: {"type": "int", "required": True} for name in _NUMBERS},
    },
}
