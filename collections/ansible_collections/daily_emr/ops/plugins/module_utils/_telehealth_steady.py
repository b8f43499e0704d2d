# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: how long a provider has been well. May change without notice.

"""The bot of the application joins a test room at each provider once a minute, with the application's own key.

Its samples are the memory of how a provider was: no sample, or a gap, is not health.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._health_metrics import window
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_metrics import read_values

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment

NAMESPACE, DIMENSION = "DailyEMR/Telehealth", "Provider"
METRIC, RUNNING = "SyntheticJoin", "RunningConsultations"
# A provider is used again when it was well for an hour, and no switch follows another within an hour (A6.4, M5). They
# are no options: whoever is in a hurry at night must not shorten them.
STEADY_MINUTES = 60
FLAP_MINUTES = 60
# The bot may miss a minute or a few; a longer silence could hide anything.
_GAP_MINUTES = 10
# Metrics are late by a minute or two.
_FRESH_MINUTES = 10


@dataclass(frozen=True)
class Samples:
    """What the bot saw at one provider, oldest first: when, and whether it could join. Times at the pace of AWS."""

    joined: tuple[tuple[datetime, bool], ...]
    read_at: datetime
    pace: float

    def newest(self) -> tuple[bool | None, str]:
        """Whether the newest join was good; None when there is none of lately."""
        if not self.joined or self.read_at - self.joined[-1][0] > self._span(_FRESH_MINUTES):
            return None, "the bot has not joined lately"
        good = self.joined[-1][1]
        return good, f"the bot {'joined' if good else 'could not join'}"

    def steady(self) -> tuple[bool | None, str]:
        """Whether the provider was well for the whole hour; None when that cannot be told."""
        start = self.read_at - self._span(STEADY_MINUTES)
        seen = [(at, good) for at, good in self.joined if at >= start]
        bad = [at for at, good in seen if not good]
        if bad:
            minutes = (self.read_at - bad[-1]) * self.pace / timedelta(minutes=1)
            return False, f"the bot could not join {minutes:.0f} min ago"
        moments = [start, *(at for at, _good in seen), self.read_at]
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        if max(gaps) > self._span(_GAP_MINUTES):
            return None, f"the bot did not look for {max(gaps) * self.pace / timedelta(minutes=1):.0f} min"
        return True, f"the bot joined {len(seen)} times in {STEADY_MINUTES} min"

    def _span(self, minutes: float) -> timedelta:
        return timedelta(minutes=minutes) / self.pace


def read_samples(clients: Clients, provider: str) -> Samples:
    """The samples of the last hour. None at all is an answer: nobody looked."""
    joined, read_at = _read(clients, METRIC, provider, STEADY_MINUTES)
    samples = tuple((at, value >= 1) for at, value in joined)
    return Samples(samples, read_at, clients.environment.time_factor)


def read_running(clients: Clients, provider: str) -> int | None:
    """Consultations that run at a provider, as the application counts them; None when it has not done so lately.

    A provider whose API is down does not say it any more.
    """
    counted, _read_at = _read(clients, RUNNING, provider, _FRESH_MINUTES)
    return int(counted[-1][1]) if counted else None


def _read(clients: Clients, name: str, provider: str, minutes: float) -> tuple[list[tuple[datetime, float]], datetime]:
    """The least value of each period, oldest first, and when AWS was asked."""
    environment: Environment = clients.environment
    period, _back = window(environment.time_factor)
    back = timedelta(seconds=environment.seconds(minutes * 60) + 2 * period)
    metric = {
        "Namespace": NAMESPACE,
        "MetricName": name,
        "Dimensions": [{"Name": DIMENSION, "Value": provider}],
    }
    now = datetime.now(UTC)
    return read_values(clients, metric, period, "Minimum", now - back, now + timedelta(seconds=period))
