#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: telehealth_notice
short_description: Tell the facilities by SMS that visits are held by phone
version_added: 0.1.0
description:
  - Publishes one text to the SNS topic of the facilities, which sends it to every number that is subscribed. The text
    is fixed, names no patient and holds nothing clinical.
  - Does nothing when the topic was published to since visits are booked by phone.
  - Refuses when a provider is well or the application's bot does not say that it fails, when nobody is subscribed, and
    when the messages would cost more than is left of the monthly limit of SMS. Is not sent while visits are still
    booked online.
  - Refuses for four hours after a notice of whichever run that was sent or may have been, as the table of the
    environment knows it; SNS counts its messages minutes late.
  - Needs the environment variables C(LAUNCHDARKLY_ACCESS_TOKEN), C(TELEHEALTH_PRIMARY_PROBE_KEY) and
    C(TELEHEALTH_SECONDARY_PROBE_KEY). The sandbox has its own.
author:
  - Daily EMR operations (@daily-emr)
options:
  price_usd:
    description: What one message costs at most, in USD; more than 0.
    type: float
    required: true
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.telehealth
"""

EXAMPLES = r"""
- name: Tell the facilities that visits are held by phone
  daily_emr.ops.telehealth_notice:
    telehealth: "{{ telehealth }}"
    price_usd: 0.1
"""

RETURN = r"""
outcome:
  description: How the change ended, one of V(ok), V(noop), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
refusals:
  description: Why the notice was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["120 messages cost up to 12.00 USD, and 4.50 USD are left of this month: raise the limit."]
prediction:
  description: How many messages there will be, and what they cost.
  returned: always
  type: list
  elements: str
  sample: ["120 messages, which cost up to 12.00 USD of the 88.00 USD that are left of this month."]
undo:
  description: Why nothing can undo it.
  returned: always
  type: raw
  sample: A message that was sent cannot be called back.
target:
  description: What the change is about.
  returned: always
  type: str
  sample: topic/daily-emr-staging-telehealth-notices
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._health_metrics import window
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LastWord, LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import StepOutcome
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_changes import TelehealthChange, still_there
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import ON, PHONE, setting_reads
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_metrics import read_values
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_options import TELEHEALTH_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    parse_utc,
    plural,
    since,
    spoken,
    unread,
)

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import Setting

# One part of a text message, without a name, a time or a complaint (A6.6).
TEXT = "Daily EMR: online visits are held by phone until further notice. Please call your patients at the booked time."
_TRANSACTIONAL: Json = {"AWS.SNS.SMS.SMSType": {"DataType": "String", "StringValue": "Transactional"}}
_HOUR_S = 3600
# Whoever was told a few hours ago has not forgotten it; a second text is for a person to decide.
QUIET = timedelta(hours=4)


