"""A staging account with a load balancer, its metrics and a key that signs; modules as a task would run them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.modules import release_gate, release_override, slo_ledger, slo_month
from daily_emr_sandbox.aws.overlays import cloudwatch, metric_store
from moto.cloudwatch.models import CloudWatchBackend
from moto.cloudwatch.responses import CloudWatchResponse

from tests.unit.core.conftest import (  # noqa: F401  # fixtures
    ENVIRONMENT,
    REGION,
    Wire,
    account,
    assume,
    aws,
    wire,
)

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[3]
NAME = "daily-emr-staging"
COMMIT = "5a1c0de" * 5 + "5a1c0"
KEY = f"alias/{NAME}-release-gate"
APPROVER = "daily-emr-staging-runbook-approver"
ROLE_PATTERN = f"^{APPROVER}$"
MODULES = {
    "slo_ledger": slo_ledger,
    "slo_month": slo_month,
    "release_gate": release_gate,
    "release_override": release_override,
}
LIMITS: Json = {
    "canary_percent": 10,
    "canary_minutes": 30,
    "caution_canary_minutes": 60,
    "caution_approvals": 2,
    "security_approvals": 1,
    "calm_days": 7,
    "incident_hours": 72,
    "clinic_days": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday"],
    "clinic_from_hour": 8,
    "clinic_until_hour": 17,
    "closed_days": ["friday"],
    "valid_minutes": 15,
}
SERVICE: Json = {
    "component": "emr-web",
    "cluster": NAME,
    "service": f"{NAME}-web",
    "load_balancer": NAME,
    "target_group": f"{NAME}-web",
    "repository": f"{NAME}-web",
    "web_acl": {"name": NAME},
    "database": f"{NAME}-db",
    "cache": f"{NAME}-sessions",
    "probes": {},
    "feature_flags": {},
}


class House:
    """One account, and modules that work in it."""

    def __init__(self, folder: Path, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
        self.folder, self.wire, self.monkeypatch = folder, wire, monkeypatch
        ec2 = account("ec2")
        network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=network, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")[
                "Subnet"
            ]["SubnetId"]
            for number, zone in enumerate("ab")
        ]
        made = account("elbv2").create_load_balancer(Name=NAME, Subnets=subnets)["LoadBalancers"][0]
        self.balancer = made["LoadBalancerArn"].rpartition(":loadbalancer/")[2]

    def key(self) -> str:
        """Make the key that signs, as bootstrap does."""
        kms = account("kms")
        made = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=KEY, TargetKeyId=made)
        return str(made)

    def count(self, start: datetime, minutes: range, answers: int = 60, kind: str = "Target_2XX") -> None:
        """Answers in each of these minutes."""
        dimensions = [{"Name": "LoadBalancer", "Value": self.balancer}]
        data = [
            {
                "MetricName": f"HTTPCode_{kind}_Count",
                "Dimensions": dimensions,
                "Timestamp": start + timedelta(minutes=minute),
                "Value": answers,
            }
            for minute in minutes
        ]
        for first in range(0, len(data), 500):
            account("cloudwatch").put_metric_data(Namespace="AWS/ApplicationELB", MetricData=data[first : first + 500])

    def as_person(self, session: str, role: str = APPROVER) -> None:
        assume(self.monkeypatch, role, session)

    def __call__(self, name: str, check: bool = False, **given: Any) -> Json:
        entry = MODULES[name].ENTRY
        defaults = {"environment": ENVIRONMENT, "service": SERVICE, "limits": LIMITS, "signing_key": KEY}
        defaults |= {"components": ["emr-web", "emr-db"], "approver_role_pattern": ROLE_PATTERN}
        options = {key: value for key, value in defaults.items() if key in entry.argument_spec} | given
        checked = ArgumentSpecValidator(entry.argument_spec).validate(options)
        assert not checked.error_messages, checked.error_messages
        return perform(name, entry, checked.validated_parameters, Context(check_mode=check, project=self.folder))


def keep_metrics(patch: pytest.MonkeyPatch) -> None:
    """CloudWatch as the sandbox has it, whichever test was before in this process, and values for longer than there."""
    patch.setattr(metric_store, "KEPT_S", 20 * 86_400)
    patch.setattr(CloudWatchBackend, "put_metric_data", cloudwatch.put_metric_data)
    patch.setattr(CloudWatchResponse, "get_metric_data", cloudwatch.get_metric_data)


@pytest.fixture
def house(tmp_path: Path, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> House:  # noqa: F811
    keep_metrics(monkeypatch)
    return House(tmp_path, wire, monkeypatch)


def midnight(days_ago: int = 0) -> datetime:
    """The beginning of a UTC day."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days_ago)


def documented(module: Any) -> Json:
    """The options of a module as its documentation has them."""
    found: Json = yaml.safe_load(module.DOCUMENTATION)["options"]
    return found


Look = Callable[..., Json]
