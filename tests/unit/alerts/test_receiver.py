"""Who is believed, what starts something, and what enters the rules."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from typing import Any

import pytest

from daily_emr_runbooks.alerts import pagerduty as pagerduty_format
from daily_emr_runbooks.alerts.alert import NotVerified, Unreadable, parsed
from tests.alert_messages import (
    SNS_HOST,
    TOKENS,
    TOPIC,
    Headers,
    Sns,
    alarm,
    alertmanager,
    bearer,
    cloudwatch,
    now_text,
    pagerduty,
    pagerduty_signature,
)
from tests.unit.alerts.conftest import Desk

FIRING = alertmanager("EmrNoHealthyTargets", "emr-web")
NO_HOSTS = [None, "", "all", "*", "!emr-web", "emr-web,emr-db", "emr-web:&web", "~emr.*", "web", "localhost", "emr-wbe"]
NO_HOSTS += ["@/etc/hosts", "emr-web\n", "{{ 'emr-web' }}", ["emr-web"], {"emr-web": 1}, 7]
OPENSSL = "v1=7204437e162f6be92f7bb9244282760f0d42dcbe942ff38082faec56bf93fff3"
TEMPLATE = "{{ lookup('ansible.builtin.pipe', 'touch /nowhere') }}"


def test_each_format_names_its_runbook_and_component(desk: Desk, sns: Sns) -> None:
    assert desk.post("/alertmanager", alertmanager("EmrQueueOld", "claims")).started == [("queue_backlog", "claims")]
    assert desk.post("/pagerduty", pagerduty("EMR database")).started == [("database_failover", "emr-db")]
    assert desk.post("/cloudwatch", cloudwatch(sns.message())).started == [("app_outage", "emr-web")]


@pytest.mark.parametrize("version", ["1", "2"])
def test_both_versions_of_the_signature_of_sns_are_known(desk: Desk, sns: Sns, version: str) -> None:
    assert len(desk.post("/cloudwatch", cloudwatch(sns.message(version=version))).events) == 1
    assert desk.asked == [f"https://{SNS_HOST}/SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem"]


def test_a_certificate_is_fetched_once(desk: Desk, sns: Sns) -> None:
    assert desk.post("/cloudwatch", *[cloudwatch(sns.message())] * 3).statuses == [200] * 3
    assert len(desk.asked) == 1


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("/alertmanager", FIRING),
        ("/pagerduty", pagerduty("EMR database")),
        ("/cloudwatch", cloudwatch({})),
    ],
)
@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic !",
        "Basic d3Jvbmc6d3Jvbmc=",
        TOKENS["alertmanager_token"],
        "Bearer é",
    ],
)
def test_without_its_token_nothing_is_read(desk: Desk, path: str, request_: tuple[Headers, bytes], header: str) -> None:
    received = desk.post(path, ({**request_[0], "Authorization": header}, request_[1]))
    assert (received.statuses, received.events, desk.asked) == ([401], [], [])


def test_a_token_is_for_one_sender(desk: Desk) -> None:
    assert desk.post("/alertmanager", (bearer("pagerduty"), FIRING[1])).statuses == [401]


def test_the_signature_of_pagerduty_is_that_of_openssl() -> None:
    """printf '{"event":{}}' | openssl dgst -sha256 -hmac secret-of-pagerduty-abcdef"""
    assert pagerduty_signature(b'{"event":{}}') == OPENSSL


@pytest.mark.parametrize("signature", ["", "v1=", "v2=%s", "v1=%s0", "v1=0%s", "%s", "v1=é"])
def test_a_wrong_signature_of_pagerduty_is_refused(desk: Desk, signature: str) -> None:
    headers, body = pagerduty("EMR database")
    word = headers["X-PagerDuty-Signature"].removeprefix("v1=")
    given = signature % word if "%" in signature else signature
    received = desk.post("/pagerduty", ({**headers, "X-PagerDuty-Signature": given}, body))
    assert (received.statuses, received.events) == ([401], [])


def test_a_signature_in_bytes_that_are_no_text_is_wrong_and_no_error_of_ours() -> None:
    """A server gets such bytes as single surrogates."""
    with pytest.raises(NotVerified):
        pagerduty_format.verify("v1=\udcff", b"{}", "secret")


def test_a_body_that_was_changed_after_it_was_signed_is_refused(desk: Desk) -> None:
    headers, body = pagerduty("EMR database")
    assert desk.post("/pagerduty", (headers, body + b" ")).statuses == [401]


def test_one_of_several_signatures_is_enough_while_a_secret_is_replaced(desk: Desk) -> None:
    headers, body = pagerduty("EMR database")
    both = f"{pagerduty_signature(body, 'the-other-secret-0123')}, {headers['X-PagerDuty-Signature']}"
    assert desk.post("/pagerduty", ({**headers, "X-PagerDuty-Signature": both}, body)).statuses == [200]


@pytest.mark.parametrize("ago", [{"hours": 2}, {"minutes": -30}])
def test_a_message_that_was_signed_long_ago_is_refused(desk: Desk, sns: Sns, ago: dict[str, float]) -> None:
    assert desk.post("/pagerduty", pagerduty("EMR database", occurred_at=now_text(**ago))).statuses == [401]
    assert desk.post("/cloudwatch", cloudwatch(sns.message(Timestamp=now_text(**ago)))).statuses == [401]


@pytest.mark.parametrize(
    "address",
    [
        f"http://{SNS_HOST}/SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem",
        "https://sns.af-south-1.amazonaws.com.evil.example.org/SimpleNotificationService-7ff5318490ec183f.pem",
        f"https://{SNS_HOST}@evil.example.org/SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem",
        f"https://evil@{SNS_HOST}/SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem",
        "https://bucket.s3.amazonaws.com/SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem",
        f"https://{SNS_HOST}:444/SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem",
        f"https://{SNS_HOST}/../SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem",
        f"https://{SNS_HOST}/SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem?x=1",
        f"{SNS_HOST}/SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem",
        "file:///etc/passwd",
        "https://[",
        "",
        None,
    ],
)
def test_a_certificate_from_elsewhere_is_not_even_fetched(desk: Desk, sns: Sns, address: str) -> None:
    received = desk.post("/cloudwatch", cloudwatch(sns.message(SigningCertURL=address)))
    assert (received.statuses, received.events, desk.asked) == ([401], [], [])


@pytest.mark.parametrize(
    "changes",
    [
        {"Message": json.dumps(alarm("silence"))},
        {"TopicArn": TOPIC.replace("sandbox", "other")},
        {"Type": "Other"},
        {"SignatureVersion": "1"},
        {"SignatureVersion": "3"},
        {"Signature": "!"},
        {"Signature": ""},
        {"Subject": "\ud800"},
    ],
)
def test_a_message_of_sns_that_was_changed_is_refused(desk: Desk, sns: Sns, changes: dict[str, str]) -> None:
    received = desk.post("/cloudwatch", cloudwatch(sns.message() | changes))
    assert (received.statuses, received.events) == ([401], [])


def test_another_topic_is_refused_though_sns_signed_it(desk: Desk, sns: Sns) -> None:
    received = desk.post("/cloudwatch", cloudwatch(sns.message(TopicArn=TOPIC.replace("sandbox", "other"))))
    assert (received.statuses, received.events) == ([401], [])


def test_the_key_of_somebody_else_and_an_expired_certificate_are_refused(desk: Desk) -> None:
    assert desk.post("/cloudwatch", cloudwatch(Sns().message())).statuses == [401]
    desk.sns = Sns(valid=timedelta(days=-1))
    assert desk.post("/cloudwatch", cloudwatch(desk.sns.message())).statuses == [401]


def test_without_a_way_to_the_certificate_sns_is_asked_to_try_again(desk: Desk, sns: Sns) -> None:
    desk.reachable = False
    received = desk.post("/cloudwatch", cloudwatch(sns.message()))
    assert (received.statuses, received.events) == ([502], [])


def test_a_subscription_is_confirmed_at_the_address_of_the_topic_and_not_of_the_message(desk: Desk, sns: Sns) -> None:
    received = desk.post("/cloudwatch", cloudwatch(sns.message("SubscriptionConfirmation")))
    assert (received.statuses, received.events) == ([200], [])
    assert desk.asked[-1].startswith(f"https://{SNS_HOST}/?Action=ConfirmSubscription&TopicArn=arn%3Aaws%3Asns")
    assert "evil" not in " ".join(desk.asked)


@pytest.mark.parametrize("changes", [{"TopicArn": TOPIC + "2"}, {"Token": "1 2"}, {"Token": ""}])
def test_a_strange_subscription_is_not_confirmed(desk: Desk, sns: Sns, changes: dict[str, str]) -> None:
    received = desk.post("/cloudwatch", cloudwatch(sns.message("SubscriptionConfirmation", **changes)))
    assert received.statuses == [401]
    assert not any("ConfirmSubscription" in address for address in desk.asked)


def test_the_end_of_a_subscription_is_left_as_it_is(desk: Desk, sns: Sns) -> None:
    received = desk.post("/cloudwatch", cloudwatch(sns.message("UnsubscribeConfirmation")))
    assert (received.statuses, received.events, len(desk.asked)) == ([200], [], 1)


@pytest.mark.parametrize("component", NO_HOSTS, ids=ascii)
def test_an_alert_without_a_plain_component_starts_nothing(desk: Desk, component: Any) -> None:
    received = desk.post("/alertmanager", alertmanager("EmrNoHealthyTargets", component))
    assert (received.statuses, received.events, desk.runs.exists()) == ([200], [], False)
    assert "has to name the component in question, one of emr-web" in received.texts[0]


@pytest.mark.parametrize("component", [word for word in NO_HOSTS if word not in (None, "")], ids=ascii)
def test_a_wrong_component_is_not_replaced_by_the_one_of_the_service(desk: Desk, component: Any) -> None:
    received = desk.post("/pagerduty", pagerduty("EMR database", custom_details={"component": component}))
    assert (received.events, desk.runs.exists()) == ([], False)


def test_a_component_of_another_runbook_starts_nothing(desk: Desk) -> None:
    assert desk.post("/alertmanager", alertmanager("EmrNoHealthyTargets", "emr-db")).events == []


def test_what_does_not_fire_or_is_of_another_environment_starts_nothing(desk: Desk, sns: Sns) -> None:
    calm = [
        alertmanager("EmrNoHealthyTargets", "emr-web", status="resolved"),
        alertmanager(
            "EmrNoHealthyTargets",
            "emr-web",
            labels={"alertname": "EmrNoHealthyTargets", "component": "emr-web", "environment": "staging"},
        ),
        alertmanager("Watchdog", "emr-web"),
    ]
    assert desk.post("/alertmanager", *calm).events == []
    assert desk.post("/pagerduty", pagerduty("EMR database", kind="incident.resolved")).events == []
    assert desk.post("/pagerduty", pagerduty("Payroll")).events == []
    for changes in ({"NewStateValue": "OK"}, {"AWSAccountId": "999999999999"}, {"AlarmName": "silence"}):
        message = sns.message(Message=json.dumps(alarm("silence", **changes)))
        assert desk.post("/cloudwatch", cloudwatch(message)).events == []
    for text in ("hello", "[]", '{"Event Source": "db-instance"}', "[" * 5000):
        assert desk.post("/cloudwatch", cloudwatch(sns.message(Message=text))).events == []


def test_only_plain_words_enter_the_rules_and_the_text_stays_in_a_file_of_ours(desk: Desk) -> None:
    hostile = f"{TEMPLATE}\x1b[2J\u202e" + "x" * 9000
    request = alertmanager("EmrNoHealthyTargets", "emr-web", annotations={"summary": hostile, TEMPLATE: TEMPLATE})
    (event,) = desk.post("/alertmanager", request).events
    assert set(event) == {"alert"}
    assert set(event["alert"]) == {"runbook", "component", "environment", "incident", "file"}
    assert "{{" not in json.dumps(event)
    (file,) = desk.runs.glob("INC-*/alert.json")
    assert event["alert"]["file"] == str(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    kept = json.loads(file.read_text())
    assert kept["text"].startswith("{{ lookup")
    assert len(kept["text"]) < 600
    assert "\x1b" not in kept["text"]
    assert "\u202e" not in kept["text"]


def test_what_a_person_may_have_typed_is_not_kept(desk: Desk) -> None:
    desk.post("/pagerduty", pagerduty("EMR database", title="Somebody's name"))
    (file,) = desk.runs.glob("INC-*/alert.json")
    assert "Somebody" not in file.read_text()


@pytest.mark.parametrize("reference", [TEMPLATE, "a\nb", "x" * 600, "\u202e"], ids=ascii)
def test_a_hostile_name_of_an_alert_starts_nothing(desk: Desk, reference: str) -> None:
    received = desk.post("/alertmanager", alertmanager("EmrNoHealthyTargets", "emr-web", fingerprint=reference))
    assert (received.events, desk.runs.exists()) == ([], False)
    assert TEMPLATE not in received.texts[0]


def test_copies_of_an_alert_are_of_one_incident_and_in_one_file(desk: Desk) -> None:
    received = desk.post("/alertmanager", *[FIRING] * 3)
    assert len({event["alert"]["incident"] for event in received.events}) == 1
    assert len(list(desk.runs.rglob("*.json"))) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b"null", b"[]", b'{"alerts": {}}', b'{"alerts": 1}'],
    ids=lambda body: ascii(body[:12]),
)
def test_what_cannot_be_read_is_refused(desk: Desk, body: bytes) -> None:
    received = desk.post("/alertmanager", (bearer("alertmanager"), body))
    assert (received.statuses, received.events) == ([400], [])
    assert received.texts[0].startswith("It ")


def test_how_deep_a_body_is_is_known_before_it_is_parsed() -> None:
    """The control of what the parser would do is the test with a real ansible-rulebook, where it ended the process."""
    for left, right in (("[", "]"), ('{"a":', "}")):
        parsed(f"{left * 30}1{right * 30}".encode())
        with pytest.raises(Unreadable):
            parsed(f"{left * 40}1{right * 40}".encode())
    assert parsed(b'["[[[[", "\\"' + b"[" * 99 + b'"]') == ["[[[[", '"' + "[" * 99]
    with pytest.raises(Unreadable):
        parsed('["\u2200"]'.encode("utf-16"))


@pytest.mark.parametrize("entry", [None, 1, "x", [], {}, {"status": "firing"}, {"status": "firing", "labels": 1}])
def test_a_strange_alert_among_others_starts_nothing(desk: Desk, entry: Any) -> None:
    received = desk.post("/alertmanager", (bearer("alertmanager"), json.dumps({"alerts": [entry]}).encode()))
    assert received.statuses[0] in (200, 400)
    assert received.events == []


def test_what_cannot_be_read_hides_no_alert_beside_it(desk: Desk) -> None:
    """Nor do those that no longer fire, however many come first."""
    headers, body = alertmanager("EmrNoHealthyTargets", "emr-web")
    (fires,) = json.loads(body)["alerts"]
    calm, broken = fires | {"status": "resolved"}, fires | {"startsAt": "yesterday"}
    for others in ([calm] * 150, [broken] * 150, [None, 1, {}, broken]):
        received = desk.post("/alertmanager", (headers, json.dumps({"alerts": [*others, fires]}).encode()))
        assert (received.statuses, received.started) == ([200], [("app_outage", "emr-web")])


def test_a_message_does_not_ask_for_more_than_a_hundred_plans(desk: Desk) -> None:
    headers, body = alertmanager("EmrNoHealthyTargets", "emr-web")
    received = desk.post("/alertmanager", (headers, json.dumps({"alerts": json.loads(body)["alerts"] * 150}).encode()))
    assert len(received.events) == 100


def test_a_body_that_is_too_large_is_not_read(desk: Desk) -> None:
    assert desk.post("/alertmanager", (bearer("alertmanager"), b" " * 300_000)).statuses == [413]


def test_other_paths_and_methods_are_not_there(desk: Desk) -> None:
    assert desk.post("/", FIRING).statuses == [404]
    assert desk.post("/alertmanager/..", FIRING).statuses == [404]
