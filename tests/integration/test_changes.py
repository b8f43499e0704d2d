"""Each change against the sandbox: the reply is lost, the call arrives once, and doing it again changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import PATIENT_S, Witness, rested
from tests.integration.modules import PREFIX as P
from tests.integration.modules import Runner

if TYPE_CHECKING:
    from daily_emr_sandbox.client import Sandbox

# No change reads the metrics that `healthy` waits for.
pytestmark = pytest.mark.usefixtures("mended")

Json = dict[str, Any]
# More than the three that daily_emr.ops.waf_rule has to have seen.
BLOCKED = 6
AT_PEAK = re.compile("connections|cannot carry the load")
"""What a change is refused for when the peak of the last minutes is too high."""


def blocking_rule(sandbox: Sandbox) -> Json:
    """The rule of the scenario: a byte match that blocks, and has blocked some users already."""
    errors = sandbox.ledger()["errors"]
    wait_until(lambda: sandbox.ledger()["errors"] >= errors + BLOCKED, "users are blocked", PATIENT_S)
    wafv2 = sandbox.boto("wafv2")
    acl = next(acl for acl in wafv2.list_web_acls(Scope="REGIONAL")["WebACLs"] if acl["Name"] == P)
    rules = wafv2.get_web_acl(Name=P, Scope="REGIONAL", Id=acl["Id"])["WebACL"]["Rules"]
    return {
        "rule": next(
            r["Name"] for r in rules if "Block" in r.get("Action", {}) and "ByteMatchStatement" in r["Statement"]
        )
    }


def first_zone(sandbox: Sandbox) -> Json:
    zones = sandbox.boto("ec2").describe_availability_zones(ZoneNames=[f"{sandbox.description['region']}a"])
    return {"away_from": zones["AvailabilityZones"][0]["ZoneId"], "expires_in": "2h"}


@dataclass
class Case:
    """A fault, the change that answers it, and the one call it may make."""

    fault: str | None
    module: str
    call: tuple[str, str]
    args: Callable[[Sandbox], Json] = lambda _sandbox: {}
    of_peaks: bool = False


CASES = [
    Case("bad_release_errors", "ecs_service_release", ("ecs", "UpdateService")),
    Case("bad_release_crash", "ecs_service_deployment", ("ecs", "StopServiceDeployment")),
    Case(
        "wedged_tasks",
        "ecs_service_tasks",
        ("ecs", "UpdateService"),
        lambda _sandbox: {"started_after": datetime.now(UTC).isoformat()},
    ),
    Case("scaled_to_zero", "ecs_service_count", ("ecs", "UpdateService")),
    Case(
        None,
        "ecs_service_scaling",
        ("application-autoscaling", "RegisterScalableTarget"),
        lambda _sandbox: {"minimum": 3},
        of_peaks=True,
    ),
    Case("zone_impaired", "zonal_shift", ("arc-zonal-shift", "StartZonalShift"), first_zone, of_peaks=True),
    Case("waf_block", "waf_rule", ("wafv2", "UpdateWebACL"), blocking_rule),
    Case(
        "bad_flag",
        "feature_flag",
        ("launchdarkly", "PatchFeatureFlag"),
        lambda _sandbox: {"flag": "new-chart-view", "failing_route": "/api/charts"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.module)
def test_a_lost_reply_is_no_second_call(case: Case, sandbox: Sandbox, run: Runner) -> None:
    if case.module == "ecs_service_tasks":
        rested(sandbox)
    if case.fault:
        sandbox.break_(case.fault)
    args = case.args(sandbox)
    if case.of_peaks:
        # What an earlier test used, and the start of its tasks, stay in the peaks for five minutes of AWS.
        wait_until(lambda: not AT_PEAK.search(run(case.module, args, check=True)["msg"]), "the peak is past", PATIENT_S)

    witness = Witness(sandbox)
    plan = run(case.module, args, check=True)
    assert plan["outcome"] == "planned", plan["msg"]
    assert witness.mutating() == []

    witness = Witness(sandbox)
    if case.call[0] == "launchdarkly":
        sandbox.flag_fault("drop_after")
    else:
        sandbox.fault(*case.call, "drop_after", count=1)
    done = run(case.module, args)
    assert done["outcome"] == "ok", done["msg"]
    calls = [(call["service"], call["operation"], call["fault"]) for call in witness.changes()]
    assert calls == [(*case.call, "drop_after")], "the reply of the one call was lost"

    witness = Witness(sandbox)
    again = run(case.module, args)
    assert again["outcome"] == "noop", again["msg"]
    assert witness.mutating() == []

    if isinstance(done["undo"], dict) and case.module in ("ecs_service_scaling", "zonal_shift", "waf_rule"):
        undo = {key: value for key, value in done["undo"]["args"].items() if key != "service"}
        assert run(case.module, undo)["outcome"] == "ok"


def test_a_flag_that_needs_an_approval_is_left_alone(sandbox: Sandbox, run: Runner) -> None:
    sandbox.break_("bad_flag")
    sandbox.require_flag_approval()

    result = run("feature_flag", {"flag": "new-chart-view", "failing_route": "/api/charts"})

    assert result["outcome"] == "refused"
    assert "approv" in result["msg"]


@pytest.mark.parametrize("flag", ["chart-dual-write", "allergy-interlock"])
def test_a_flag_of_a_migration_or_a_safety_control_stays(flag: str, run: Runner) -> None:
    assert run("feature_flag", {"flag": flag, "failing_route": "/api/charts"})["outcome"] == "refused"


REFUSED = [
    ("rollback_image_deleted", "ecs_service_release", {}, "no longer exists in ECR"),
    ("database_down", "ecs_service_tasks", {"started_after": "now"}, "The database is down"),
    ("broken_secret", "ecs_service_tasks", {"started_after": "now"}, "secret"),
]


@pytest.mark.parametrize(("fault", "module", "args", "words"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refuses_in_the_broken_world(
    fault: str, module: str, args: Json, words: str, sandbox: Sandbox, run: Runner
) -> None:
    sandbox.break_(fault)
    witness = Witness(sandbox)
    options = {key: datetime.now(UTC).isoformat() if value == "now" else value for key, value in args.items()}

    result = run(module, options)

    assert result["outcome"] == "refused"
    assert words in result["msg"]
    assert witness.changes() == []
