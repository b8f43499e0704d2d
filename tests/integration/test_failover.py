"""The sandbox is not made for our modules alone: one of amazon.aws, unmodified, moves the real primary."""

from __future__ import annotations

import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import PATIENT_S, Operator

pytestmark = pytest.mark.usefixtures("healthy")


def test_rds_instance_of_amazon_aws_moves_the_real_primary(operator: Operator, sandbox: Sandbox) -> None:
    pids = sandbox.status()["pids"]

    run = operator.start("ansible-playbook", "-i", "inventories/sandbox", "tests/integration/failover.yml")

    assert run.returncode == 0, run.output
    assert "changed=1" in run.output
    wait_until(lambda: "postgres-standby" in sandbox.status()["pids"], "the standby is back", PATIENT_S)
    assert sandbox.status()["pids"]["postgres-primary"] == pids["postgres-standby"]
    written = sandbox.ledger()["acknowledged"]
    wait_until(lambda: sandbox.ledger()["acknowledged"] > written, "users write again", PATIENT_S)
    assert sandbox.ledger()["lost"] == 0
