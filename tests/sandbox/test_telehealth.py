"""Telehealth as the application and its patients have it, and how each fault of it shows from outside."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from daily_emr_sandbox.aws.server import AwsServer
from daily_emr_sandbox.faults import telehealth as faults
from daily_emr_sandbox.launchdarkly import LaunchDarkly
from daily_emr_sandbox.loop import LoopThread, wait_until
from daily_emr_sandbox.postgres import DatabasePair
from daily_emr_sandbox.settings import Settings
from daily_emr_sandbox.telehealth import desk, sessions
from daily_emr_sandbox.telehealth.ice import IceError, Path, bind
from daily_emr_sandbox.telehealth.part import Telehealth
from daily_emr_sandbox.telehealth.seed import seed_telehealth

from .aws_only import Aws

ENOUGH = 30
"""Joins that show every internet provider and version."""
FACTS = {"time", "event", "provider", "app_version", "isp", "asn", "transport", "region"}
MAY_BE_LOGGED = {
    "join": {*FACTS, "joined", "failure", "ms", "rtt_ms", "poor"},
    "call": {*FACTS, "minutes", "rtt_ms", "jitter_ms", "loss_pct"},
    "webhook": {"time", "event", "provider", "kind", "lag_ms"},
    "booking": {"time", "event", "channel"},
}


@dataclass
class Clinic:
    """A running application with its patients, and ways to look at it from outside."""

    settings: Settings
    aws: Aws
    flags: LaunchDarkly
    part: Telehealth
    loop: LoopThread

    def rows(self, query: str, since: float) -> list[dict[str, str]]:
        """Rows of a query over the log since a moment."""
        logs = self.aws.client("logs")
        started = logs.start_query(
            logGroupName="/ecs/daily-emr-sandbox-telehealth", startTime=int(since), endTime=int(time.time()) + 1,
            queryString=f"filter @timestamp >= {int(since * 1000)} | {query}",
        )  # fmt: skip
        asked = {"queryId": started["queryId"]}
        wait_until(lambda: logs.get_query_results(**asked)["status"] == "Complete", "the query is complete")
        return [{cell["field"]: cell["value"] for cell in row} for row in logs.get_query_results(**asked)["results"]]

    def joins(self, since: float, query: str) -> list[dict[str, str]]:
        """Rows of a query over joins, as soon as there were enough of them."""
        one = "filter event = 'join' | fields joined"
        wait_until(lambda: len(self.rows(one, since)) >= ENOUGH, f"{ENOUGH} patients have tried to join")
        return self.rows(f"filter event = 'join' | {query}", since)

    def through(self) -> float:
        """Wait until those who are joining now have ended; what is logged after that moment knows nothing older."""
        before = self.part.sessions.joining
        wait_until(lambda: not before & self.part.sessions.joining, "those who were joining are through")
        return time.time() + 0.001  # a millisecond is what the log counts in

    def success(self, since: float, *by: str) -> dict[tuple[str, ...], float]:
        """Share of the joins that succeeded, by dimensions."""
        rows = self.joins(since, f"stats count(*) as tried, sum(joined) as joined by {', '.join(by)}")
        return {tuple(row[name] for name in by): int(row["joined"]) / int(row["tried"]) for row in rows}

    def failures(self, since: float) -> set[str]:
        rows = self.joins(since, "filter joined = 0 | stats count(*) by failure")
        return {row["failure"] for row in rows}

    def ask(self, provider: str, path: str, body: Any = None, *, method: str = "", key: str = "") -> tuple[int, Any]:
        """A request with the key of the runbooks, unless another one is given."""
        keys = json.loads(self.settings.telehealth_keys_file.read_text())
        request = urllib.request.Request(
            self.settings.telehealth_url(provider) + path, None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {key or keys[provider]}"}, method=method or ("GET" if body is None else "POST"),
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def token(self, provider: str) -> int:
        return self.ask(provider, "/v1/tokens", {"test": True})[0]

    def media(self, provider: str, transport: str, host: int = 1) -> bool:
        """Whether a TURN server answers to an address of the sandbox."""
        place = self.part.providers[provider].turn["af-south-1"].place
        try:
            self.loop.run(bind(Path(self.settings.address(host), *place, transport), 0.3))
        except IceError:
            return False
        return True

    def serve(self, key: str, value: object) -> None:
        """Let a flag have a value, and return when the application knows."""
        flag = self.flags._book.flags[key]
        if flag.is_boolean:
            self.flags.turn(key, on=bool(value), by="somebody")
        else:
            number = flag.variations.index(value)
            self.flags._change(flag, on=True, fallthrough=number, by="somebody", comment="")
        wait_until(lambda: self.part.sessions.flags[key] == value, "the application knows the flag")

    def latest(self, namespace: str, metric: str, **dimensions: str) -> float | None:
        """Newest value of a metric."""
        now = time.time()
        found = self.aws.client("cloudwatch").get_metric_statistics(
            Namespace=namespace, MetricName=metric, StartTime=now - 60, EndTime=now + 1, Period=1,
            Statistics=["Maximum"], Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        )["Datapoints"]  # fmt: skip
        newest = max(found, key=lambda point: point["Timestamp"], default=None)
        return None if newest is None else newest["Maximum"]


@pytest.fixture(scope="module")
def started(settings: Settings, loop: LoopThread) -> Iterator[Clinic]:
    with pytest.MonkeyPatch.context() as patch:
        # So that a test sees enough of them in seconds.
        patch.setattr(sessions, "JOINS_PER_S", 30.0)
        patch.setattr(sessions, "LEAST_ICE_TIMEOUT_S", 0.8)
        patch.setattr(sessions, "POLL_S", 0.2)
        patch.setattr(desk, "LOOK_S", 0.2)
        aws, database, flags = AwsServer(settings), DatabasePair(settings, loop), LaunchDarkly(settings, loop)
        part = Telehealth(settings, loop, aws, database, flags)
        try:
            for each in (aws, database, flags):
                each.start()
            seed_telehealth(settings, aws, {"app": "daily-emr"})
            part.start()
            yield Clinic(settings, Aws(settings, aws), flags, part, loop)
        finally:
            for each in (part, flags, database, aws):
                each.stop()


@pytest.fixture
def clinic(started: Clinic) -> Iterator[Clinic]:
    """Everything works before a test, and afterwards."""
    wait_until(started.part.healthy, "patients join")
    yield started
    started.part.restore()


def test_patients_join_and_the_log_counts_them(clinic: Clinic) -> None:
    since = time.time()

    shares = clinic.success(since, "isp", "transport")

    assert {isp for isp, _ in shares} == {"safaricom", "airtel", "telkom", "faiba"}
    assert {transport for _, transport in shares} == {"udp", "tcp"}
    assert set(shares.values()) == {1.0}
    [row] = clinic.rows("filter event = 'join' | stats pct(ms, 95) as p95, avg(rtt_ms) as rtt", since)
    assert 500 < float(row["p95"]) < 10_000
    assert 20 < float(row["rtt"]) < 400
    assert set(clinic.success(since, "app_version")) == {("2026.47.1",), ("2026.45.3",)}


def test_only_new_sessions_follow_the_flag(clinic: Clinic) -> None:
    before = clinic.part.sessions.ledger()
    assert before["running"]["primary"] > before["running"]["secondary"] == 0

    clinic.serve("telehealth-provider", "secondary")
    since = clinic.through()

    assert clinic.success(since, "provider") == {("secondary",): 1.0}
    after = clinic.part.sessions.ledger()
    assert after["running"]["primary"] > 0
    assert (after["dropped"], after["moved"]) == (before["dropped"], before["moved"])


def test_a_room_that_somebody_closes_is_a_consultation_dropped(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of every test that says no consultation was dropped."""
    # One patient joins again, once: a stall of this machine must not look like a path that is not there.
    monkeypatch.setattr(sessions, "LEAST_ICE_TIMEOUT_S", 20.0)
    clinic.serve("telehealth-provider", "secondary")
    before = clinic.part.sessions.ledger()
    key = clinic.aws.client("secretsmanager").get_secret_value(SecretId="daily-emr/sandbox/TELEHEALTH_PRIMARY_KEY")
    running = list(clinic.part.sessions._running.values())
    room = next(one.room for one in reversed(running) if one.provider == "primary" and not one.hanging_up)

    assert clinic.ask("primary", f"/v1/rooms/{room}", method="DELETE", key=key["SecretString"])[0] == 204

    wait_until(lambda: clinic.part.sessions.ledger()["moved"] > before["moved"], "the patient has joined elsewhere")
    after = clinic.part.sessions.ledger()
    assert (after["dropped"], after["moved"]) == (before["dropped"] + 1, before["moved"] + 1)


