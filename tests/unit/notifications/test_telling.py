"""People are told of a run by providers that check each request against their published schemas."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _channels
from ansible_collections.daily_emr.ops.plugins.module_utils._notices import LooksLikeAPatient, checked
from ansible_collections.daily_emr.ops.plugins.module_utils._notifier import Ledger, begin, owed, serve, started
from daily_emr_sandbox.loop import wait_until
from daily_emr_sandbox.people.part import PROVIDERS, People

from .conftest import INCIDENT, ROOT, Run

PATIENTS = {
    "a national id": "Amina Wanjiru 23456789",
    "a telephone number": "call +254712345678",
    "a telephone number, with spaces": "call 0712 345 678",
    "a number of the client registry": "CR123456789",
    "an e-mail address": "amina@example.org",
}


def test_a_run_is_told_of_from_its_start_to_its_end(run: Run, people: People) -> None:
    run.whole()

    serve(run.work)

    told = people.told()
    assert [request["problem"] for request in told["requests"]] == [""] * len(told["requests"])
    assert owed(run.folder, run.work) == []
    symptom = "daily-emr/staging/emr-web/app_outage"
    assert {key: one["status"] for key, one in told["alerts"].items()} == {symptom: "resolved"}
    assert told["alerts"][symptom]["payload"]["summary"] == (
        "[SEV1] Daily EMR staging: The application is down (bad release on emr-web)"
    )
    assert len(told["alerts"][symptom]["notes"]) == 1
    assert [one["summary"] for one in told["changes"]] == [
        f"{INCIDENT}: ecs service release on service/daily-emr-staging/daily-emr-staging-web (staging)"
    ]
    assert len(told["annotations"]) == 1


def test_slack_has_one_card_that_says_what_is_so_now(run: Run, people: People) -> None:
    run.whole()

    serve(run.work)

    (card,) = people.messages.values()
    assert len(card["said"]) == 6
    for word in ("opened", "found: bad release", "Removes 97 %", ": ok", "verification: health", "closed: succeeded"):
        assert word in card["said"][-1]
    assert "closed" not in card["said"][0]


def test_facilities_read_what_to_do_in_english_and_swahili(run: Run, people: People) -> None:
    run.whole()

    serve(run.work)

    (incident,) = people.incidents.values()
    updates = list(reversed(incident["incident_updates"]))
    assert [update["status"] for update in updates] == ["investigating", "identified", "monitoring", "resolved"]
    assert "paper downtime forms" in updates[0]["body"]
    assert "fomu za karatasi" in updates[0]["body"]
    assert "within 24 hours" in updates[3]["body"]


def test_what_is_only_contained_is_not_called_over(run: Run, people: People) -> None:
    run.opened(runbook="claims_api_outage")
    run.decided("rejecting")
    run.changed()
    run.closed(reached="it is contained, not over")

    serve(run.work)

    (incident,) = people.incidents.values()
    assert incident["status"] == "identified"
    assert [one["status"] for one in people.alerts.values()] == ["triggered"]


def test_who_could_not_mend_it_calls_the_next_person(run: Run, people: People) -> None:
    run.opened()
    run.decided()
    run.changed()
    run.closed("failed_partial", verified=False)

    serve(run.work)

    assert sorted(people.alerts) == [
        "daily-emr/staging/emr-web/app_outage",
        f"daily-emr/staging/emr-web/app_outage/{INCIDENT}/needs-a-person",
    ]
    assert {one["status"] for one in people.alerts.values()} == {"triggered"}


def test_a_healthy_system_and_a_plan_call_nobody(run: Run, people: People) -> None:
    run.opened()
    run.journal.append("decided", verdict="healthy", sentence="All is well.")
    run.journal.append("closed", outcome="noop", sentence="All is well.")
    serve(run.work)
    assert (people.alerts, people.incidents) == ({}, {})

    planned = replace(run.work, folder=str(run.folder.parent / "plan"))
    other = Run(Path(planned.folder), planned)
    other.opened(mode="plan")
    other.decided()
    other.closed()
    before = len(people.told()["requests"])
    serve(planned)
    assert len(people.told()["requests"]) == before


def test_a_lesser_incident_is_not_on_the_status_page(run: Run, people: People) -> None:
    run.opened(severity="SEV3")
    run.decided()
    run.changed()
    run.closed()

    serve(run.work)

    assert people.incidents == {}
    assert next(iter(people.alerts.values()))["payload"]["severity"] == "warning"


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 429, "after_s": 0.05},
        {"kind": "status", "status": 500, "count": 2},
        {"kind": "drop_after", "count": 3},
        {"kind": "hang"},
        {"kind": "wrong_key"},
    ],
    ids=lambda fault: str(fault.get("status") or fault["kind"]),
)
def test_each_event_arrives_once_and_in_order_after_a_provider_was_away(
    provider: str, fault: dict[str, object], run: Run, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_channels, "TIMEOUT_S", 1)
    people.add_fault(provider, str(fault["kind"]), **{key: fault[key] for key in fault if key != "kind"})
    run.whole()
    serve(replace(run.work, settle_s=0.3))

    people.restore()
    serve(run.work)

    assert owed(run.folder, run.work) == []
    told = people.told()
    assert [one["triggers"] for one in told["alerts"].values()] in ([1], [2]), "a second one only updates the first"
    assert [one["status"] for one in told["alerts"].values()] == ["resolved"]
    assert (len(told["messages"]), len(told["annotations"])) == (1, 1)
    (incident,) = told["incidents"].values()
    said = [update["status"] for update in reversed(incident["incident_updates"])]
    assert said == ["investigating", "identified", "monitoring", "resolved"]
    if (provider, fault["kind"]) != ("pagerduty", "drop_after"):
        assert len(told["changes"]) == 1


def test_a_provider_that_asks_for_patience_gets_it(run: Run, people: People) -> None:
    people.add_fault("grafana", "status", status=429, after_s=0.5)
    run.whole()

    serve(run.work)

    first, second, *_ = [one for one in people.told()["requests"] if one["provider"] == "grafana"]
    assert first["status"] == 429
    assert second["at"] - first["at"] >= 0.5


def test_one_that_hangs_holds_up_nobody_else(run: Run, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_channels, "TIMEOUT_S", 2)
    people.add_fault("statuspage", "hang", count=1000)
    run.whole()

    serve(replace(run.work, settle_s=0.1))

    assert {one["channel"] for one in owed(run.folder, run.work)} == {"statuspage"}
    assert {state for channel, _, state in run.states if channel != "statuspage"} == {"sent"}


def test_what_a_provider_refuses_is_said_and_does_not_hold_up_the_rest(run: Run, people: People) -> None:
    people.add_fault("grafana", "status", status=422)
    run.whole()

    serve(run.work)

    assert ("grafana", "changed", "failed") in run.states
    assert owed(run.folder, run.work)[0]["msg"].startswith("the provider refuses it: 422")


def test_a_channel_without_its_key_is_owed_everything(run: Run) -> None:
    run.whole()
    tokens = {name: key for name, key in run.work.tokens.items() if name != "SLACK_BOT_TOKEN"}

    serve(replace(run.work, tokens=tokens))

    left = owed(run.folder, replace(run.work, tokens=tokens))
    assert left == [{"event": "all", "channel": "slack", "msg": "SLACK_BOT_TOKEN is not set", "hope": False}]


def test_the_process_follows_a_run_until_it_closes(run: Run, people: People) -> None:
    run.opened()
    teller = threading.Thread(target=serve, args=(run.work,))
    teller.start()
    wait_until(lambda: people.messages, "somebody is told", 30)
    assert "opened" in next(iter(people.messages.values()))["said"][-1]
    assert teller.is_alive()

    run.decided()
    run.changed()
    run.closed()
    teller.join(30)

    assert not teller.is_alive()
    assert "closed: succeeded" in next(iter(people.messages.values()))["said"][-1]


def test_the_process_is_one_of_its_own_and_ends_by_itself(run: Run, people: People) -> None:
    run.opened()
    pid = begin(run.work, ROOT / "collections", {"PATH": os.environ["PATH"]})
    assert os.getsid(pid) == pid
    assert "SLACK" not in Path(f"/proc/{pid}/cmdline").read_text() + Path(f"/proc/{pid}/environ").read_text()
    run.decided()
    run.changed()
    run.closed()

    wait_until(lambda: not started(pid), "the process ends", 60)

    assert owed(run.folder, run.work) == []
    assert len(people.messages) == 1


def test_when_the_playbook_dies_the_next_person_is_called(run: Run, people: People) -> None:
    run.opened()
    run.decided()
    gone = replace(run.work, pid=2**22 + 1, born="1")
    assert started(gone.pid) == ""

    serve(gone)

    assert ("slack", "opened", "sent") in run.states
    assert f"daily-emr/staging/emr-web/app_outage/{INCIDENT}/needs-a-person" in people.alerts
    assert "ended without a word" in next(iter(people.messages.values()))["said"][-1]
    assert owed(run.folder, gone) == []


@pytest.mark.parametrize("kind", PATIENTS)
def test_a_text_that_may_name_a_patient_is_not_sent(kind: str, run: Run, people: People) -> None:
    planted = PATIENTS[kind]
    run.opened(title=f"Charts of {planted} fail")
    run.decided()
    run.journal.append("intent", step="feature_flag", target=f"flag/{planted}", prediction=[planted])
    run.journal.append("outcome", step="feature_flag", target=f"flag/{planted}", outcome="ok")
    run.closed()

    serve(run.work)

    assert planted not in str(people.told())
    assert planted not in Ledger(run.folder).path.read_text()
    assert ("slack", "opened", "failed") in run.states
    why = next(line["msg"] for line in Ledger(run.folder).read().values() if line["channel"] == "slack")
    assert why == f"not sent: it may name {kind.partition(',')[0]}"


def test_free_text_of_users_and_providers_is_in_no_field_that_is_told(run: Run, people: People) -> None:
    planted = "Amina Wanjiru of ward 7"
    run.opened(alert={"summary": planted}, inputs={"x": planted}, operator=planted)
    run.journal.append("observed", observations=[{"seen": planted}], sentence=planted)
    run.journal.append("decided", verdict="cause", cause="bad_release", sentence=planted, because=[planted])
    run.journal.append("intent", step="feature_flag", target="flag/x", diff={"before": planted}, msg=planted)
    run.journal.append("outcome", step="feature_flag", target="flag/x", outcome="ok", msg=planted)
    run.journal.append("verified", verified=True, sentence=planted, failing=[planted])
    run.journal.append("closed", outcome="succeeded", sentence=planted)

    serve(run.work)

    assert owed(run.folder, run.work) == []
    assert planted not in str(people.told())


@pytest.mark.parametrize("text", PATIENTS.values())
def test_what_is_denied(text: str) -> None:
    with pytest.raises(LooksLikeAPatient):
        checked(text)


def test_our_own_names_are_not_denied_and_what_only_looks_like_them_is() -> None:
    assert checked(f"{INCIDENT} 20261201-010203-cd34 2026-12-01T01:02:03Z 123456 1.5 % of 236 requests")
    with pytest.raises(LooksLikeAPatient):
        checked("INC-23456789")
    with pytest.raises(LooksLikeAPatient):
        checked("INC-20269901-010203-ab12")
