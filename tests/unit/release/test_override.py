"""An override takes two people and ends after a day; a release is approved by its commit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import Approval, key_of
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._release_overrides import (
    ABOUT,
    Request,
    active_override,
    read_release_approvals,
    read_requests,
    request_digest,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import iso

from tests.unit.core.conftest import ENVIRONMENT, TABLE, account
from tests.unit.release.conftest import COMMIT, ROLE_PATTERN, House

REASON = "The payer changes its API tonight"
NOW = datetime(2026, 12, 1, 18, tzinfo=UTC)


def reader() -> Clients:
    return Clients(Environment.from_params({**ENVIRONMENT, "role_pattern": ROLE_PATTERN}), environ={})


def ask(house: House, person: str = "wanjiru", check: bool = False, **given: Any) -> dict[str, Any]:
    house.as_person(person)
    return house("release_override", check=check, **given)


def test_the_four_steps_of_a_request_and_of_its_approval(house: House) -> None:
    planned = ask(house, check=True, reason=REASON)
    assert (planned["outcome"], house.wire.count("PutItem")) == ("planned", 0)
    assert planned["prediction"] == [f"wanjiru asks for an override of the freeze, for 24 hours: {REASON}."]
    asked = ask(house, reason=REASON)
    assert asked["outcome"] == "ok"
    assert len(asked["request"]) == 16
    again = [ask(house, check=check, reason=REASON) for check in (True, False)]
    assert [(one["outcome"], one["request"]) for one in again] == [("noop", asked["request"])] * 2

    digest = asked["request"]
    planned = ask(house, "otieno", check=True, request=digest)
    assert planned["outcome"] == "planned"
    assert planned["prediction"][0].startswith("otieno approves what wanjiru asked for until 20")
    assert ask(house, "otieno", request=digest)["outcome"] == "ok"
    assert [ask(house, "otieno", check=check, request=digest)["outcome"] for check in (True, False)] == ["noop"] * 2
    assert house.wire.count("PutItem") == 2

    found = active_override(*read_requests(reader()))
    assert found
    assert (found.requester, found.approvers, found.reason) == ("wanjiru", ("otieno",), REASON)
    assert timedelta(hours=23, minutes=50) < found.until - datetime.now(UTC) <= timedelta(hours=24)


@pytest.mark.parametrize("person", ["wanjiru", "Wanjiru@example.org", "wanjiru+night"])
def test_the_same_person_does_not_count_twice_under_any_of_their_names(house: House, person: str) -> None:
    digest = ask(house, reason=REASON)["request"]
    made = ask(house, person, request=digest)
    assert made["refused"]
    assert "somebody else has to approve it" in made["msg"]
    assert active_override(*read_requests(reader())) is None


def test_a_release_is_approved_by_people_and_each_counts_once(house: House) -> None:
    planned = ask(house, check=True, commit=COMMIT)
    assert planned["prediction"] == [f"wanjiru approves the release of {COMMIT}, for 24 hours."]
    assert [ask(house, commit=COMMIT)["outcome"] for _ in range(2)] == ["ok", "noop"]
    assert ask(house, check=True, commit=COMMIT)["outcome"] == "noop"
    assert ask(house, "wanjiru@example.org", commit=COMMIT)["outcome"] == "ok"
    assert ask(house, "otieno", commit=COMMIT)["outcome"] == "ok"
    assert read_release_approvals(reader(), COMMIT) == ("otieno", "wanjiru")
    assert read_release_approvals(reader(), "0" * 40) == ()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "Give one of reason"),
        ({"reason": REASON, "commit": COMMIT}, "Give one of reason"),
        ({"reason": "why"}, "Say why in 10 to 200"),
        ({"reason": "{{ lookup('env', 'HOME') }} now"}, "Say why in 10 to 200"),
        ({"commit": COMMIT[:7]}, "is no commit"),
        ({"commit": "release#person#x"}, "is no commit"),
        ({"request": "0" * 16}, "Nobody has asked for the override"),
        ({"request": "x"}, "Nobody has asked for the override"),
    ],
)
def test_what_says_nothing_clear_is_refused(house: House, given: dict[str, str], why: str) -> None:
    made = ask(house, **given)
    assert made["refused"]
    assert why in made["msg"]
    assert house.wire.count("PutItem") == 0


def test_a_session_that_names_nobody_and_a_role_that_acts_are_refused(house: House) -> None:
    assert "names nobody" in ask(house, "botocore-session-1", reason=REASON)["msg"]
    house.as_person("wanjiru", "daily-emr-staging-runbook-act")
    assert house("release_override", reason=REASON)["refused"]


def test_a_request_that_has_ended_is_not_approved(house: House) -> None:
    at = str(iso(datetime.now(UTC) - timedelta(hours=24, minutes=1)))
    digest = request_digest("staging", "wanjiru", at, REASON)
    said = {"digest": {"S": digest}, "at": {"S": at}, "by": {"S": "x"}, "reason": {"S": REASON}}
    account("dynamodb").put_item(TableName=TABLE, Item={**key_of(ABOUT, "wanjiru", at), **said})
    assert "have it asked for anew" in ask(house, "otieno", request=digest)["msg"]
    assert ask(house, reason=REASON)["request"] != digest


# -- what counts, and until when --------------------------------------------------------------------------------------


def request(hours: float = 1) -> Request:
    at = str(iso(NOW - timedelta(hours=hours)))
    return Request("wanjiru", request_digest("staging", "wanjiru", at, REASON), at, REASON)


def approval(of: Request, person: str = "otieno", hours: float = 0.5) -> Approval:
    return Approval(person, of.digest, str(iso(NOW - timedelta(hours=hours))))


@pytest.mark.parametrize(
    ("hours", "person", "approved_hours", "holds"),
    [
        (1, "otieno", 0.5, True),
        (23.99, "otieno", 0.5, True),
        (24, "otieno", 0.5, False),
        (25, "otieno", 0.5, False),
        (1, "wanjiru", 0.5, False),
        (1, "awx", 0.5, False),
        (1, "otieno", 24.5, False),
        (-1, "otieno", 0.5, False),
    ],
)
def test_an_override_is_of_two_people_and_of_one_day(
    hours: float, person: str, approved_hours: float, holds: bool
) -> None:
    asked = request(hours)
    found = active_override([asked], [approval(asked, person, approved_hours)], NOW)
    assert (found is not None) is holds
    if found:
        assert found.until == NOW - timedelta(hours=hours) + timedelta(hours=24)


def test_an_approval_is_of_one_request_and_not_of_the_next_one_with_the_same_reason() -> None:
    old, new = request(23), request(1)
    assert old.digest != new.digest
    found = active_override([new, old], [approval(old)], NOW)
    assert found
    assert found.until == NOW + timedelta(hours=1)