def test_flags_choose_the_transport_and_the_media_region(clinic: Clinic) -> None:
    clinic.serve("telehealth-relay-only", True)
    clinic.serve("telehealth-media-region", "eu-west-1")
    since = clinic.through()

    assert clinic.success(since, "transport", "region") == {("tcp", "eu-west-1"): 1.0}
    [row] = clinic.joins(since, "stats min(rtt_ms) as rtt")
    assert float(row["rtt"]) > 120, "the other region is far"


def test_a_bot_joins_at_both_providers(clinic: Clinic) -> None:
    for provider in ("primary", "secondary"):
        wait_until(
            lambda name=provider: clinic.latest("DailyEMR/Telehealth", "SyntheticJoin", Provider=name) == 1.0,
            "the bot has joined",
        )
    requests = clinic.part.providers["secondary"].requests()
    assert {request["key"] for request in requests} == {"application"}


def test_running_consultations_and_webhooks_are_measured(clinic: Clinic) -> None:
    def latest(metric: str) -> float | None:
        return clinic.latest("DailyEMR/Telehealth", metric, Provider="primary")

    wait_until(lambda: (latest("RunningConsultations") or 0) > 0, "running consultations are counted")
    wait_until(lambda: (latest("SecondsSinceWebhook") or 99) < 5, "webhooks arrive")
    _, status = clinic.ask("primary", "/v1/status")
    assert status["sessions"] >= clinic.part.sessions.running()["primary"] > 0


