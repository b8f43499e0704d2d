"""A plan from its first look to its first call: approval, switch, rest, calendars, broken glass."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _calendars
from ansible_collections.daily_emr.ops.plugins.module_utils._break_glass import lifted_rules
from ansible_collections.daily_emr.ops.plugins.module_utils._calendars import closed_calendars, frozen
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.modules import change_stop, incident, plan_approval, plan_contract

from .conftest import ACCOUNT, ENVIRONMENT, TABLE, Wire, account, assume
from .test_changes import NAME, do, live

APPROVER = "daily-emr-staging-runbook-approver"
ASKS = {"reversible": 1, "irreversible": 2, "controllers": []}
NOBODY = {"reversible": 0, "irreversible": 0, "controllers": []}


@pytest.fixture(autouse=True)
def parameter(aws: None) -> None:  # noqa: ARG001  # for its effect
    account("ssm").put_parameter(Name=NAME, Value="2", Type="String")


class House:
    """One run at a time, as the role `incident` takes it through its life."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch, self.number = folder, monkeypatch, 0
        self.session = Session("", "", folder, "")

    def call(self, module: Any, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        spec = module.ENTRY.argument_spec
        params = {name: option.get("default") for name, option in spec.items()} | {"environment": ENVIRONMENT} | options
        name = module.__name__.rpartition(".")[2]
        return perform(name, module.ENTRY, params, Context(check_mode=check_mode, project=self.folder))

    def looked(self, value: str = "5", name: str = "INC-1") -> None:
        """A run in which the change of the parameter was looked at."""
        self.number += 1
        self.session = Session(name, f"run-{self.number}", self.folder / f"run-{self.number}", "emr-web")
        journal = Journal.of(self.session)
        journal.create()
        journal.append("opened", runbook="app_outage", fence_seen=self.fence())
        journal.append("decided", verdict="cause", cause="bad_limit", sentence="It is the limit.")
        do(self.clients(), self.session, value, check_mode=True)

    def plan(self, approvals: dict[str, Any], check_mode: bool = False, **options: Any) -> dict[str, Any]:
        given = {"incident": self.session.as_params(), "approvals": approvals, **options}
        made = self.call(plan_contract, check_mode, **given)
        self.session = replace(self.session, plan=made.get("digest", ""))
        return made

    def lease(self, **options: Any) -> dict[str, Any]:
        given = {"incident": self.session.as_params(), "lease_seconds": 120, **options}
        taken = self.call(incident, state="mitigating", **given)
        if not taken.get("failed"):
            self.session = Session.from_params(taken["incident"]) or self.session
        return taken

    def close(self) -> dict[str, Any]:
        return self.call(incident, state="closed", incident=self.session.as_params())

    def approve(self, who: str = "amina", **options: Any) -> dict[str, Any]:
        assume(self.monkeypatch, APPROVER, who)
        plan = (self.session.folder / "plan.json").read_text()
        done = self.call(plan_approval, plan=plan, approver_role_pattern=f"^{APPROVER}$", **options)
        assume(self.monkeypatch, "daily-emr-staging-runbook-act")
        return done

    def clients(self) -> Clients:
        return Clients(Environment.from_params(ENVIRONMENT), environ={})

    def fence(self) -> int:
        item = account("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": "lease#emr-web"}, "sk": {"S": "lease"}})
        return int(item.get("Item", {}).get("fence", {"N": "0"})["N"])


