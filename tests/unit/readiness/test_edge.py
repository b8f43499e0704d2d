"""How the load balancer may know that a request came through CloudFront: by its listeners, or by the web ACL."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._edge_rule import CANARY, exactly
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_edge import _asks

HEADER = "x-origin"


def proof(header: str = HEADER, how: str = "EXACTLY") -> dict[str, Any]:
    return {"ByteMatchStatement": {"FieldToMatch": {"SingleHeader": {"Name": header}}, "PositionalConstraint": how}}


def rule(*proofs: dict[str, Any], action: str = "Block") -> dict[str, Any]:
    unless = proofs[0] if len(proofs) == 1 else {"OrStatement": {"Statements": list(proofs)}}
    return {"Statement": {"NotStatement": {"Statement": unless}}, "Action": {action: {}}}


ADDRESSES = {"IPSetReferenceStatement": {"ARN": "arn"}}


ANOTHER_PATH = {
    "AndStatement": {"Statements": [exactly({"Method": {}}, "GET"), exactly({"UriPath": {}}, "/api/charts")]}
}


@pytest.mark.parametrize(
    "asking",
    [
        rule(proof()),
        rule(proof(), ADDRESSES),
        rule(proof(), proof(), ADDRESSES),
        rule(proof(), ADDRESSES, CANARY),
    ],
)
def test_a_rule_that_blocks_what_lacks_the_header_asks_for_it(asking: dict[str, Any]) -> None:
    assert _asks(asking, {HEADER})


@pytest.mark.parametrize(
    "open_",
    [
        rule(proof(), action="Count"),
        rule(proof(how="CONTAINS")),
        rule(proof("x-other")),
        rule(ADDRESSES, ADDRESSES),
        rule(ADDRESSES, CANARY),
        rule(proof(), ADDRESSES, ANOTHER_PATH),
        rule(proof(), {"GeoMatchStatement": {"CountryCodes": ["KE"]}}),
        {"Statement": proof(), "Action": {"Block": {}}},
    ],
    ids=[
        "counts",
        "holds it",
        "another header",
        "addresses alone",
        "the canary alone",
        "another path",
        "others get in too",
        "the other way round",
    ],
)
def test_any_other_rule_does_not(open_: dict[str, Any]) -> None:
    assert not _asks(open_, {HEADER})