def test_the_visits_of_the_next_hours_are_counts(clinic: Clinic) -> None:
    with clinic.part.bookings._database.primary.connect() as session:
        session.execute("SET ROLE emr_runbook")
        rows = session.execute("SELECT clinic, starts_at, video, phone FROM ops.telehealth_bookings").fetchall()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT * FROM telehealth_bookings")

    hours = clinic.settings.scaled(8 * 3600)
    assert {clinic_name for clinic_name, *_ in rows} == {"facility-1", "facility-2", "facility-3", "facility-4"}
    assert all(video >= 5 and phone == 0 for *_, video, phone in rows)
    assert max(starts_at for _, starts_at, *_ in rows).timestamp() > time.time() + hours * 0.8


def test_with_bookings_by_phone_all_that_is_to_come_is_a_call(clinic: Clinic) -> None:
    def counts() -> tuple[int, int]:
        with clinic.part.bookings._database.primary.connect() as session:
            [(video, phone)] = session.execute("SELECT sum(video), sum(phone) FROM ops.telehealth_bookings").fetchall()
        return int(video), int(phone)

    before = counts()
    clinic.serve("telehealth-bookings-by-phone", True)
    wait_until(lambda: counts()[0] == 0, "no visit is by video")
    assert counts()[1] >= before[0] * 0.9
    clinic.part.restore()
    assert counts()[1] == 0


