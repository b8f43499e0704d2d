# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the observations of one look at telehealth. May change without notice.

"""What the rules of telehealth have in common: the provider new sessions go to, its joins, and the pace of time."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import Evidence
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import Setting
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_joins import Joins, succeed
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_provider import ProviderLook
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_steady import Samples

# What patients and clinicians feel, or what somebody left behind that they will.
SYMPTOMS = (
    "joins_failing",
    "api_down",
    "api_slow",
    "key_refused",
    "quota_exhausted",
    "clock_skewed",
    "media_down",
    "udp_blocked",
    "region_far",
    "quality_poor",
    "media_slow",
    "webhook_silent",
    "primary_recovered",
    "bookings_by_phone",
)
_SUBJECTS = {
    **dict.fromkeys(("api_down", "api_slow", "key_refused", "quota_exhausted", "clock_skewed"), "active_provider"),
    **dict.fromkeys(("media_down", "udp_blocked", "relay_unusable", "webhook_silent"), "active_provider"),
    "other_unusable": "other_provider",
    "secret_rotated": "active_provider",
    "region_far": "media_region",
}


class TelehealthEvidence(Evidence):
    """time_factor: how many times faster than AWS the environment runs."""

    def __init__(
        self, readings: Readings, component: str, thresholds: Json, at: str, *, time_factor: float = 1.0
    ) -> None:
        super().__init__(readings, component, thresholds, at, symptoms=SYMPTOMS, about=_SUBJECTS)
        self.time_factor = time_factor

    def aws(self, **span: float) -> timedelta:
        """A period at the pace of AWS, as long as it is here."""
        return timedelta(**span) / self.time_factor

    @property
    def active(self) -> ProviderLook:
        found: ProviderLook = self.read("active_look")
        return found

    @property
    def joins(self) -> Joins:
        """All joins of the window."""
        found: Joins = self.read("joins")
        return found

    def flag(self, name: str) -> Setting:
        found: Setting = self.read(f"{name}_flag")
        return found

    @property
    def mine(self) -> Joins:
        """The joins at the provider that new sessions go to."""
        return self.joins.of(provider=self.active.name)

    def good(self, joins: Joins) -> bool | None:
        """Whether so many joins succeed as should; None when there were too few to say."""
        return succeed(joins.total, self.thresholds["min_joins"], self.thresholds["join_success"])

    def bot(self, role: str) -> tuple[bool | None, str]:
        """Whether the application's own bot could join just now; None when nobody knows."""
        samples: Samples | None = self.readings.values.get(f"{role}_samples")
        return (None, "the bot could not be read") if samples is None else samples.newest()

    def blamed(self, way: re.Pattern[str]) -> int:
        """Joins at the active provider that failed in this way; 0 while patients join well, and unless most of the
        failed ones did.
        """
        if self.good(self.mine):
            return 0
        failed = self.mine.failed(lambda failure: bool(way.fullmatch(failure)))
        enough = max(self.thresholds["min_failures"], self.thresholds["explains_share"] * self.mine.total.bad)
        return failed if failed >= enough else 0

    def doubt(self, way: re.Pattern[str]) -> str:
        """Why a bad probe of the active provider says nothing of it: it has our own key and comes from our own place.

        Empty where those who use the provider have the same trouble: patients by the way in which they fail, or, where
        too few of them tried, the bot.
        """
        good, (joined, seen) = self.good(self.mine), self.bot("active")
        if good:
            return f"and {self.mine.total.seen} there: our own key or place may be what is wrong"
        if self.blamed(way):
            return ""
        if self.mine.total.bad >= self.thresholds["min_failures"]:
            return "and patients fail in another way: our own key or place may be what is wrong"
        return "" if joined is False else f"and {seen}: our own key or place may be what is wrong"
