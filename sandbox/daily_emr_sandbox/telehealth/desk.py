"""The application's side of telehealth, beside the joins: its keys, its webhooks, its log and metrics, its bookings."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ..compute.awslogs import deliver
from ..loop import Rounds
from ..network.metrics import Datum, put
from ..settings import TELEHEALTH_PORT

if TYPE_CHECKING:
    from ..aws.server import AwsServer
    from ..settings import Settings
    from .bookings import Bookings
    from .sessions import Sessions

NAMESPACE = "DailyEMR/Telehealth"
BY_PHONE = "telehealth-bookings-by-phone"
LOOK_S = 1.0
STREAM = "telehealth/application"
CLINIC_PHONES = tuple(f"+25470000000{number}" for number in range(1, 5))
"""Of the desks of the clinics; nobody has these numbers."""
SMS_USD, SPENT_USD, SPEND_LIMIT_USD = 0.04, 3.0, 100


class Desk(Rounds):
    """A thread that looks every second. `open`, `close` and what answers HTTP are for the event loop's thread.

    Attributes:
        keys: what the secrets hold, as the application has read them last.
        takes_webhooks: off, and providers get a 503.
        sessions: set before the start.
    """

    def __init__(self, settings: Settings, aws: AwsServer, bookings: Bookings, providers: tuple[str, ...]) -> None:
        super().__init__("telehealth", LOOK_S)
        self._settings, self._aws, self._bookings = settings, aws, bookings
        self.keys = dict.fromkeys(providers, "")
        self.takes_webhooks = True
        self.sessions: Sessions
        self._webhook_at = dict.fromkeys(providers, time.time())
        self._lines: deque[dict[str, Any]] = deque()
        self._metrics: deque[Datum] = deque()
        self._published: Counter[str] = Counter()
        self._notices: list[dict[str, Any]] = []
        self._runner: web.AppRunner | None = None

    def prepare(self, keys: dict[str, str]) -> None:
        """Give the secrets their values, let clinics listen to the topic, and make the tables."""
        settings = self._settings
        secrets, sns = (self._aws.boto(name) for name in ("secretsmanager", "sns"))
        for provider, key in keys.items():
            secrets.put_secret_value(SecretId=settings.telehealth_secret(provider), SecretString=key)
        topic = f"arn:aws:sns:{settings.region}:{settings.account_id}:{settings.telehealth_topic}"
        for phone in CLINIC_PHONES:
            sns.subscribe(TopicArn=topic, Protocol="sms", Endpoint=phone)
        sns.set_sms_attributes(attributes={"MonthlySpendLimit": str(SPEND_LIMIT_USD)})
        self._bookings.create()
        self._read_keys()

    async def open(self) -> None:
        application = web.Application()
        application.router.add_post("/webhooks/{provider}", self._webhook)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._settings.telehealth_webhook_address, TELEHEALTH_PORT).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def note(self, line: dict[str, Any]) -> None:
        """Take a line of the log; it begins with its time."""
        self._lines.append(line)

    def measured(self, provider: str, joined: bool) -> None:
        """Take the result of a synthetic join."""
        self._metrics.append(Datum("SyntheticJoin", {"Provider": provider}, [float(joined)], at=time.time()))

    def notices(self) -> list[dict[str, Any]]:
        """What was published to the clinics' topic, oldest first: {at, subject, message}."""
        with self._aws.mutex:
            self._look_at_topics()
        return list(self._notices)

    async def _webhook(self, request: web.Request) -> web.Response:
        if not self.takes_webhooks:
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        provider, event = request.match_info["provider"], await request.json()
        now = time.time()
        self._webhook_at[provider] = now
        lag_ms = round(1000 * (now - event["at"]))
        self.note(_line("webhook", provider=provider, kind=event["kind"], lag_ms=lag_ms))
        if event["kind"] == "room.closed":
            await self.sessions.room_closed(event["room"])
        return web.Response()

    def _round(self) -> None:
        self._read_keys()
        by_phone = bool(self.sessions.flags.get(BY_PHONE, False))
        for channel, count in self._bookings.book(by_phone=by_phone).items():
            for _ in range(count):
                self.note(_line("booking", channel=channel))
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        metrics = [self._metrics.popleft() for _ in range(len(self._metrics))] + self._gauges()
        events = [{"timestamp": line["time"], "message": json.dumps(line, separators=(",", ":"))} for line in lines]
        with self._aws.mutex:
            deliver(self._aws.backend("logs"), self._settings.telehealth_logs, STREAM, events)
            put(self._aws, NAMESPACE, metrics)
            put(self._aws, "AWS/SNS", self._look_at_topics())

    def _read_keys(self) -> None:
        secrets = self._aws.boto("secretsmanager")
        for provider in self.keys:
            found = secrets.get_secret_value(SecretId=self._settings.telehealth_secret(provider))
            self.keys[provider] = found["SecretString"]

    def _gauges(self) -> list[Datum]:
        now = time.time()
        since = [
            Datum("SecondsSinceWebhook", {"Provider": provider}, [now - at], unit="Seconds")
            for provider, at in self._webhook_at.items()
        ]
        running = self.sessions.running().items()
        return since + [Datum("RunningConsultations", {"Provider": name}, [float(count)]) for name, count in running]

    def _look_at_topics(self) -> list[Datum]:
        """Metrics of what was published since the last look, to any topic. Hold the mutex."""
        data = []
        for topic in self._aws.backend("sns").topics.values():
            fresh = topic.sent_notifications[self._published[topic.name] :]
            self._published[topic.name] += len(fresh)
            if fresh:
                data.append(Datum("NumberOfMessagesPublished", {"TopicName": topic.name}, [float(len(fresh))]))
            if topic.name == self._settings.telehealth_topic:
                for _id, message, subject, *_ in fresh:
                    self._notices.append({"at": time.time(), "subject": subject, "message": message})
        spent = SPENT_USD + SMS_USD * len(CLINIC_PHONES) * len(self._notices)
        return [*data, Datum("SMSMonthToDateSpentUSD", {}, [spent], unit="None")]


def _line(event: str, **facts: Any) -> dict[str, Any]:
    return {"time": time.time_ns() // 1_000_000, "event": event, **facts}
