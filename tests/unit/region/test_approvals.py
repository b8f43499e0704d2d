"""An approval is dated by AWS, never written over, and written down by the promotion that was decided on it."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _modules
from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import digest_of, judged, read_approvals
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Identity
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context
from ansible_collections.daily_emr.ops.plugins.modules import plan_approval, region_approval, release_override
from ansible_collections.daily_emr.ops.plugins.modules.database_promotion import Promotion
from ansible_collections.daily_emr.ops.plugins.modules.region_approval import RegionApproval

from tests.unit.region.test_region import CLOSED, POSITION, context

Json = dict[str, Any]
# By AWS's clock; that of this machine is years away from it.
NOW = datetime(2019, 11, 30, 10, 0, tzinfo=UTC)
DIGEST = digest_of("staging", "INC-1", "database/replica", 300)


class Table:
    """The table of the runbooks: what was put into it, and AWS's clock."""

    def __init__(self) -> None:
        self.items: list[Json] = []
        self.now = NOW

    def query(self, **_asked: Any) -> Json:
        date = format_datetime(self.now, usegmt=True)
        return {"Items": list(self.items), "ResponseMetadata": {"HTTPHeaders": {"date": date}}}

    def put_item(self, *, TableName: str, Item: Json, ConditionExpression: str) -> None:  # noqa: N803  # boto3's names
        assert (TableName, ConditionExpression) == ("runbooks", "attribute_not_exists(pk)")
        assert all((item["pk"], item["sk"]) != (Item["pk"], Item["sk"]) for item in self.items)
        self.items.append(Item)


def clients(table: Table, person: str) -> Any:
    identity = Identity("1", f"arn:aws:sts::1:assumed-role/approver/{person}", "approver", person)
    return SimpleNamespace(
        environment=SimpleNamespace(name="staging", table="runbooks"),
        prove=lambda: identity,
        read=lambda *_asked: table,
        write=lambda *_asked: table,
    )


def approve(table: Table, person: str) -> RegionApproval:
    asked = {"incident_id": "INC-1", "replica": "replica", "max_loss_s": 300}
    change = RegionApproval(asked, clients(table, person))
    before = change.observe()
    if before["approved"] != DIGEST:
        change.apply(before)
    return change


def test_an_approval_has_the_time_of_aws_and_not_that_of_the_machine() -> None:
    table = Table()
    assert approve(table, "wanjiru").observe()["approved"] == DIGEST
    (given,), now = read_approvals(clients(table, "x"), "INC-1")
    assert (given.at, now) == ("2019-11-30T10:00:00.000Z", NOW)
    assert (given.session, given.by) == ("wanjiru", "arn:aws:sts::1:assumed-role/approver/wanjiru")


def test_a_later_approval_stands_beside_the_earlier_one() -> None:
    table = Table()
    approve(table, "wanjiru")
    table.now = NOW.replace(minute=20)
    approve(table, "wanjiru")
    found, now = read_approvals(clients(table, "x"), "INC-1")
    assert [one.at[11:16] for one in found] == ["10:00", "10:20"]
    assert judged(found, now, digest=DIGEST, requester="me")[0]["wanjiru"].at[11:16] == "10:20"


def test_a_session_that_names_nobody_cannot_approve() -> None:
    for person, refused in (("botocore-session-1764500000", True), ("wanjiru", False)):
        change = RegionApproval({"max_loss_s": 300}, clients(Table(), person))
        assert bool(change.refusals({})) is refused


@pytest.mark.parametrize("module", [region_approval, plan_approval, release_override])
def test_who_approves_has_a_role_of_their_own(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Json] = []

    def connect(params: Json) -> None:
        seen.append(params)
        raise Refused("That is enough.")

    monkeypatch.setattr(_modules, "connect", connect)
    asked = {"environment": {"name": "x", "role_pattern": "act"}, "approver_role_pattern": "approver"}
    with pytest.raises(Refused):
        module.ENTRY.run(asked, Context())
    assert seen[0]["environment"] == {"name": "x", "role_pattern": "approver"}


def promotion(table: Table, declared: str = "", **more: Any) -> tuple[Promotion, Json]:
    """A promotion that has looked: the first region is fenced, and two people have approved."""
    params: Json = {
        "database": {"instance": "replica"},
        "recovery": {"declared": declared},
        "incident": {"id": "INC-1"},
    }
    params |= {
        "max_loss_s": 300,
        "approved": True,
        "looked_at": "",
        "before_fence": False,
        "budget_minutes": 60,
        **more,
    }
    change = Promotion(params, clients(table, "me"))
    ends = {"first_database": CLOSED, "position": {**POSITION, "lsn": CLOSED["lsn"]}}
    before = context(**ends, approvals=read_approvals(change.clients, "INC-1"))
    readings = SimpleNamespace(need=before.__getitem__, context=lambda: before)
    change.take_sides = lambda **_more: readings  # type: ignore[method-assign,assignment,return-value]
    return change, change.observe()


def test_a_promotion_writes_down_who_approved_it_when_and_what_was_declared() -> None:
    table = Table()
    for person in ("wanjiru", "me", "otieno"):
        approve(table, person)
    change, before = promotion(table, declared="flooded", looked_at="run-7")
    assert change.refusals(before) == []
    grounds = change.remarks()["grounds"]
    assert [(one["person"], one["at"], one["digest"]) for one in grounds["approvals"]] == [
        (person, "2019-11-30T10:00:00.000Z", DIGEST) for person in ("otieno", "wanjiru")
    ]
    assert grounds["approvals"][1]["by"] == "arn:aws:sts::1:assumed-role/approver/wanjiru"
    assert (grounds["declared"], grounds["looked_at"]) == ("flooded", "run-7")
    said = change.prediction(before)
    assert "Approved by otieno at 2019-11-30T10:00:00.000Z." in said, "the intent is written before the call"
    assert "Declared: flooded" in said


def test_a_promotion_without_approvals_is_refused_and_names_none() -> None:
    change, before = promotion(Table())
    (reason,) = change.refusals(before)
    assert "0 of 2" in reason
    assert change.remarks()["grounds"]["approvals"] == []
