# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the days of a service level that are kept. May change without notice.

"""One finished UTC day of a web service, minute by minute, as it stands in the runbooks' table.

CloudWatch keeps single minutes for 15 days, and whether a minute was down can only be told of a single one. A day is
kept as text: runs of minutes that something is known of, each with the minute that it begins at, "0:120,3/118;75:90"
for example. 3/118 are 3 bad of 118 valid requests, 120 are valid ones, none of them bad. A minute of which nothing was
reported stands nowhere; it is not 0 of 0. Minutes are those of the real clock, also where an environment runs faster.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._slo import DAY_MINUTES, Count, Series
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_spans import MINUTES_KEPT
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import answered_at

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

Item = dict[str, Any]

SOURCE = "cloudwatch"
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_PREFIX = "day#"
_RANGES = 10


@dataclass(frozen=True)
class Day:
    """What was counted on a day: requests, and what synthetic requests saw from two places together."""

    day: date
    requests: str
    synthetic: str
    source: str = SOURCE

    @classmethod
    def of(cls, day: date, requests: Series, synthetic: Series) -> Day:
        """Of counts of single minutes; those without a valid request say nothing and are left out."""
        return cls(day, packed(requests.counts, day), packed(synthetic.counts, day))

    @property
    def known(self) -> set[int]:
        """The minutes of the day that anything is known of."""
        start = begin(self.day)
        both = (*unpacked(self.requests, self.day), *unpacked(self.synthetic, self.day))
        return {_number(count.at, start) for count in both}

    @property
    def missing(self) -> int:
        return DAY_MINUTES - len(self.known)

    @property
    def gaps(self) -> list[str]:
        """The minutes that nothing is known of, as "02:10-02:39" in UTC; the first ten gaps."""
        known, found, first = self.known, list[str](), None
        for minute in range(DAY_MINUTES + 1):
            silent = minute < DAY_MINUTES and minute not in known
            if silent and first is None:
                first = minute
            elif not silent and first is not None:
                found.append(f"{_clock(first)}-{_clock(minute - 1)}")
                first = None
        return found[:_RANGES] + ([f"and {len(found) - _RANGES} more"] if len(found) > _RANGES else [])

    @property
    def sha256(self) -> str:
        return hashlib.sha256("\n".join((self.source, self.requests, self.synthetic)).encode()).hexdigest()


def begin(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def packed(counts: Iterable[Count], day: date) -> str:
    """The counts of a day as text. Minutes of other days are left out."""
    start = begin(day)
    words = {_number(count.at, start): _word(count) for count in counts if count.valid > 0}
    runs: list[str] = []
    for minute in sorted(number for number in words if 0 <= number < DAY_MINUTES):
        runs.append(f",{words[minute]}" if minute - 1 in words and runs else f";{minute}:{words[minute]}")
    return "".join(runs).removeprefix(";")


def unpacked(text: str, day: date) -> tuple[Count, ...]:
    """The counts of a day from its text. Raises ValueError for a text that is no day."""
    start, found = begin(day), []
    for run in text.split(";") if text else ():
        first, _colon, words = run.partition(":")
        for number, word in enumerate(words.split(","), int(first)):
            bad, slash, valid = word.partition("/")
            if not 0 <= number < DAY_MINUTES:
                raise ValueError(word)
            at = start + timedelta(minutes=number)
            found.append(Count(at, 1.0, float(bad) if slash else 0.0, float(valid if slash else bad)))
    return tuple(found)


def _word(count: Count) -> str:
    return f"{count.bad:.10g}/{count.valid:.10g}" if count.bad > 0 else f"{count.valid:.10g}"


def _number(at: datetime, start: datetime) -> int:
    return int((at - start).total_seconds() // 60)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def unwritable(day: date, now: datetime, settle_minutes: int) -> str:
    """Why a day cannot be written at this time: a sentence; empty when it can be. Pure."""
    over = begin(day) + timedelta(days=1)
    if now < over:
        word = "not over" if now >= begin(day) else "in the future"
        return f"{day} is {word}: only a finished day in UTC is written, so write an earlier one."
    if now < over + timedelta(minutes=settle_minutes):
        return (
            f"{day} ended less than {settle_minutes} minutes ago, and its last minutes may still arrive: run again "
            f"after {over + timedelta(minutes=settle_minutes):%H:%M} UTC."
        )
    if begin(day) < now - MINUTES_KEPT:
        return (
            f"CloudWatch no longer has the single minutes of {day}, which it keeps for 15 days: the day is lost to the "
            "ledger, and its hours are read from CloudWatch instead. Write each day on the day after."
        )
    return ""


def key_of(component: str, day: date) -> Item:
    return {"pk": {"S": f"slo#{component}"}, "sk": {"S": f"{_PREFIX}{day}"}}


def item_of(component: str, day: Day, written_at: str) -> Item:
    said = {"requests": day.requests, "synthetic": day.synthetic, "source": day.source, "sha256": day.sha256}
    texts = {name: {"S": text} for name, text in {**said, "written_at": written_at}.items()}
    return {**key_of(component, day.day), **texts, "missing": {"N": str(day.missing)}}


def day_of(item: Mapping[str, Any]) -> Day | None:
    """The day of an item; None when it is not as it was written."""
    try:
        day = date.fromisoformat(item["sk"]["S"].removeprefix(_PREFIX))
        found = Day(day, *(str(item[name]["S"]) for name in ("requests", "synthetic", "source")))
        return found if found.sha256 == item["sha256"]["S"] and found.missing >= 0 else None
    except (KeyError, TypeError, ValueError):
        return None


def read_day(clients: Clients, component: str, day: date) -> tuple[Item, datetime]:
    """The item of one day, empty when it was never written, and when AWS answered. Raises OpsError."""
    with calling("dynamodb:GetItem"):
        reply = clients.read("dynamodb").get_item(
            TableName=clients.environment.table, Key=key_of(component, day), ConsistentRead=True
        )
    return reply.get("Item", {}), answered_at(reply)


def read_days(clients: Clients, component: str, first: date, last: date) -> tuple[dict[date, Day], list[str]]:
    """The days of the ledger from first to last, and the names of items that are not as they were written.

    Raises OpsError when the table cannot be read.
    """
    asked: Item = {
        "TableName": clients.environment.table,
        "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last",
        "ExpressionAttributeValues": {
            ":pk": {"S": f"slo#{component}"},
            ":first": {"S": f"{_PREFIX}{first}"},
            ":last": {"S": f"{_PREFIX}{last}"},
        },
        "ConsistentRead": True,
    }
    days, damaged = dict[date, Day](), list[str]()
    while True:
        with calling("dynamodb:Query"):
            page = clients.read("dynamodb").query(**asked)
        for item in page.get("Items", []):
            if found := day_of(item):
                days[found.day] = found
            else:
                damaged.append(item["sk"]["S"].removeprefix(_PREFIX))
        if "LastEvaluatedKey" not in page:
            return days, damaged
        asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]
