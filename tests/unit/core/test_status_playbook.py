"""`runbook status`, its playbook, role and modules together, by Ansible itself, against AWS in memory."""

from __future__ import annotations

import io
import json
import shutil
import sys
import threading
from pathlib import Path

import boto3
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from rich.console import Console

from daily_emr_runbooks import project as command
from daily_emr_runbooks.status import _played, look

from .conftest import REGION
from .test_playbooks import TABLE, Project, project, server  # noqa: F401  # fixtures

ROOT = Path(__file__).resolve().parents[3]
BUCKET = "daily-emr-sandbox-dumps-looked-at"
GOOD = {"ok": True, "finished_at": "2026-01-01T10:20:00+00:00", "rto_s": 812.0, "rpo_s": 0.0}
SERVICE = {
    **dict.fromkeys(("component", "cluster", "service", "load_balancer", "target_group", "repository"), "emr-web"),
    **dict.fromkeys(("database", "cache"), "emr"),
    "web_acl": {"name": "emr"},
    "probes": {"edge_url": "http://127.0.0.1:1", "balancer_url": "http://127.0.0.1:1", "host": "emr"},
    "feature_flags": {"api_url": "http://127.0.0.1:1", "project": "p", "environment": "e"},
}


def status(toy: Project) -> tuple[str, bool]:
    """What the command shows of the environment of the toy, and whether it knows everything."""
    for part in ("playbooks/status.yml", "roles/operations", "roles/guard"):
        source, target = ROOT / part, toy.folder / part
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    hosts = {
        "all": {
            "vars": {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                "emr_environment": toy.environment,
            },
            "children": {
                "environment": {"hosts": {"emr-environment": None}},
                # Nobody else has a lease on it: what is in memory is shared with other tests of this process.
                "looked_at": {"hosts": {"emr-looked-at": None}},
                "web": {"hosts": {"emr-web": {"web_service": SERVICE, "web_service_slo": {}}}},
                "storage": {"hosts": {"emr-dumps": {"bucket": {"name": BUCKET}}}},
            },
        }
    }
    toy.write("inventories/sandbox/hosts.yml", json.dumps(hosts))
    (toy.folder / "inventories/sandbox/group_vars").mkdir()
    there, text = command.Project(toy.folder), io.StringIO()
    drawn, known = look(there, "sandbox", lambda play, keep: _played(there, play, keep, threading.Event()))
    Console(file=text, width=250).print(drawn)
    return " ".join(text.getvalue().split()), known


def test_what_is_known_is_shown_and_what_is_not_says_why(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.delenv("DAILY_EMR_RUNS", raising=False)
    clients = Clients(Environment.from_params(project.environment), environ={})
    LeaseStore(clients, TABLE).acquire("emr-looked-at", "wanjiru", "INC-1", "run-1", 0, 120)
    s3 = boto3.client("s3", REGION, aws_access_key_id="x", aws_secret_access_key="x", endpoint_url=project.aws.url)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    key = "rehearsals/region_failover/2026/01/01/102000Z.json"
    s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(GOOD).encode())

    text, known = status(project)

    assert "of 3 components are free" in text
    assert "emr-looked-at wanjiru" in text
    assert "INC-1, run run-1" in text
    assert "Changes: nobody has stopped them" in text
    assert "region_failover succeeded 2026-01-01 10:20:00 UTC, 13:20:00 EAT" in text
    assert "app_outage never here" in text
    # There is no load balancer in this account, and so nothing that could be counted.
    assert "Error budget of the month: not known: " in text
    assert not known