def test_what_clinics_are_told_is_seen_and_counted(clinic: Clinic) -> None:
    sns = clinic.aws.client("sns")
    [topic] = [topic["TopicArn"] for topic in sns.list_topics()["Topics"]]
    assert topic.endswith(":daily-emr-sandbox-telehealth-notices")
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] == "4"
    assert sns.get_sms_attributes(attributes=["MonthlySpendLimit"])["attributes"] == {"MonthlySpendLimit": "100"}

    sns.publish(TopicArn=topic, Message="Online visits from 14:00 will be by phone.")

    assert [notice["message"] for notice in clinic.part.desk.notices()] == [
        "Online visits from 14:00 will be by phone."
    ]
    spent = clinic.latest
    wait_until(lambda: spent("AWS/SNS", "SMSMonthToDateSpentUSD") == pytest.approx(3.16), "four messages were paid")


# Faults.

Fault = faults.TelehealthFault


def api_answers_503(clinic: Clinic, since: float) -> None:
    assert clinic.success(since, "provider")[("primary",)] == 0
    assert clinic.failures(since) == {"room_503"}
    assert (clinic.token("primary"), clinic.token("secondary")) == (503, 201)
    assert clinic.media("primary", "udp")
    assert clinic.ask("primary", "/v1/status")[1]["status"] == "operational", "the status page lags"


def both_answer_503(clinic: Clinic, since: float) -> None:
    clinic.serve("telehealth-provider", "secondary")
    assert clinic.success(since, "provider")[("secondary",)] == 0
    assert clinic.failures(since) == {"room_503"}
    assert (clinic.token("primary"), clinic.token("secondary")) == (503, 503)


def media_are_silent(clinic: Clinic, since: float) -> None:
    assert set(clinic.success(since, "transport").values()) == {0.0}
    assert clinic.failures(since) == {"ice"}
    assert clinic.token("primary") == 201
    assert not clinic.media("primary", "udp")
    assert not clinic.media("primary", "tcp")
    assert clinic.media("secondary", "udp")


def udp_is_silent(clinic: Clinic, since: float) -> None:
    assert clinic.success(since, "transport") == {("udp",): 0.0, ("tcp",): 1.0}
    for provider in ("primary", "secondary"):
        assert not clinic.media(provider, "udp")
        assert clinic.media(provider, "tcp")
    clinic.serve("telehealth-relay-only", True)
    assert clinic.success(clinic.through(), "transport")[("tcp",)] == 1.0


def one_isp_is_cut_off(clinic: Clinic, since: float) -> None:
    shares = clinic.success(since, "isp", "transport")
    assert {isp for (isp, _), share in shares.items() if share < 1} == {"airtel"}
    assert {share for (isp, _), share in shares.items() if isp == "airtel"} == {0.0}
    assert clinic.media("primary", "udp")


def quota_is_used_up(clinic: Clinic, since: float) -> None:
    assert clinic.failures(since) == {"room_429"}
    assert clinic.token("primary") == 429
    quota = clinic.ask("primary", "/v1/status")[1]["quota"]
    assert quota["used"] == quota["limit"]


def our_key_is_refused(clinic: Clinic, since: float) -> None:
    assert clinic.failures(since) == {"room_401"}
    assert clinic.token("primary") == 201, "the runbooks' own key is good"
    secret = clinic.aws.client("secretsmanager").describe_secret(SecretId="daily-emr/sandbox/TELEHEALTH_PRIMARY_KEY")
    assert time.time() - secret["LastChangedDate"].timestamp() < 60


def one_version_fails(clinic: Clinic, since: float) -> None:
    shares = clinic.success(since, "app_version")
    assert {version for (version,), share in shares.items() if share == 0} == {"2026.48.0"}
    assert {version for (version,), share in shares.items() if share == 1} == {"2026.47.1", "2026.45.3"}
    assert clinic.failures(since) == {"client"}


def webhooks_wait(clinic: Clinic, since: float) -> None:
    wait_until(lambda: clinic.ask("primary", "/v1/webhooks")[1]["last_status"] == 503, "a webhook is refused")
    told = clinic.ask("primary", "/v1/webhooks")[1]
    assert told["pending"] > 1
    assert told["last_delivered_at"] < told["last_event_at"]
    assert set(clinic.success(since, "provider").values()) == {1.0}


