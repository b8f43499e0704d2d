"""What is going on in an environment is told part by part, and nothing that is unknown looks empty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._halts import SWITCH
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.modules.operations_info import ENTRY, parsed

from .conftest import ENVIRONMENT, REGION, TABLE, Wire, account

BUCKET = "daily-emr-staging-dumps-123456789012"
ROOT = Path(__file__).resolve().parents[3]
GOOD = {"ok": True, "finished_at": "2026-01-01T10:20:00+00:00", "rto_s": 812.0, "rpo_s": 0.0}


def look(**more: Any) -> dict[str, Any]:
    params = {
        "environment": ENVIRONMENT,
        "components": ["emr-db", "emr-web"],
        "scenarios": ["app_outage", "region_failover"],
        "dumps": {"component": "emr-dumps", "bucket": BUCKET, "retention_days": 1},
        **more,
    }
    return perform("operations_info", ENTRY, params, Context(check_mode=True))


@pytest.fixture
def bucket(wire: Wire) -> Any:  # noqa: ARG001  # for its effect
    """The bucket of the dumps, as a client that puts objects into it."""
    s3 = account("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return s3


@pytest.mark.usefixtures("bucket")
def test_a_lease_is_told_with_its_holder_and_a_free_one_is_free(clients: Clients) -> None:
    LeaseStore(clients, TABLE).acquire("emr-web", "wanjiru", "INC-1", "run-1", 0, 120)

    free, held = look()["leases"]

    assert (free["component"], free["held"], free["owner"], free["why"]) == ("emr-db", False, "", "")
    assert (held["component"], held["held"], held["why"]) == ("emr-web", True, "")
    assert (held["owner"], held["incident"], held["run"], held["lease_s"]) == ("wanjiru", "INC-1", "run-1", 120)
    assert held["since"]


@pytest.mark.usefixtures("bucket")
def test_who_held_a_lease_before_is_not_told(clients: Clients) -> None:
    store = LeaseStore(clients, TABLE)
    store.release(store.acquire("emr-web", "wanjiru", "INC-1", "run-1", 0, 120))

    assert look()["leases"][1] == look(components=["emr-new"])["leases"][0] | {"component": "emr-web"}


@pytest.mark.usefixtures("bucket")
def test_stopped_changes_are_told_with_who_stopped_them() -> None:
    assert look()["changes"] == {"stopped": "", "why": ""}
    said = {name: {"S": text} for name, text in {"by": "wanjiru", "at": "now", "reason": "audit"}.items()}
    account("dynamodb").put_item(TableName=TABLE, Item={**SWITCH, "stopped": {"BOOL": True}, **said})

    assert "All changes are stopped by wanjiru since now: audit." in look()["changes"]["stopped"]


def test_the_newest_rehearsal_is_told_with_its_age_and_its_figures(bucket: Any) -> None:
    for month, more in (("01", {"ok": False}), ("03", {})):
        key = f"rehearsals/region_failover/2026/{month}/01/102000Z.json"
        bucket.put_object(Bucket=BUCKET, Key=key, Body=json.dumps({**GOOD, **more}).encode())

    never, newest = look()["rehearsals"]

    assert never == {
        "scenario": "app_outage",
        "why": f"app_outage has left no evidence in {BUCKET}.",
        "none": True,
        **dict.fromkeys(("ok", "finished_at", "days", "rto_s", "rpo_s", "key")),
    }
    assert (newest["ok"], newest["rto_s"], newest["rpo_s"], newest["why"]) == (True, 812.0, 0.0, "")
    assert newest["key"].endswith("2026/03/01/102000Z.json")
    assert newest["days"] > 0


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"ok": true}'])
def test_evidence_that_says_nothing_is_not_known(bucket: Any, body: str) -> None:
    key = "rehearsals/app_outage/2026/01/01/102000Z.json"
    bucket.put_object(Bucket=BUCKET, Key=key, Body=body.encode())

    told = look()["rehearsals"][0]

    assert told["ok"] is None
    assert key in told["why"]


def test_a_silent_table_is_asked_once_and_hides_nothing_else(bucket: Any, wire: Wire) -> None:
    key = "rehearsals/app_outage/2026/01/01/102000Z.json"
    bucket.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(GOOD).encode())
    look()
    wire.sent.clear()
    wire.unreachable("GetItem")

    found = look(components=["emr-db", "emr-web", "claims"])

    assert [one["held"] for one in found["leases"]] == [None] * 3
    assert all("does not answer" in one["why"] for one in found["leases"])
    assert "does not answer" in found["changes"]["why"]
    assert found["rehearsals"][0]["ok"] is True
    once = wire.count("GetItem")
    wire.sent.clear()
    look(components=["emr-db"])
    assert wire.count("GetItem") == once


def test_a_bucket_that_is_not_there_hides_no_lease(wire: Wire) -> None:
    found = look()

    assert [one["held"] for one in found["leases"]] == [False, False]
    assert all("s3:ListObjectsV2" in one["why"] for one in found["rehearsals"])
    assert not [call for call in wire.sent if call.startswith(("Put", "Update", "Delete", "Transact"))]


def test_an_object_is_read_and_nothing_else() -> None:
    assert parsed("{}", "k") == {}


def test_the_rehearsals_looked_at_are_those_that_readiness_asks_for() -> None:
    ours = yaml.safe_load((ROOT / "roles/operations/defaults/main.yml").read_text())["operations_scenarios"]
    readiness = yaml.safe_load((ROOT / "roles/readiness/defaults/main.yml").read_text())["readiness_runbooks"]

    assert ours == ["region_failover", *readiness]
