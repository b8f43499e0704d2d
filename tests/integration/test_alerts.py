"""Alerts over HTTP into a real ansible-rulebook: the right plans run in the sandbox, each once, and nothing else."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.alert_messages import SNS_HOST, TOPIC, Headers, Sns, alarm, alertmanager, bearer, cloudwatch, pagerduty
from tests.integration.conftest import PATIENT_S, Operator, Witness
from tests.integration.rulebook import Awx, Internet, Rulebook, running_rulebook

# One rulebook for all of them: its throttles are a state that they share.
pytestmark = pytest.mark.xdist_group("alerts")

COPIES = 50
Request = tuple[str, tuple[Headers, bytes]]


@dataclass(frozen=True)
class Night:
    """What was posted in one night, and what came of it."""

    refused: dict[str, int]
    left: dict[str, int]
    accepted: list[int]
    records: dict[str, dict[str, Any]]
    output: str
    changes: list[dict[str, Any]]
    asked: list[str]
    runs: Path
    canary: Path


def post(rulebook: Rulebook, path: str, request: tuple[Headers, bytes]) -> int:
    headers, body = request
    asked = urllib.request.Request(f"{rulebook.url}/{path}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def unbelievable(sns: Sns) -> dict[str, Request]:
    """Requests of nobody: a wrong signature or token, or a body that nobody sends."""
    signed = pagerduty("EMR database")
    firing = alertmanager("EmrErrorBudgetBurn", "emr-web")
    return {
        "wrong signature of PagerDuty": ("pagerduty", (signed[0], signed[1] + b" ")),
        "no signature of PagerDuty": ("pagerduty", (bearer("pagerduty"), signed[1])),
        "wrong token": ("alertmanager", ({"Authorization": "Bearer wrong"}, firing[1])),
        "no token": ("alertmanager", ({}, firing[1])),
        "another key than that of SNS": ("cloudwatch", cloudwatch(Sns().message())),
        "another topic": ("cloudwatch", cloudwatch(sns.message(TopicArn=f"{TOPIC}-2"))),
        "a certificate from elsewhere": (
            "cloudwatch",
            cloudwatch(sns.message(SigningCertURL="https://sns.evil.example.org/SimpleNotificationService-00.pem")),
        ),
        "too deep": ("alertmanager", (bearer("alertmanager"), b"[" * 200_000)),
        "too large": ("alertmanager", (bearer("alertmanager"), b" " * 400_000)),
        "not JSON": ("alertmanager", (bearer("alertmanager"), b"{{ 7 * 7 }}")),
    }


def hostile(template: str) -> dict[str, Request]:
    """Verified alerts that must start nothing: no plain component, or a template where a word belongs."""
    found: dict[str, Request] = {
        f"component {component!a}": ("alertmanager", alertmanager("EmrErrorBudgetBurn", component))
        for component in (None, "", "all", "*", "!emr-web", "emr-web,emr-db", "web", "emr-wbe", "localhost", template)
    }
    for component in ("all", "*", "!emr-db", template):
        details = {"custom_details": {"component": component}}
        found[f"detail {component!a}"] = ("pagerduty", pagerduty("EMR database", **details))
    found["name"] = ("alertmanager", alertmanager(template, "emr-web"))
    found["fingerprint"] = ("alertmanager", alertmanager("EmrErrorBudgetBurn", "emr-web", fingerprint=template))
    found["control characters"] = (
        "alertmanager",
        alertmanager("EmrErrorBudgetBurn", "emr-web", fingerprint="\x1b]0;x\x07\u202e"),
    )
    found["service"] = ("pagerduty", pagerduty(template))
    return found


@pytest.fixture(scope="module")
def night(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """The application has no tasks. What must start nothing is posted first, then three alerts, one of them often."""
    folder = tmp_path_factory.mktemp("alerts")
    operator, sns, canary = Operator(sandbox, folder / "runs"), Sns(), folder / "canary"
    template = "{{ lookup('ansible.builtin.pipe', 'touch " + str(canary) + "') }}"
    told = {"annotations": {"summary": template, template: template}, "generatorURL": template}
    sandbox.clear_faults()
    sandbox.mend()
    sandbox.break_("scaled_to_zero")
    witness = Witness(sandbox)
    try:
        with (
            Internet(folder, sns.certificate) as internet,
            running_rulebook("plan", operator, folder, ALERTS_TOPIC=TOPIC, **internet.environ) as rulebook,
        ):
            refused = {name: post(rulebook, *request) for name, request in unbelievable(sns).items()}
            left = {name: post(rulebook, *request) for name, request in hostile(template).items()}
            ringing = sns.message(Message=json.dumps(alarm("no-healthy-targets", NewStateReason=template)))
            accepted = [
                post(rulebook, "cloudwatch", cloudwatch(ringing)),
                post(rulebook, "alertmanager", alertmanager("EmrErrorBudgetBurn", "emr-web", **told)),
            ]
            # The clock of each copy is its own, as when several senders repeat themselves.
            accepted += [post(rulebook, "pagerduty", pagerduty("EMR database", title=template)) for _ in range(COPIES)]
            wait_until(lambda: rulebook.output.count("PLAY RECAP") == 3, "three plans have ended", PATIENT_S)
            records = [json.loads(path.read_text()) for path in operator.runs.glob("*/*/record.json")]
            yield Night(
                refused,
                left,
                accepted,
                {record["runbook"]: record for record in records},
                rulebook.output,
                witness.changes(),
                internet.asked,
                operator.runs,
                canary,
            )
    finally:
        sandbox.mend()


def test_what_nobody_sent_is_refused(night: Night) -> None:
    assert {name for name, status in night.refused.items() if status != 401} == {"too deep", "too large", "not JSON"}
    assert (night.refused["too deep"], night.refused["too large"], night.refused["not JSON"]) == (400, 413, 400)


def test_three_formats_plan_three_runbooks_and_each_record_names_its_alert(night: Night) -> None:
    named = {
        name: (record["alert"]["source"], record["alert"]["name"], record["component"], record["mode"])
        for name, record in night.records.items()
    }
    assert named == {
        "app_outage": ("cloudwatch", "no-healthy-targets", "emr-web", "plan"),
        "error_spike": ("alertmanager", "EmrErrorBudgetBurn", "emr-web", "plan"),
        "database_failover": ("pagerduty", "EMR database", "emr-db", "plan"),
    }
    assert night.records["app_outage"]["outcome"] == "planned", night.output
    assert night.records["app_outage"]["decision"]["cause"] == "scaled_to_zero"
    assert night.changes == []


def test_a_record_is_in_the_folder_of_the_incident_of_its_alert(night: Night) -> None:
    for record in night.records.values():
        assert (night.runs / record["incident"] / "alert.json").is_file()


def test_fifty_copies_start_one_run(night: Night) -> None:
    assert night.accepted == [200] * (COPIES + 2)
    assert night.output.count("PLAY [Plan the runbook that an alert names]") == 3, night.output
    assert len(list(night.runs.glob("INC-*/*/journal.jsonl"))) == 3


def test_hostile_alerts_start_nothing_and_no_template_is_executed(night: Night) -> None:
    assert set(night.left.values()) == {200}
    assert not night.canary.exists()
    assert "Traceback" not in night.output
    kept = {json.loads(path.read_text())["name"] for path in night.runs.glob("INC-*/alert.json")}
    assert kept == {record["alert"]["name"] for record in night.records.values()}


def test_the_canary_sings_where_a_template_is_executed(night: Night, operator: Operator) -> None:
    """The control: the same words, passed as Ansible is usually told something."""
    text = "{{ lookup('ansible.builtin.pipe', 'touch " + str(night.canary) + "') }}"
    done = operator.start(
        "ansible",
        "-i",
        "localhost,",
        "localhost",
        "-m",
        "ansible.builtin.debug",
        "-a",
        "var=told",
        "-e",
        json.dumps({"told": text}),
    )
    assert done.returncode == 0, done.output
    assert night.canary.exists()
    night.canary.unlink()


def test_the_certificate_of_sns_was_fetched_from_sns_alone(night: Night) -> None:
    assert {line.split()[0] for line in night.asked} == {f"{SNS_HOST}:443"}
    assert all("/SimpleNotificationService-" in line for line in night.asked)


def test_in_production_an_alert_asks_awx_for_the_workflow_and_tells_it_two_words(
    operator: Operator, tmp_path: Path
) -> None:
    hostile_text = "{{ lookup('ansible.builtin.pipe', 'id') }}"
    with (
        Awx("database_failover in sandbox") as awx,
        running_rulebook(
            "approve",
            operator,
            tmp_path,
            ALERTS_TOPIC=TOPIC,
            EDA_CONTROLLER_URL=awx.url,
            EDA_CONTROLLER_TOKEN="token-of-awx",
        ) as rulebook,
    ):
        bad = alertmanager("EmrDatabaseDown", "all")
        good = alertmanager("EmrDatabaseDown", "emr-db", annotations={"summary": hostile_text})
        assert [post(rulebook, "alertmanager", request) for request in (bad, good, good)] == [200] * 3
        wait_until(lambda: bool(awx.launched), "the workflow is launched", PATIENT_S)
    (asked,) = awx.launched
    (file,) = operator.runs.glob("INC-*/alert.json")
    assert asked == {
        "path": "/api/v2/workflow_job_templates/5/launch/",
        "token": "Bearer token-of-awx",
        "limit": "emr-db",
        "extra_vars": {"incident_id": file.parent.name},
    }