class TelehealthNotice(TelehealthChange):
    """Whether the facilities were told."""

    name: ClassVar[str] = "telehealth_notice"
    imperative: ClassVar[bool] = True
    sends: ClassVar[tuple[str, ...]] = ("sns:Publish",)
    irreversible: ClassVar[str] = "messages that were sent cannot be called back"
    asks_itself: ClassVar[bool] = True
    spec: ClassVar[Json] = {"telehealth": TELEHEALTH_OPTION, "price_usd": {"type": "float", "required": True}}
    # What SNS answered to the one call: its metrics are late by minutes.
    _message_id = ""

    @property
    def target(self) -> str:
        return f"topic/{self.telehealth['notice_topic']}"

    @property
    def _arn(self) -> str:
        environment = self.clients.environment
        return f"arn:aws:sns:{environment.region}:{environment.account_id}:{self.telehealth['notice_topic']}"

    def observe(self) -> Json:
        if not (isfinite(self._price) and self._price > 0):
            raise Refused(f"price_usd is {self._price}: set it to what one message costs at most, more than 0.")
        readings = Readings()
        readings.take(
            **setting_reads(self.clients, self.telehealth, PHONE),
            **self.provider_looks(),
            **self.bots(),
            earlier_notice=self._announced,
            subscribers_of_the_topic=self._subscribers,
            limit_of_the_month=self._limit,
            spending_of_the_month=self._spent,
        )
        flag: Setting = readings.need(f"{PHONE}_flag")
        readings.take(notices_of_the_topic=partial(self._published, flag))
        sent = bool(self._message_id) or readings.values.get("notices_of_the_topic", 0) > 0 or self._told(readings)
        return {"sent": sent, "context": readings.context()}

    def _told(self, readings: Readings) -> bool:
        """Whether a run has told the facilities since visits are booked by phone; SNS may not have counted it yet."""
        flag, last = readings.values[f"{PHONE}_flag"], readings.values.get("earlier_notice")
        return bool(
            last
            and flag.value == ON
            and last.outcome == StepOutcome.OK
            and parse_utc(last.at) >= parse_utc(flag.changed_at)
        )

    def wanted(self, before: Json) -> Json:
        return {"sent": True}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        reasons = [*unread(context), *still_there(context), *self._twice(context)]
        count, cost, left = self._cost(context)
        if count == 0:
            reasons.append(f"Nobody is subscribed to {self.telehealth['notice_topic']}: tell the facilities yourself.")
        elif cost is not None and left is not None and not cost <= left:
            reasons.append(
                f"{plural(count or 0, 'message')} cost up to {cost:.2f} USD, and {left:.2f} USD are left of this "
                "month: raise the limit of SNS, or tell the facilities yourself."
            )
        return reasons

    def _twice(self, context: Json) -> list[str]:
        """The flag of the bookings may be edited, or go off and on again: that makes no second text."""
        last: LastWord | None = context.get("earlier_notice")
        if last is None or last.outcome in (StepOutcome.FAILED, StepOutcome.REFUSED):
            return []
        pace = self.clients.environment.time_factor
        ago = since(last.at, context[f"{PHONE}_flag"].read_at) * pace
        if ago >= QUIET:
            return []
        how = "was sent" if last.outcome == StepOutcome.OK else "may have been sent"
        return [
            f"A notice {how} {spoken(ago)} ago, by run {last.run} of {last.incident}, and the facilities are not told "
            f"twice within {spoken(QUIET)}: look at its record, and tell them yourself if they do not know."
        ]

    def prediction(self, before: Json) -> list[str]:
        count, cost, left = self._cost(before["context"])
        if count is None or cost is None or left is None:
            return []
        return [
            f"{plural(count, 'message')}, which cost up to {cost:.2f} USD of the {left:.2f} USD that are left of this "
            "month."
        ]

    def apply(self, before: Json) -> None:
        if before["context"][f"{PHONE}_flag"].value != ON:
            raise Refused("Visits are booked online still, so the notice would not be true: turn the flag on first.")
        answer = self.clients.write("sns", "Publish").publish(
            TopicArn=self._arn, Message=TEXT, MessageAttributes=_TRANSACTIONAL
        )
        self._message_id = str(answer["MessageId"])

    def resources(self, before: Json) -> list[str]:
        return [self._arn]

    def inverse(self, before: Json) -> Json | str:
        return "A message that was sent cannot be called back: tell the facilities when visits are online again."

    def _cost(self, context: Json) -> tuple[int | None, float | None, float | None]:
        """Messages, what they cost at most, and what is left of this month; None where it could not be read."""
        count = context.get("subscribers_of_the_topic")
        limit, spent = context.get("limit_of_the_month"), context.get("spending_of_the_month")
        cost = None if count is None else count * self._price
        return count, cost, None if limit is None or spent is None else limit - spent

    @property
    def _price(self) -> float:
        return float(self.params["price_usd"])

    def _announced(self) -> LastWord | None:
        return LeaseStore(self.clients, self.clients.environment.table).last_word(self.name, self.target)

    def _subscribers(self) -> int:
        attributes = self.clients.read("sns").get_topic_attributes(TopicArn=self._arn)["Attributes"]
        return int(attributes["SubscriptionsConfirmed"])

    def _limit(self) -> float:
        found = self.clients.read("sns").get_sms_attributes(attributes=["MonthlySpendLimit"])["attributes"]
        if "MonthlySpendLimit" not in found:
            raise OpsError("SNS does not say how much may be spent")
        return float(found["MonthlySpendLimit"])

    def _spent(self) -> float:
        """SNS counts with the messages it sends: no value since the month began means that it has sent none."""
        now = datetime.now(UTC)
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return max(self._values("SMSMonthToDateSpentUSD", "Maximum", month, now, _HOUR_S), default=0.0)

    def _published(self, flag: Setting) -> float:
        """Notices since visits are booked by phone; what was published before is of an earlier incident."""
        if flag.value != ON:
            return 0.0
        period, _back = window(self.clients.environment.time_factor)
        topic = {"TopicName": self.telehealth["notice_topic"]}
        now = datetime.now(UTC)
        return sum(self._values("NumberOfMessagesPublished", "Sum", parse_utc(flag.changed_at), now, period, **topic))

    def _values(
        self, metric: str, stat: str, start: datetime, now: datetime, period: int, **dimensions: str
    ) -> list[float]:
        shape = {
            "Namespace": "AWS/SNS",
            "MetricName": metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        }
        span = (min(start, now - timedelta(seconds=period)), now + timedelta(seconds=period))
        values, _read_at = read_values(self.clients, shape, period, stat, *span)
        return [value for _at, value in values]


ENTRY = change_entry(TelehealthNotice)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
