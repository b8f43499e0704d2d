"""Verification: good many times in a row, claims that flow or are held, and a reconciliation in the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._record import judge
from ansible_collections.daily_emr.ops.plugins.modules import claims_api_verified

from tests.unit.changes.world import Json
from tests.unit.claims.conftest import CACHED, CIRCUIT, Claims
from tests.unit.web_service.conftest import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(claims_api_verified, "monotonic", made.monotonic)
    monkeypatch.setattr(claims_api_verified, "sleep", made.sleep)
    return made


def verify(claims: Claims, **more: object) -> Json:
    result = claims.read("claims_api_verified", **{"passes": 3, "interval": 30, "timeout": 300, **more})
    assert not result.get("failed"), result["msg"]
    return result


def turned_on(claims: Claims, key: str) -> None:
    claims.provider.flags[key]["environments"]["sandbox"]["on"] = True


def down(claims: Claims) -> None:
    claims.sha.statuses |= {"token": 503, "facility": 503}


def test_claims_that_flow_are_verified_and_reconciled(claims: Claims, clock: Clock) -> None:
    result = verify(claims)
    assert (result["verified"], result["passes"], result["goal"]) == (True, 3, "recovered")
    assert clock.slept == pytest.approx([30, 30])
    assert result["reconciliation"] == {
        "sent": 40,
        "accepted": 40,
        "rejected": 0,
        "unknown": 0,
        "unsent": 0,
        "duplicates": 0,
        "add_up": True,
    }
    assert result["sentence"].endswith("40 sent = 40 accepted + 0 rejected + 0 unknown; 0 duplicates; 0 not sent yet.")
    assert claims.outbox.sent == []
    assert claims.sha.asked("submit") == []


def test_check_mode_does_not_look(claims: Claims) -> None:
    assert verify(claims, check=True)["verified"] is None
    assert claims.sha.requests == []


BAD: dict[str, Callable[[Claims], object]] = {
    "unknown_outcomes": lambda c: c.outbox.add("unknown"),
    "totals_differ": lambda c: c.outbox.add("acked", sent=False),
    "duplicates_found": lambda c: c.outbox.add("acked", copies=2),
    "api_down": down,
    "few_accepted": lambda c: c.outbox.tried("server_error", 2),
    "claims_put_off": lambda c: c.outbox.add("deferred", age_s=400.0),
    "claims_waiting": lambda c: c.outbox.add("deferred", age_s=1000.0),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.usefixtures("clock")
def test_one_bad_signal_is_enough(claims: Claims, name: str) -> None:
    BAD[name](claims)
    result = verify(claims, timeout=60)
    assert (result["verified"], result["passes"]) == (False, 0)
    assert any(reason.startswith(name) for reason in result["failing"]), result["failing"]


@pytest.mark.usefixtures("clock")
def test_while_claims_are_held_an_outage_is_contained_and_not_over(claims: Claims) -> None:
    turned_on(claims, CIRCUIT)
    down(claims)
    claims.outbox.attempts.clear()
    claims.outbox.add("deferred", 9, age_s=5000.0)
    claims.outbox.add("unknown", 2)
    result = verify(claims)
    assert (result["verified"], result["goal"]) == (True, "contained")
    assert "run this again" in result["reached"]
    assert result["reconciliation"]["unknown"] == 2


CONTAINED_BADLY: dict[str, Callable[[Claims], object]] = {
    "claims_sent": lambda c: c.outbox.tried("timeout", 1),
    "eligibility_failing": lambda c: setattr(c.world, "log", [({"status": 504}, 40)]),
    "totals_differ": lambda c: c.outbox.add("acked", sent=False),
    "duplicates_found": lambda c: c.outbox.add("acked", copies=2),
}


@pytest.mark.parametrize("name", CONTAINED_BADLY)
@pytest.mark.usefixtures("clock")
def test_held_claims_that_go_out_and_care_that_waits_are_not_contained(claims: Claims, name: str) -> None:
    turned_on(claims, CIRCUIT)
    claims.outbox.attempts.clear()
    assert verify(claims, timeout=60)["verified"] is True
    CONTAINED_BADLY[name](claims)
    result = verify(claims, timeout=60)
    assert result["verified"] is False
    assert result["failing"][0].startswith(name)


@pytest.mark.usefixtures("clock")
def test_eligibility_without_the_payer_is_contained_only_while_claims_flow(claims: Claims) -> None:
    turned_on(claims, CACHED)
    assert verify(claims)["goal"] == "contained"
    claims.outbox.tried("timeout", 30)
    assert verify(claims, timeout=60)["verified"] is False


@pytest.mark.parametrize("operation", ["DescribeDBInstances", "StartQuery", "GetSecretValue"])
@pytest.mark.usefixtures("clock")
def test_what_cannot_be_seen_is_neither_good_nor_bad(claims: Claims, operation: str) -> None:
    claims.world.broken.add(operation)
    result = verify(claims, timeout=60)
    assert (result["verified"], result["passes"]) == (None, 0)


@pytest.mark.usefixtures("clock")
def test_the_end_of_a_run_says_what_was_reached(claims: Claims) -> None:
    turned_on(claims, CIRCUIT)
    claims.outbox.attempts.clear()
    result = verify(claims)
    step = {"kind": "outcome", "step": "feature_flag", "target": "flag/x", "outcome": "ok", "seq": 1}
    lines = [step, {**result, "kind": "verified", "seq": 2}]
    outcome, sentence = judge(lines, "", check_mode=False)
    assert outcome == "succeeded"
    assert "contained, not over" in sentence
    assert "healthy again" not in sentence
    assert "healthy again" in judge([step, {"kind": "verified", "verified": True, "seq": 2}], "", check_mode=False)[1]
