"""The three playbooks as they are, against AWS in memory: nights, releases, and two people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_days import Day, item_of

from tests.unit.core.conftest import ACCOUNT, REGION
from tests.unit.core.test_playbooks import FINGERPRINT, TABLE, Aws, make_project
from tests.unit.release.conftest import COMMIT, ROOT, SERVICE, keep_metrics, midnight

PREFIX = "daily-emr-sandbox"


@pytest.fixture(scope="module")
def server() -> Iterator[Aws]:
    made = Aws()
    yield made
    made.stop()


class Place:
    """An account with a table, a load balancer that answered since yesterday, and a key; and an inventory of it."""

    def __init__(self, aws: Aws, folder: Path) -> None:
        self.aws, self.folder = aws, folder
        make_project(aws, folder / "toy")
        key = self.client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        self.client("kms").create_alias(AliasName=f"alias/{PREFIX}-release-gate", TargetKeyId=key)
        self.answered()
        environment = {
            "name": "sandbox",
            "account_id": ACCOUNT,
            "region": REGION,
            "role_pattern": f"{PREFIX}-runbook-act",
            "table": TABLE,
            "fingerprint_parameter": FINGERPRINT,
            "endpoint_url": aws.url,
            "credentials_file": str(folder / "credentials"),
        }
        shared = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "emr_environment": environment,
            "emr_prefix": PREFIX,
            "emr_change_calendars": [],
            "emr_approver_role_pattern": f"{PREFIX}-runbook-approver",
            "web_service": {**SERVICE, "load_balancer": PREFIX},
            "web_service_slo": {},
        }
        groups = {"web": {"hosts": {"emr-web": None}}, "environment": {"hosts": {"emr-environment": None}}}
        (folder / "hosts.json").write_text(json.dumps({"all": {"vars": shared, "children": groups}}))

    def client(self, service: str) -> Any:
        return boto3.client(
            service, REGION, endpoint_url=self.aws.url, aws_access_key_id="x", aws_secret_access_key="x"
        )

    def answered(self) -> None:
        """Requests each ten minutes since yesterday, which is a quiet service and no gap; days before are kept."""
        for ago in range(2, 80):
            day = Day(midnight(ago).date(), f"0:{','.join(['100'] * 1440)}", "")
            self.client("dynamodb").put_item(TableName=TABLE, Item=item_of("emr-web", day, "then"))
        ec2 = self.client("ec2")
        network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=network, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")
            for number, zone in enumerate("ab")
        ]
        made = self.client("elbv2").create_load_balancer(
            Name=PREFIX, Subnets=[subnet["Subnet"]["SubnetId"] for subnet in subnets]
        )
        name = made["LoadBalancers"][0]["LoadBalancerArn"].rpartition(":loadbalancer/")[2]
        data = [
            {
                "MetricName": "HTTPCode_Target_2XX_Count",
                "Dimensions": [{"Name": "LoadBalancer", "Value": name}],
                "Timestamp": midnight(1) + timedelta(minutes=minute),
                "Value": 100,
            }
            for minute in range(0, 2880, 10)
        ]
        self.client("cloudwatch").put_metric_data(Namespace="AWS/ApplicationELB", MetricData=data)

    def as_person(self, session: str, role: str) -> None:
        given = self.client("sts").assume_role(
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{PREFIX}-runbook-{role}", RoleSessionName=session
        )
        keys = given["Credentials"]
        (self.folder / "credentials").write_text(
            f"[default]\naws_access_key_id={keys['AccessKeyId']}\naws_secret_access_key={keys['SecretAccessKey']}\n"
            f"aws_session_token={keys['SessionToken']}\n"
        )

    def play(self, name: str, *given: str, person: str = "wanjiru", role: str = "act") -> tuple[int, str]:
        self.as_person(person, role)
        self.aws.asked.clear()
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "ANSIBLE_"))}
        extra = [word for one in given for word in (("-e", one) if "=" in one else (one,))]
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                *("-i", str(self.folder / "hosts.json")),
                f"playbooks/{name}.yml",
                *extra,
            ],
            cwd=ROOT,
            env={**kept, "ANSIBLE_HOME": str(self.folder / "home"), "DAILY_EMR_RUNS": str(self.folder / "runs")},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return done.returncode, done.stdout + done.stderr

    def days(self) -> list[str]:
        found = self.client("dynamodb").query(
            TableName=TABLE,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "slo#emr-web"}},
        )
        return [item["sk"]["S"] for item in found["Items"]]


@pytest.fixture(scope="module")
def place(server: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        keep_metrics(patch)
        yield Place(server, tmp_path_factory.mktemp("place"))


def test_a_night_is_planned_written_once_and_has_a_page(place: Place) -> None:
    before, yesterday = place.days(), f"day#{midnight(1).date()}"
    code, text = place.play("slo", "--check", "slo_settle_minutes=0")
    assert code == 0, text
    assert place.days() == before
    assert "PutItem" not in place.aws.asked

    code, text = place.play("slo", "slo_settle_minutes=0")
    assert code == 0, text
    assert place.days() == [*before, yesterday]
    assert place.aws.asked.count("PutItem") == 1
    assert f"{midnight(1).date()} has minutes that nobody knows" in text
    (page,) = (place.folder / "runs/slo/sandbox").glob("*.html")
    assert "emr-web, sandbox: error budget of" in page.read_text()

    code, text = place.play("slo", "slo_settle_minutes=0")
    assert (code, place.days()) == (0, [*before, yesterday]), text
    assert "PutItem" not in place.aws.asked


def test_a_release_goes_out_and_one_that_may_not_ends_with_a_clear_sentence(place: Place) -> None:
    folder = place.folder / "gate"
    given = ("release_gate_kind=release", f"release_gate_commit={COMMIT}", f"release_gate_folder={folder}")
    code, text = place.play("release_gate", *given)
    assert code == 0, text
    assert "The release is allowed, the state is open" in text
    assert sorted(path.name for path in folder.iterdir()) == ["release_gate.json", "release_gate.sig"]
    made = json.loads((folder / "release_gate.json").read_text())
    assert (made["environment"], made["component"], made["allowed"]) == ("sandbox", "emr-web", True)

    code, text = place.play("release_gate", *given, "release_gate_overdue_p0=1")
    assert code != 0
    assert "The release is not allowed, the state is caution" in text
    assert json.loads((folder / "release_gate.json").read_text())["allowed"] is False
    code, text = place.play("release_gate", "release_gate_kind=rollback", "release_gate_overdue_p0=1")
    assert code == 0, text


def test_two_people_override_and_one_alone_does_not(place: Place) -> None:
    ask = "{'release_override_reason': 'The payer changes its API tonight'}".replace("'", '"')
    code, text = place.play("release_override", "-e", ask, role="approver")
    assert code == 0, text
    digest = text.partition("release_override_request=")[2][:16]
    code, text = place.play("release_override", f"release_override_request={digest}", role="approver")
    assert code != 0
    assert "somebody else has to approve it" in text
    code, text = place.play("release_override", f"release_override_request={digest}", person="otieno", role="approver")
    assert code == 0, text
    assert "otieno approves what wanjiru asked for" in text