def the_near_region_is_far(clinic: Clinic, since: float) -> None:
    [row] = clinic.joins(since, "filter joined = 1 | stats avg(rtt_ms) as rtt, count(*) as joined")
    assert float(row["rtt"]) > 300
    clinic.serve("telehealth-media-region", "eu-west-1")
    [row] = clinic.joins(clinic.through(), "filter region = 'eu-west-1' | stats avg(rtt_ms) as rtt")
    assert float(row["rtt"]) < 300


def pictures_are_poor(clinic: Clinic, since: float) -> None:
    def poor(since: float) -> float:
        [row] = clinic.joins(since, "stats sum(poor) / count(*) as share, sum(joined) / count(*) as joined")
        assert float(row["joined"]) == 1
        return float(row["share"])

    assert poor(since) > 0.2
    clinic.serve("telehealth-bitrate-cap", True)
    assert poor(clinic.through()) < 0.2


SIGNS: dict[str, tuple[type[Fault], Callable[[Clinic, float], None]]] = {
    fault.name: (fault, sign)
    for fault, sign in (
        (faults.TelehealthApiDown, api_answers_503),
        (faults.TelehealthAppVersion, one_version_fails),
        (faults.TelehealthBothDown, both_answer_503),
        (faults.TelehealthFarRegion, the_near_region_is_far),
        (faults.TelehealthMediaDown, media_are_silent),
        (faults.TelehealthOneIsp, one_isp_is_cut_off),
        (faults.TelehealthOurKey, our_key_is_refused),
        (faults.TelehealthQuota, quota_is_used_up),
        (faults.TelehealthThinLines, pictures_are_poor),
        (faults.TelehealthUdpBlocked, udp_is_silent),
        (faults.TelehealthWebhookSilent, webhooks_wait),
    )
}


@pytest.mark.parametrize("name", SIGNS)
def test_a_fault_shows_goes_away_and_drops_nobody(clinic: Clinic, name: str) -> None:
    kind, sign = SIGNS[name]
    world: Any = SimpleNamespace(settings=clinic.settings, telehealth=clinic.part, web=None, primitives=None)
    fault = kind(world)
    before = clinic.part.sessions.ledger()

    try:
        fault.break_()
        sign(clinic, clinic.through())
    finally:
        fault.mend()
        clinic.part.restore()

    wait_until(clinic.part.healthy, "patients join again")
    wait_until(lambda: not any(one.waiting_events for one in clinic.part.providers.values()), "webhooks have arrived")
    after = clinic.part.sessions.ledger()
    assert (after["dropped"], after["moved"]) == (before["dropped"], before["moved"])
    secret = clinic.aws.client("secretsmanager").describe_secret(SecretId="daily-emr/sandbox/TELEHEALTH_PRIMARY_KEY")
    assert time.time() - secret["LastChangedDate"].timestamp() > 86400


def test_the_log_holds_nothing_else(clinic: Clinic) -> None:
    planted = "Wanjiru-29384756"
    clinic.part.plant(planted)
    since = time.time() - 60
    clinic.success(time.time(), "isp")
    wait_until(lambda: bool(clinic.rows("filter event = 'call' | limit 1", since)), "a consultation has ended")

    for kind, allowed in MAY_BE_LOGGED.items():
        lines = [
            json.loads(row["@message"]) for row in clinic.rows(f"fields @message | filter event = '{kind}'", since)
        ]
        assert lines
        assert {name for line in lines for name in line} <= allowed
        assert not any(hidden in json.dumps(line) for line in lines for hidden in ("room-", planted))
    asked = clinic.part.providers["primary"].requests()
    assert asked
    assert planted not in json.dumps([asked, clinic.part.sessions.ledger(), clinic.part.describe()])
