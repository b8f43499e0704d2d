"""What the payer's answers say of a claim, of our key and of our facility; what is not tied to the question is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_api import fate_of

from tests.unit.changes.world import Json
from tests.unit.claims.conftest import Claims
from tests.unit.claims.sha import FACILITY, GOOD_KEY, PATIENT, SYSTEM
from tests.unit.claims.test_changes import expired, waiting

MINE = "a" * 64
ASKED_FOR = f"{SYSTEM}|{MINE}"
PAGE = b"<html>The service is being looked after.</html>"


def response(outcome: str = "complete", value: str = MINE, **more: Any) -> Json:
    request = {"identifier": {"system": SYSTEM, "value": value}}
    return {
        "resourceType": "ClaimResponse",
        "id": "r-1",
        "status": "active",
        "outcome": outcome,
        "request": request,
    } | more


def bundle(*responses: Any, asked_for: str = ASKED_FOR, **more: Any) -> Json:
    link = [
        {"relation": "self", "url": f"https://payer/fhir/ClaimResponse?{urlencode({'request.identifier': asked_for})}"}
    ]
    entries = [{"resource": resource} for resource in responses]
    whole = {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "link": link, "entry": entries}
    return whole | more


@pytest.mark.parametrize(
    ("answer", "expected", "copies"),
    [
        (bundle(), "absent", 0),
        (bundle(response()), "acked", 1),
        (bundle(response("queued"), response()), "acked", 2),
        (bundle(response("error")), "rejected", 1),
    ],
)
def test_what_the_payer_says_of_a_claim(answer: Json, expected: str, copies: int) -> None:
    found = fate_of(answer, ASKED_FOR)
    assert (found.answer, found.copies) == (expected, copies)


@pytest.mark.parametrize(
    "answer",
    [
        bundle(response(), response("error")),
        bundle(response("entered-in-error")),
        bundle(response(value="b" * 64)),
        bundle(response(), response(value="b" * 64)),
        bundle(response(request={"identifier": {"system": "https://else", "value": MINE}})),
        bundle(response(request={"reference": "Claim/1"})),
        bundle(response(request=None)),
        bundle(response(status="cancelled")),
        bundle(response(status=None)),
        bundle(response(id=PATIENT)),
        bundle(response(resourceType="OperationOutcome")),
        bundle(None),
        bundle(response(), total=2),
        bundle(response(), total=0),
        bundle(total=1),
        bundle(total=False),
        bundle(entry="none"),
        bundle(type="history"),
        bundle(link=None),
        bundle(link=[]),
        bundle(link=[{"relation": "self", "url": "https://payer/fhir/ClaimResponse"}]),
        bundle(link=[{"relation": "self", "url": "https://[payer"}]),
        bundle(link=[{"relation": "next", "url": f"https://payer/?{urlencode({'request.identifier': ASKED_FOR})}"}]),
        bundle(asked_for=f"{SYSTEM}|{'b' * 64}"),
        {},
        {"resourceType": "OperationOutcome", "total": 0},
    ],
)
def test_what_is_not_clearly_told_of_this_claim_leaves_it_in_doubt(answer: Json) -> None:
    found = fate_of(answer, ASKED_FOR)
    assert (found.answer, found.copies) == ("", 0)
    assert found.seen
    assert PATIENT not in found.seen


def other_claims(found: Json) -> None:
    """The server leaves the parameter out and answers with what it likes."""
    request = {"identifier": {"system": SYSTEM, "value": "b" * 64}}
    found["entry"] = [{"resource": {**response(), "request": request}}]
    found["total"] = 1


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("spoil", [lambda found: found.pop("link"), other_claims], ids=["absent", "acked"])
def test_an_answer_to_another_question_is_not_written_down(claims: Claims, spoil: Callable[[Json], object]) -> None:
    claims.outbox.add("unknown", 3)
    claims.sha.spoil = spoil
    result = claims.change("claim_reconciliation", settle_after_s=120)
    assert (result["outcome"], claims.outbox.states()["unknown"], claims.outbox.sent) == ("failed", 3, [])

    claims.sha.spoil = None
    result = claims.change("claim_reconciliation", settle_after_s=120)
    assert (result["outcome"], claims.outbox.states()["deferred"]) == ("ok", 3), "the control"


NOTHING = {
    "token": [PAGE, b"", b"[]", b"{}", b'{"access_token": ""}', b'{"access_token": 7}', b'{"access_token": "a\\r\\nb"}']
}
NOTHING["facility"] = [PAGE, b"", b"{}", b"[]", json.dumps({"id": "FID-0"}).encode(), json.dumps(FACILITY).encode()]


@pytest.mark.parametrize(("operation", "body"), [(name, body) for name, bodies in NOTHING.items() for body in bodies])
def test_a_200_that_does_not_say_what_was_asked_for_is_neither_up_nor_down(
    claims: Claims, operation: str, body: bytes
) -> None:
    claims.sha.bodies[operation] = body
    result = claims.read("claims_api_health")
    assert "api_down" in claims.status(result, "unknown")
    assert result["healthy"] is None
    seen = {item["name"]: item["seen"] for item in result["observations"]}
    assert "200 without what was asked for" in seen["api_down"]


def test_without_a_token_nobody_knows_whether_the_key_is_accepted(claims: Claims) -> None:
    claims.sha.bodies["token"] = PAGE
    assert "credentials_refused" in claims.status(claims.read("claims_api_health"), "unknown")


def test_our_facility_is_found_whatever_stands_around_it(claims: Claims) -> None:
    claims.sha.bodies["facility"] = json.dumps({"message": [{"registry": {"id": FACILITY}}]}).encode()
    result = claims.read("claims_api_health")
    assert result["healthy"] is True, result["sentence"]


@pytest.mark.parametrize("operation", NOTHING)
def test_a_page_lets_no_claim_go_and_promotes_no_key(claims: Claims, operation: str) -> None:
    waiting(claims)
    expired(claims)
    claims.sha.keys = [GOOD_KEY]
    claims.sha.bodies[operation] = PAGE
    for module, args in (("claim_redrive", {"step": 1}), ("secret_version_stage", {})):
        assert claims.change(module, **args)["refused"] is True
    assert (claims.outbox.sent, claims.world.mutations) == ([], [])
