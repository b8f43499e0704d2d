"""Each change against the sandbox: the reply is lost, the call arrives once, and doing it again changes nothing."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context

from tests.integration.conftest import PREFIX as P
from tests.integration.conftest import Witness, rested

if TYPE_CHECKING:
    from pathlib import Path

    from daily_emr_sandbox.client import Sandbox

# No change reads the metrics that `healthy` waits for.
pytestmark = pytest.mark.usefixtures("mended")

Json = dict[str, Any]
COMPONENT = "emr-web"


class Runner:
    """Runs a module in this process, under a lease that is really held."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        here = sandbox.description
        self.sandbox = sandbox
        self.environment = {
            "name": "sandbox",
            "account_id": here["account_id"],
            "region": here["region"],
            "role_pattern": f"{P}-runbook-(act|diagnose)",
            "table": f"{P}-runbooks",
            "fingerprint_parameter": "/daily-emr/sandbox/fingerprint",
            "endpoint_url": here["endpoint_url"],
            "credentials_file": here["credentials_file"],
            "time_factor": here["time_factor"],
        }
        self.service = {
            "component": COMPONENT,
            "cluster": P,
            "service": f"{P}-web",
            "load_balancer": P,
            "target_group": f"{P}-web",
            "port": here["task_port"],
            "repository": f"{P}-web",
            "web_acl": {"name": P, "scope": "REGIONAL"},
            "database": f"{P}-db",
            "cache": f"{P}-sessions",
            "secrets": ["daily-emr/sandbox/DATABASE_URL", "daily-emr/sandbox/SESSION_PASSWORD"],
            "probes": {"timeout_s": 3},
            "feature_flags": {"api_url": here["launchdarkly_url"], "project": "daily-emr", "environment": "sandbox"},
        }
        # The journal of an earlier test is in the same table.
        run = f"run-{secrets.token_hex(4)}"
        store = LeaseStore(Clients(Environment.from_params(self.environment)), self.environment["table"])
        fence = store.peek(COMPONENT).fence
        self.lease = store.acquire(COMPONENT, "test@here", "INC-test", run, fence, 600)
        self.release = lambda: store.release(self.lease)
        self.incident = {"id": "INC-test", "run": run, "folder": str(folder), "component": COMPONENT}
        self.incident |= {"fence": self.lease.fence, "owner": "test@here", "lease_seconds": 600}

    def __call__(self, module: str, args: Json, *, check: bool = False) -> Json:
        entry = importlib.import_module(f"ansible_collections.daily_emr.ops.plugins.modules.{module}").ENTRY
        options = {"environment": self.environment, "incident": self.incident, "service": self.service, **args}
        checked = ArgumentSpecValidator(entry.argument_spec).validate(options)
        assert not checked.error_messages, checked.error_messages
        result: Json = entry.run(checked.validated_parameters, Context(check_mode=check))
        return result


@pytest.fixture
def run(sandbox: Sandbox, tmp_path: Path) -> Iterator[Runner]:
    made = Runner(sandbox, tmp_path)
    yield made
    made.release()


def blocking_rule(sandbox: Sandbox) -> Json:
    """The rule of the scenario: a byte match that blocks."""
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
    ),
    Case("zone_impaired", "zonal_shift", ("arc-zonal-shift", "StartZonalShift"), first_zone),
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
