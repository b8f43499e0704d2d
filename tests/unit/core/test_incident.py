"""The life of an incident: opened, worked on, closed, with a record that says how it ended."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.module_utils._record import judge
from ansible_collections.daily_emr.ops.plugins.modules.incident import ENTRY

from .conftest import ENVIRONMENT, TABLE, Wire

WRITES = {"PutItem", "UpdateItem", "TransactWriteItems"}


class Run:
    """One run against the account in memory."""

    def __init__(self, project: Path) -> None:
        self.project = project

    def __call__(self, state: str, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        defaults = {name: option.get("default") for name, option in ENTRY.argument_spec.items()}
        about = {"runbook": "app_outage", "title": "It is down", "component": "emr-web"} if state == "open" else {}
        about |= {"contract": False} if state == "mitigating" else {}
        params = {**defaults, "environment": ENVIRONMENT, **about, "state": state, **options}
        return perform("incident", ENTRY, params, Context(check_mode=check_mode, project=self.project))

    def opened(self, **options: Any) -> dict[str, Any]:
        session: dict[str, Any] = self("open", **options)["incident"]
        return session


@pytest.fixture
def run(wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:  # noqa: ARG001  # for its effect
    monkeypatch.delenv("DAILY_EMR_RUNS", raising=False)
    return Run(tmp_path)


def decided(session: dict[str, Any], verdict: str, **body: Any) -> Journal:
    made = Session.from_params(session)
    assert made
    journal = Journal.of(made)
    journal.append("decided", **{"verdict": verdict, "sentence": "The sentence.", "hand_off": "", "cause": "", **body})
    return journal


def record(result: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(result["record"]).read_text())
    return found


def test_opening_proves_looks_at_the_lease_and_writes_nothing_to_aws(run: Run, wire: Wire) -> None:
    result = run("open")

    session = result["incident"]
    assert result["changed"] is False
    assert session["id"].startswith("INC-")
    assert Path(session["folder"]) == run.project / ".runs" / session["id"] / session["run"]
    assert sorted(wire.sent) == ["GetCallerIdentity", "GetItem", "GetParameter"]


@pytest.mark.parametrize(
    ("ends_in", "says"),
    [(timedelta(minutes=19), "end in 18 min"), (timedelta(minutes=-3), "end in 0 min"), (None, "no time with a zone")],
)
def test_credentials_that_end_before_a_run_are_refused_at_its_start(
    ends_in: timedelta | None, says: str, run: Run, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = "soon" if ends_in is None else (datetime.now(UTC) + ends_in).isoformat()
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", ends)

    result = run("open")

    assert (result["outcome"], result["failed"]) == ("refused", True)
    assert says in result["msg"]
    assert WRITES.isdisjoint(wire.sent)


def test_credentials_that_last_are_taken_and_a_plan_needs_none_that_do(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", (datetime.now(UTC) + timedelta(minutes=22)).isoformat())
    assert "failed" not in run("open")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", (datetime.now(UTC) + timedelta(minutes=12)).isoformat())
    assert "failed" not in run("open", check_mode=True)


def test_the_record_names_the_alert_that_started_the_run(run: Run) -> None:
    alert = {
        "source": "pagerduty",
        "name": "EMR application",
        "component": "emr-web",
        "reference": "PGR0VU2",
        "started_at": "2026-11-22T01:30:00+00:00",
        "received_at": "2026-11-22T01:30:02+00:00",
    }
    session = run.opened(alert=json.dumps({**alert, "text": "not for the record"}))
    decided(session, "healthy")

    found = record(run("closed", incident=session))

    assert found["alert"] == alert
    assert "not for the record" not in json.dumps(found)


def test_a_run_that_no_alert_started_names_none(run: Run) -> None:
    session = run.opened()
    decided(session, "healthy")

    assert record(run("closed", incident=session))["alert"] == {}


def test_a_file_that_holds_no_alert_opens_nothing(run: Run, wire: Wire) -> None:
    result = run("open", alert="{{ 1 }}")

    assert (result["failed"], result["refused"]) == (True, True)
    assert "holds no alert" in result["msg"]
    assert list(run.project.iterdir()) == []
    assert wire.sent == []


def test_two_runs_of_one_incident_have_a_folder_each(run: Run) -> None:
    first, second = run.opened(incident_id="INC-7"), run.opened(incident_id="INC-7")

    assert first["id"] == second["id"] == "INC-7"
    assert first["folder"] != second["folder"]


def test_the_folder_for_runs_can_be_chosen(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAILY_EMR_RUNS", str(tmp_path / "by-variable"))

    assert run.opened()["folder"].startswith(str(tmp_path / "by-variable"))
    assert run.opened(runs_dir=str(tmp_path / "by-option"))["folder"].startswith(str(tmp_path / "by-option"))


@pytest.mark.parametrize("identifier", ["../../etc", "INC-", "INC-a/b", "inc-1", "INC-" + "x" * 80, "INC-1\n"])
def test_an_id_that_is_not_one_makes_no_folder(run: Run, wire: Wire, identifier: str) -> None:
    result = run("open", incident_id=identifier)

    assert (result["failed"], result["refused"]) == (True, True)
    assert list(run.project.iterdir()) == []
    assert wire.sent == []


def test_the_wrong_account_is_refused_with_a_record_and_nothing_but_the_guard_is_called(run: Run, wire: Wire) -> None:
    result = run("open", environment={**ENVIRONMENT, "account_id": "999999999999"})

    assert (result["failed"], result["outcome"], result["exit_code"]) == (True, "refused", 3)
    assert "switch to the profile of staging" in result["msg"]
    assert set(wire.sent) == {"GetCallerIdentity", "GetParameter"}
    assert record(result)["outcome"] == "refused"


@pytest.mark.parametrize("key", sorted(ENVIRONMENT))
def test_a_value_that_the_owner_has_not_filled_in_is_named_and_nothing_is_called(
    run: Run, wire: Wire, key: str
) -> None:
    result = run("open", environment={**ENVIRONMENT, key: "UNSET"})

    assert result["refused"]
    assert f"{key} of environment" in result["msg"]
    assert "is not set: put it into inventories/" in result["msg"]
    assert wire.sent == []


def test_an_incident_that_somebody_works_on_is_not_opened(run: Run) -> None:
    first = run.opened()
    run("mitigating", incident=first)

    second = run("open")

    assert (second["failed"], second["exit_code"]) == (True, 3)
    assert f"run {first['run']}" in second["msg"]
    assert "wanjiru@" in second["msg"]


def test_in_check_mode_the_holder_is_only_a_warning_and_no_lease_is_taken(run: Run, wire: Wire) -> None:
    run("mitigating", incident=run.opened())
    wire.sent.clear()

    opened = run("open", check_mode=True)
    taken = run("mitigating", check_mode=True, incident=opened["incident"])

    assert "being worked on by" in opened["warnings"][0]
    assert taken["incident"]["fence"] is None
    assert not WRITES & set(wire.sent)


def test_the_lease_is_taken_once_and_renewed_when_asked_again(run: Run, wire: Wire) -> None:
    session = run("mitigating", incident=run.opened())["incident"]
    again = run("mitigating", incident=session)

    assert session["fence"] == again["incident"]["fence"] == 1
    assert wire.count("UpdateItem") == 2


def test_without_a_plan_no_lease_is_taken(run: Run, wire: Wire) -> None:
    refused = run("mitigating", incident=run.opened(), contract=True)

    assert "has no plan for emr-web: run the runbook from its start." in refused["msg"]
    assert wire.count("UpdateItem") == 0


def test_who_looked_before_somebody_else_worked_on_it_has_to_look_again(run: Run) -> None:
    slow, quick = run.opened(), run.opened()
    done = run("mitigating", incident=quick)["incident"]
    decided(done, "healthy")
    run("closed", incident=done)

    late = run("mitigating", incident=slow)

    assert late["refused"]
    assert "Somebody else worked on emr-web since you looked" in late["msg"]


@pytest.mark.parametrize("seconds", [0, 29, 3601])
def test_a_lease_that_is_too_short_or_too_long_is_refused(run: Run, wire: Wire, seconds: int) -> None:
    assert run("mitigating", incident=run.opened(), lease_seconds=seconds)["refused"]
    assert wire.count("UpdateItem") == 0


def step(journal: Journal, outcome: str) -> None:
    facts = {"step": "release", "target": "service/web", "undo": None}
    facts["diff"] = {"before": {"revision": "web:3"}, "after": {"revision": "web:2"}}
    if outcome != "planned":
        journal.append("intent", **facts)
    if outcome == "refused":
        journal.append("refused", **facts, outcome=outcome, msg="The image is gone: repair forward.", seconds=1.0)
    elif outcome != "intent":
        journal.append(
            "looked" if outcome == "planned" else "outcome",
            **facts,
            outcome=outcome,
            msg=f"It was {outcome}.",
            seconds=1.0,
        )


CASES: list[tuple[str, list[str], dict[str, Any], str, int]] = [
    ("healthy", [], {}, "noop", 0),
    ("cause", ["ok", "verified"], {}, "succeeded", 0),
    ("cause", ["ok"], {}, "failed_partial", 6),
    ("cause", ["ok", "verified"], {"failure": "A later task failed."}, "failed_partial", 6),
    ("cause", ["verified", "ok"], {}, "failed_partial", 6),
    ("cause", ["ok", "not verified"], {}, "failed_partial", 6),
    ("cause", ["unknown"], {}, "unknown", 7),
    ("cause", ["intent"], {}, "unknown", 7),
    ("cause", ["ok", "unknown", "verified"], {}, "unknown", 7),
    ("cause", ["failed"], {"failure": "The call was not done."}, "failed_clean", 4),
    ("cause", ["refused"], {"failure": "The image is gone: repair forward."}, "refused", 3),
    ("cause", ["refused"], {}, "refused", 3),
    ("cause", [], {"hand_off": "Run the database runbook."}, "refused", 3),
    ("undetermined", [], {}, "refused", 3),
    ("cause", ["noop"], {}, "failed_clean", 4),
    ("", [], {}, "failed_clean", 4),
    ("", [], {"failure": "A task failed."}, "failed_clean", 4),
    ("cause", ["planned"], {"check_mode": True}, "planned", 0),
    ("healthy", [], {"check_mode": True}, "noop", 0),
    ("undetermined", [], {"check_mode": True}, "refused", 3),
    # What was planned and not done is neither done nor in doubt.
    ("cause", ["planned"], {"failure": "The plan was not approved."}, "failed_clean", 4),
    ("cause", ["planned", "ok", "verified"], {}, "succeeded", 0),
]


@pytest.mark.parametrize(("verdict", "events", "options", "outcome", "code"), CASES)
def test_a_run_ends_as_exactly_one_of_the_outcomes(
    run: Run, verdict: str, events: list[str], options: dict[str, Any], outcome: str, code: int
) -> None:
    check_mode, failure = options.get("check_mode", False), options.get("failure", "")
    session = run.opened(check_mode=check_mode)
    made = Session.from_params(session)
    assert made
    journal = Journal.of(made)
    if verdict:
        decided(session, verdict, hand_off=options.get("hand_off", ""))
    for event in events:
        if event.endswith("verified"):
            journal.append("verified", verified=event == "verified", sentence="3 of 20 looks were good.")
        else:
            step(journal, event)

    result = run("closed", check_mode=check_mode, incident=session, failure=failure)

    assert (result["outcome"], result["exit_code"], result.get("failed", False)) == (outcome, code, code != 0)
    assert record(result)["outcome"] == outcome
    assert record(result)["sentence"] == result["msg"]


SWITCHED = {"kind": "outcome", "outcome": "ok", "step": "setting", "target": "flag/x", "msg": "It was changed."}
REFUSED = {
    "kind": "refused",
    "outcome": "refused",
    "step": "notice",
    "target": "topic/x",
    "msg": "Nobody is subscribed.",
}
SENT = {**REFUSED, "kind": "outcome", "outcome": "ok", "msg": "It was sent."}


def ends(*lines: dict[str, Any], verified: bool = True, failure: str = "") -> str:
    """The sentence of a run with these lines, and a verification behind them."""
    seen = {"kind": "verified", "verified": verified, "sentence": "3 of 20 looks were good."}
    return judge([{**line, "seq": seq} for seq, line in enumerate([*lines, seen], 1)], failure, check_mode=False)[1]


def test_what_was_refused_behind_a_change_is_said_at_the_end() -> None:
    """A run that succeeded may leave something for a person to do."""
    end = ends(SWITCHED, REFUSED)
    assert (
        end
        == "setting on flag/x was done, and it is healthy again. notice on topic/x was refused: Nobody is subscribed."
    )
    assert ends(SWITCHED, REFUSED, verified=False).endswith(" notice on topic/x was refused: Nobody is subscribed.")
    assert ends(SWITCHED, REFUSED, failure="Nobody is subscribed.").count("Nobody is subscribed.") == 1


def test_a_precaution_that_failed_is_said_at_the_end() -> None:
    """As a queue that cannot be paused before a failover."""
    failed = {**REFUSED, "kind": "outcome", "outcome": "failed", "msg": "Nothing was changed, because a read failed."}
    end = ends(SWITCHED, failed)
    assert end.endswith("it is healthy again. notice on topic/x failed: Nothing was changed, because a read failed.")


def test_what_was_refused_before_a_change_or_done_after_all_is_not() -> None:
    for lines in ((REFUSED, SWITCHED), (SWITCHED, REFUSED, SENT), (SWITCHED, {"kind": "refused", "msg": "No lease."})):
        assert "refused" not in ends(*lines)


@pytest.mark.parametrize(("verified", "outcome"), [(True, "noop"), (False, "failed_clean")])
def test_what_an_earlier_run_had_done_is_noop_once_it_is_verified(verified: bool, outcome: str) -> None:
    lines = [
        {"kind": "decided", "verdict": "cause", "sentence": "It is begun."},
        {"kind": "outcome", "step": "a", "target": "x", "outcome": "noop", "msg": "a: x is as wanted already."},
        {"kind": "verified", "verified": verified, "reached": "the second region serves"},
    ]
    numbered = [{**line, "seq": seq} for seq, line in enumerate(lines, 1)]
    assert str(judge(numbered, "", check_mode=False)[0]) == outcome


def test_the_lease_is_given_back_at_the_end(run: Run, clients: Clients) -> None:
    session = run("mitigating", incident=run.opened())["incident"]
    decided(session, "healthy")

    run("closed", incident=session)

    assert not LeaseStore(clients, TABLE).peek("emr-web").held


def test_the_lease_stays_when_a_person_has_to_look(run: Run, clients: Clients) -> None:
    session = run("mitigating", incident=run.opened())["incident"]
    step(decided(session, "cause"), "unknown")

    result = run("closed", incident=session)

    assert result["outcome"] == "unknown"
    assert LeaseStore(clients, TABLE).peek("emr-web").held


def test_a_lease_that_cannot_be_given_back_does_not_change_how_the_run_ended(run: Run, wire: Wire) -> None:
    session = run("mitigating", incident=run.opened())["incident"]
    decided(session, "healthy")
    wire.unreachable("UpdateItem")

    result = run("closed", incident=session)

    assert result["outcome"] == "noop"
    assert "was not given back" in result["warnings"][0]


def test_the_record_holds_what_a_reader_needs(run: Run) -> None:
    session = run.opened(severity="SEV2")
    seen = [{"name": "release_recent", "status": "finding"}]
    made = Session.from_params(session)
    assert made
    Journal.of(made).append("observed", observations=seen, healthy=False)
    journal = decided(session, "cause", cause="bad_release")
    step(journal, "ok")
    journal.append("verified", verified=True, sentence="20 of 20.")
    journal.append("observed", observations=[{"name": "release_recent", "status": "ok"}], healthy=True)

    found = record(run("closed", incident=session))

    assert (found["schema"], found["mode"], found["severity"], found["environment"]) == (1, "run", "SEV2", "staging")
    assert (found["runbook"], found["component"], found["operator"]) == ("app_outage", "emr-web", "wanjiru")
    assert found["decision"]["cause"] == "bad_release"
    assert [(one["step"], one["outcome"]) for one in found["steps"]] == [("release", "ok")]
    assert found["observations"] == seen, "what was seen before the decision, not after the change"
    assert found["verification"]["verified"] is True
    assert [line["kind"] for line in found["journal"]][-1] == "closed"
    assert found["seconds"] >= 0


@pytest.mark.parametrize("state", ["mitigating", "closed"])
def test_without_an_open_incident_there_is_nothing_to_go_on_with(run: Run, state: str) -> None:
    assert "run the runbook from its start" in run(state)["msg"]


def test_what_a_failure_says_is_shortened_and_kept_on_one_line(run: Run) -> None:
    session = run.opened()
    result = run("closed", incident=session, failure="first\r\n\x1b[31msecond" + "x" * 9000)

    assert "\x1b" not in result["msg"]
    assert "\n" not in result["msg"]
    assert len(result["msg"]) < 2200


def test_what_a_later_round_found_and_left_to_a_person_is_said_at_the_end(run: Run) -> None:
    session = run.opened()
    journal = decided(session, "cause", sentence="RDS is failing over.")
    step(journal, "ok")
    journal.append("verified", verified=False, sentence="Not good.")
    decided(session, "cause", sentence="The tasks fail for another reason. Run the other runbook.")

    result = run("closed", incident=session)

    assert result["outcome"] == "failed_partial"
    assert result["sentence"].endswith("Not good. The tasks fail for another reason. Run the other runbook.")