@pytest.fixture
def house(wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:  # noqa: ARG001  # for its effect
    return House(tmp_path, monkeypatch)


def test_a_plan_is_refused_approved_carried_out_once_and_used_up(house: House, wire: Wire) -> None:
    house.looked()
    refused = house.plan(ASKS)
    digest = next(word for word in refused["msg"].split() if word.count("-") == 2)
    assert refused["refused"]
    assert "playbooks/approve.yml -e approval_plan=" in refused["msg"]
    assert house.lease()["refused"], "there is no plan that was agreed to"

    approved = house.approve()
    assert approved["outcome"] == "ok", approved
    assert f"limit on parameter{NAME} (value 2 → 5)." in approved["prediction"]
    assert house.approve()["outcome"] == "noop"

    house.looked()
    assert house.plan(ASKS, approve=digest)["digest"] == digest, "the same plan in another run"
    assert not house.lease().get("failed")
    assert do(house.clients(), house.session)["outcome"] == "ok"
    assert (live(), wire.count("PutParameter")) == ("5", 1)
    house.close()

    account("ssm").put_parameter(Name=NAME, Value="2", Type="String", Overwrite=True)
    house.looked(name="INC-2")
    again = house.plan(ASKS, approve=digest, cooldown_minutes=0)
    assert f"The approval {digest} was used already, by run run-2 of incident INC-1" in again["msg"]


def test_a_plan_of_check_mode_asks_nobody_and_hands_its_digest_on(house: House, wire: Wire) -> None:
    house.looked()
    wire.sent.clear()
    made = house.plan(ASKS, check_mode=True)
    assert made["ansible_stats"]["data"] == {"approve": made["digest"]}
    assert f"--approve {made['digest']}" in made["msg"]
    assert sorted(wire.sent) == ["GetCallerIdentity", "GetParameter"]
    written = json.loads((house.session.folder / "plan.json").read_text())
    assert (written["digest"], written["plan"]["account"]) == (made["digest"], ACCOUNT)


def test_live_state_that_moved_after_the_plan_is_refused_by_the_change_itself(house: House, wire: Wire) -> None:
    house.looked()
    house.plan(NOBODY)
    house.lease()
    account("ssm").put_parameter(Name=NAME, Value="3", Type="String", Overwrite=True)
    result = do(house.clients(), house.session)
    assert "value was 2 when it was planned, now it is 3" in result["msg"]
    assert (result["refused"], live(), wire.count("PutParameter"), wire.count("TransactWriteItems")) == (
        True,
        "3",
        0,
        0,
    )


def test_another_change_than_the_planned_one_is_refused_by_itself(house: House, wire: Wire) -> None:
    house.looked("5")
    house.plan(NOBODY)
    house.lease()
    assert "value was planned to become 5, now it would become 6" in do(house.clients(), house.session, "6")["msg"]
    assert wire.count("PutParameter") == 0


def test_the_approver_is_somebody_else_with_a_name_and_types_the_loss(house: House, monkeypatch: Any) -> None:
    from .test_changes import Limit

    monkeypatch.setattr(Limit, "irreversible", "what was queued is gone")
    house.looked()
    house.plan(ASKS)
    assert "names nobody" in house.approve("botocore-session-1")["msg"]
    assert "Say what you accept: -e 'approval_accepted_loss=what was queued is gone'" in house.approve("amina")["msg"]
    assert house.approve("amina", accepted_loss="What was queued is gone.")["outcome"] == "ok"


def test_a_file_that_is_no_plan_or_was_edited_is_not_approved(house: House) -> None:
    house.looked()
    house.plan(ASKS)
    path = house.session.folder / "plan.json"
    written = json.loads(path.read_text())
    for text in ("{}", "[", json.dumps({**written, "plan": {**written["plan"], "cause": "another"}})):
        path.write_text(text)
        assert house.approve()["refused"]


def test_while_all_changes_are_stopped_none_is_sent_and_each_refusal_says_who_and_why(house: House, wire: Wire) -> None:
    house.looked()
    house.plan(NOBODY)
    house.lease()
    stop = {"state": "present", "reason": "AWS answers wrongly"}
    assert house.call(change_stop, check_mode=True, **stop)["outcome"] == "planned"
    assert house.call(change_stop, **stop)["outcome"] == "ok"
    assert [house.call(change_stop, check_mode=check, **stop)["outcome"] for check in (True, False)] == ["noop"] * 2

    refused = do(house.clients(), house.session)
    assert "All changes are stopped by wanjiru since 20" in refused["msg"]
    assert "AWS answers wrongly" in refused["msg"]
    assert (live(), wire.count("PutParameter")) == ("2", 0)
    house.close()
    house.looked()
    assert "All changes are stopped by wanjiru" in house.plan(NOBODY, break_glass=["approvals:OPS-1"])["msg"]

    assert house.call(change_stop, state="absent")["outcome"] == "ok"
    house.looked()
    house.plan(NOBODY)
    assert not house.lease().get("failed")
    assert do(house.clients(), house.session)["outcome"] == "ok"


@pytest.mark.parametrize("reason", ["", "x", "\x1b[31mred", "{{ 7 }}", "a" * 300])
def test_a_reason_is_plain_words(house: House, reason: str) -> None:
    assert house.call(change_stop, state="present", reason=reason)["refused"]


def test_a_component_rests_after_another_incident_unless_that_is_named(house: House) -> None:
    house.looked()
    house.plan(NOBODY)
    house.lease()
    do(house.clients(), house.session)
    house.close()
    account("ssm").put_parameter(Name=NAME, Value="2", Type="String", Overwrite=True)

    house.looked(name="INC-2")
    assert "emr-web was changed for incident INC-1 at 20" in house.plan(NOBODY)["msg"]
    for free in ({"acknowledge": "INC-1"}, {"break_glass": ["cooldown:OPS-1"]}, {"cooldown_minutes": 0}):
        assert not house.plan(NOBODY, **free).get("failed")
    assert "was changed" in house.plan(NOBODY, acknowledge="INC-7")["msg"]
    house.looked(name="INC-1")
    assert not house.plan(NOBODY).get("failed")


def calendar(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    """Systems Manager with one change calendar; moto has none."""

    def get_calendar_state(**asked: list[str]) -> dict[str, str]:
        assert asked == {"CalendarNames": ["night"]}
        if state == "unreachable":
            raise CallFailed("ssm:GetCalendarState was refused (AccessDenied).")
        return {"State": state, "NextTransitionTime": "2026-12-27T00:00:00Z"}

    real = Clients.read
    ssm = SimpleNamespace(get_calendar_state=get_calendar_state)
    monkeypatch.setattr(
        Clients, "read", lambda self, service, *more: ssm if service == "ssm" and not more else real(self, service)
    )


@pytest.mark.parametrize(("state", "words"), [("CLOSED", "closed until 2026-12-27"), ("unreachable", "cannot be read")])
def test_a_calendar_that_is_not_open_stops_planned_work_and_an_incident_names_it(
    house: House, monkeypatch: pytest.MonkeyPatch, state: str, words: str
) -> None:
    house.looked()
    calendar(monkeypatch, state)
    refused = house.plan(NOBODY, calendars=["night"])
    assert words in refused["msg"]
    assert "--break-glass freeze/night:REASON" in refused["msg"]
    broken = house.plan(NOBODY, calendars=["night"], break_glass=["freeze/night:OPS-7"])
    assert broken["warnings"] == ["Broken glass: freeze/night (OPS-7)."]
    (line,) = [line for line in Journal.of(house.session).read() if line["kind"] == "break_glass"]
    assert (line["rule"], line["reason"], line["operator"]) == ("freeze/night", "OPS-7", "wanjiru")
    assert "planned work" in frozen(closed_calendars(house.clients(), ["night"]))


def test_an_open_calendar_stops_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.looked()
    calendar(monkeypatch, "OPEN")
    assert not house.plan(NOBODY, calendars=["night"], break_glass=["freeze/night:OPS-7"]).get("warnings")
    assert _calendars.frozen([]) == ""


def test_broken_glass_stands_for_approvals_and_is_written_down(house: House) -> None:
    house.looked()
    done = house.plan(ASKS, break_glass=["approvals:OPS-7"])
    assert done["warnings"] == ["Broken glass: approvals (OPS-7)."]
    assert not house.lease().get("failed")
    assert do(house.clients(), house.session)["outcome"] == "ok"


@pytest.mark.parametrize("text", ["approvals", "approvals:", "all:OPS-1", "lease:OPS-1", "freeze:OPS-1", "{{ 7 }}:x"])
def test_what_names_no_rule_or_has_no_reason_breaks_nothing(text: str) -> None:
    with pytest.raises(Refused) as error:
        lifted_rules([text])
    assert "7" not in error.value.sentence
