# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: how a diagnosis reads. May change without notice.

"""Readings that wait only for the one that names their subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings

if TYPE_CHECKING:
    from collections.abc import Callable


class Chains:
    """Readings that chains of reads fill, all chains at the same time."""

    def __init__(self) -> None:
        self.readings = Readings()

    def take(self, **calls: Callable[[], Any]) -> None:
        self.readings.take(**{name: _readable(call) for name, call in calls.items()})

    def each(self, name: str, calls: dict[str, Callable[[], Any]]) -> None:
        """One reading of many parts, as {part: value}; one that is missing makes the whole missing."""
        parts = Readings()
        parts.take(**{part: _readable(call) for part, call in calls.items()})
        if parts.unread:
            self.readings.unread[name] = next(iter(parts.unread.values()))
        else:
            self.readings.values[name] = parts.values

    def known(self, name: str, *dependent: str) -> bool:
        """Whether a reading is there; when it is not, what depends on it is missing for the same reason."""
        if name in self.readings.unread:
            self.readings.unread |= dict.fromkeys(dependent, self.readings.unread[name])
        return name not in self.readings.unread


def _readable(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call; an answer that cannot be made sense of is a reading that is missing, not the end of the diagnosis."""

    def read() -> Any:
        try:
            return call()
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise OpsError(f"The answer has a shape that nobody expected ({type(error).__name__}).") from error

    return read
