"""A service whose releases begin as a canary: either target group may be in use, and a bad release goes at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import METRIC_WINDOW, PATIENT_S, TIME_FACTOR, Operator, trouble_is_older
from tests.integration.modules import PREFIX as P
from tests.integration.rehearsal import Expected, Rows, rehearse, seen

pytestmark = pytest.mark.xdist_group("canary")

# Two minutes of AWS are two seconds here.
CANARY = {
    "strategy": "CANARY",
    "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 2},
    "bakeTimeInMinutes": 1,
}


class Canary:
    """The service of a sandbox, which deploys with a canary from now on."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.ecs, self.elbv2 = sandbox.boto("ecs"), sandbox.boto("elbv2")
        names = [f"{P}-web", f"{P}-web-alt"]
        found = self.elbv2.describe_target_groups(Names=names)["TargetGroups"]
        self.groups = {one["TargetGroupName"]: one["TargetGroupArn"] for one in found}
        (balancer,) = self.elbv2.describe_load_balancers(Names=[P])["LoadBalancers"]
        (listener,) = self.elbv2.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
        first, other = (self.groups[name] for name in names)
        weights = [{"TargetGroupArn": first, "Weight": 1}, {"TargetGroupArn": other, "Weight": 0}]
        (rule,) = self.elbv2.create_rule(
            ListenerArn=listener["ListenerArn"],
            Priority=1,
            Conditions=[{"Field": "path-pattern", "Values": ["/*"]}],
            Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}],
        )["Rules"]
        (balanced,) = self.service()["loadBalancers"]
        more = {
            "alternateTargetGroupArn": other,
            "productionListenerRule": rule["RuleArn"],
            "roleArn": f"arn:aws:iam::123456789012:role/{P}-balancing",
        }
        self.ecs.update_service(
            cluster=P,
            service=f"{P}-web",
            loadBalancers=[{**balanced, "advancedConfiguration": more}],
            deploymentConfiguration=CANARY,
        )
        wait_until(lambda: self.newest()["status"] == "SUCCESSFUL", "the service deploys with a canary", PATIENT_S)

    def service(self) -> dict[str, Any]:
        (found,) = self.ecs.describe_services(cluster=P, services=[f"{P}-web"])["services"]
        return found

    def newest(self) -> dict[str, Any]:
        listed = self.ecs.list_service_deployments(cluster=P, service=f"{P}-web")["serviceDeployments"]
        arns = [listed[0]["serviceDeploymentArn"]]
        (found,) = self.ecs.describe_service_deployments(serviceDeploymentArns=arns)["serviceDeployments"]
        return found

    def healthy(self) -> dict[str, int]:
        """Healthy targets of each group."""
        return {
            name: sum(
                one["TargetHealth"]["State"] == "healthy"
                for one in self.elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            )
            for name, arn in self.groups.items()
        }


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """In the place of the shared one, which deploys step by step."""
    box = Sandbox(tmp_path_factory.mktemp("canary") / "state")
    box.up(time_factor=TIME_FACTOR, parts=())
    try:
        yield box
    finally:
        box.down()


def test_a_bad_release_is_rolled_back_at_once_and_the_next_one_begins_as_a_canary(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    canary = Canary(sandbox)
    assert canary.healthy() == {f"{P}-web": 0, f"{P}-web-alt": 2}
    operator = Operator(sandbox, tmp_path / "runs")
    rows: Rows = []
    # What a diagnosis reads of metrics has nothing of the time in which all this was set up.
    wait_until(lambda: trouble_is_older(sandbox, METRIC_WINDOW), "users have seen no trouble for a while", PATIENT_S)

    plan = operator.playbook("--check", "--diff")
    assert plan.record()["outcome"] == "noop", plan.output + seen(plan.record())

    sandbox.break_("bad_release_errors")
    assert canary.healthy() == {f"{P}-web": 2, f"{P}-web-alt": 0}
    # A second run finds everything well: the traffic is in the alternate group again.
    rehearse(
        operator,
        sandbox,
        "bad_release_errors",
        Expected("bad_release", ["ecs_service_release", "ecs_service_strategy"], changes=2),
        rows,
    )

    assert canary.healthy() == {f"{P}-web": 0, f"{P}-web-alt": 2}
    assert canary.newest()["deploymentConfiguration"]["strategy"] == "BLUE_GREEN"
    assert canary.service()["deploymentConfiguration"].items() >= CANARY.items()
