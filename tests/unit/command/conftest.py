"""A small project and a finished run, both made up for these tests."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from daily_emr_runbooks.project import Project
from daily_emr_runbooks.record import RunFolder

ROOT = Path(__file__).resolve().parents[3]

RUNBOOK = """
- name: Kettle
  hosts: web
  gather_facts: false
  vars:
    incident_runbook: kettle
    incident_title: The kettle is cold
    incident_severity: SEV1
    incident_triggers: [No tea]
  tasks:
    - name: Diagnose | Look at the kettle
      kettle:
        runs: "{{ lookup('env', 'DAILY_EMR_RUNS') }}"
        component: "{{ inventory_hostname }}"
        outcome: "{{ kettle_outcome | default('noop') }}"
        wait_for: "{{ kettle_wait_for | default('') }}"
"""

# Writes what a runbook leaves behind, and says what it can see of its environment.
MODULE = """
import json, os, pathlib, time
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule(dict(runs=dict(), component=dict(), outcome=dict(), wait_for=dict()), supports_check_mode=True)
asked = module.params
folder = pathlib.Path(asked["runs"]) / "INC-1" / "run-1"
folder.mkdir(parents=True, exist_ok=True)
head = dict(at="2026-11-23T20:59:58.000+00:00", incident="INC-1", run="run-1", component=asked["component"])
with open(folder / "journal.jsonl", "w") as journal:
    journal.write(json.dumps(dict(head, seq=1, kind="opened")) + "\\n")
(folder / "environment").write_text("\\n".join(sorted(os.environ)))
if asked["wait_for"]:
    pathlib.Path(asked["wait_for"]).touch()
    while os.path.exists(asked["wait_for"]):
        time.sleep(0.05)
if asked["outcome"] != "none":
    (folder / "record.json").write_text(json.dumps(dict(head, outcome=asked["outcome"], sentence="Warm.", steps=[])))
module.exit_json(changed=False, incident=dict(folder=str(folder)))
"""

SPEC = """
argument_specs:
  main:
    short_description: Warm the kettle
    options:
      kettle_outcome: {type: str, description: How it ends, choices: [noop, none]}
      kettle_wait_for: {type: path, description: A file}
      kettle_litres: {type: int, description: How much, default: 1}
"""

CAUSES = """
kettle_causes:
- {cause: unplugged, because: No power., supported_by: [no_power, [cold, lukewarm]], contradicted_by: [steam],
   mitigations: [plug_in], hand_off: Buy a kettle.}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A checkout with one runbook, whose module leaves a record; the working directory is in it."""
    root = tmp_path / "checkout"
    files = {
        "ansible.cfg": "[inventory]\nhost_pattern_mismatch = error\n",
        "runbooks/kettle.yml": RUNBOOK,
        "runbooks/library/kettle.py": MODULE,
        "roles/kettle/meta/argument_specs.yml": SPEC,
        "roles/kettle/vars/causes.yml": CAUSES,
        "inventories/staging/hosts.yml": (
            "all: {vars: {ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'},\n"
            "      children: {web: {hosts: {emr-web: }}, empty: {hosts: {}}}}\n"
        ),
        "inventories/staging/group_vars/all.yml": "{}\n",
        "inventories/common/hosts.yml": "all: {}\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(root)
    for name in ("DAILY_EMR_RUNS", "DAILY_EMR_SANDBOX", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    return Project(root)


def line(kind: str, at: str, **body: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "at": f"2026-11-23T{at}+00:00",
        "incident": "INC-7",
        "run": "r1",
        "component": "emr-web",
    } | body


def observation(name: str, status: str, **body: Any) -> dict[str, Any]:
    return {
        "name": name,
        "status": status,
        "subject": "service web",
        "expected": "under 5 %",
        "seen": "31 %",
        "at": "2026-11-23T20:59:59.000+00:00",
        "call": "cloudwatch:GetMetricData",
    } | body


JOURNAL = [
    line("opened", "20:59:58.000", title="The application is down", severity="SEV1", runbook="app_outage"),
    line(
        "observed",
        "21:00:00.000",
        observations=[
            observation("latency_high", "ok", seen="120 ms", expected="at most 600 ms"),
            observation(
                "database_slow", "unknown", seen="could not read the database: AccessDenied in rds:DescribeDBInstances"
            ),
            observation("error_ratio_high", "finding"),
        ],
    ),
    line(
        "decided",
        "21:00:01.000",
        verdict="cause",
        cause="bad_release",
        because="Errors come only from the newest release.",
        sentence="The newest release fails.",
        evidence=["new_release_failing"],
        ruled_out=[{"cause": "wedged_tasks", "why": "no task hangs"}],
        hand_off=None,
    ),
    line("lease", "21:00:02.000", fence=4),
    line("refused", "21:00:03.000", step="stop_deployment", refusals=["No deployment runs."]),
    line(
        "intent",
        "21:00:04.000",
        step="roll_back_release",
        target="service/web",
        diff={"before": {"revision": 3, "tasks": 2}, "after": {"revision": 2, "tasks": 2}},
        undo={"module": "daily_emr.ops.ecs_service_release", "args": {"revision": 3, "environment": {"name": "x"}}},
    ),
    line("outcome", "21:00:05.000", step="roll_back_release", target="service/web", outcome="ok"),
    line("verified", "21:03:20.000", verified=True, sentence="20 of 20 looks were good."),
    line("closed", "21:03:21.000", outcome="succeeded"),
]

RECORD = {
    "schema": 1,
    "incident": "INC-7",
    "run": "r1",
    "runbook": "app_outage",
    "title": "The application is down",
    "severity": "SEV1",
    "environment": "staging",
    "component": "emr-web",
    "mode": "run",
    "outcome": "succeeded",
    "sentence": "The release was rolled back and the service is good.",
    "opened_at": "2026-11-23T20:59:58.000+00:00",
    "closed_at": "2026-11-23T21:03:21.000+00:00",
    "seconds": 203.0,
    "operator": "wanjiru",
    "steps": [
        {
            "step": "roll_back_release",
            "name": "roll_back_release: service/web was changed.",
            "target": "service/web",
            "outcome": "ok",
            "diff": {"before": {"revision": 3, "tasks": 2}, "after": {"revision": 2, "tasks": 2}},
            "undo": {"module": "daily_emr.ops.ecs_service_release", "args": {"revision": 3}},
            "seconds": 1.0,
        }
    ],
    "verification": {"verified": True, "sentence": "20 of 20 looks were good."},
}


def write_run(
    runs_dir: Path, journal: list[dict[str, Any]], record: dict[str, Any] | None, incident: str = "INC-7"
) -> RunFolder:
    folder = runs_dir / incident / "r1"
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in journal), encoding="utf-8")
    if record is not None:
        (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
    return RunFolder(folder)


@pytest.fixture
def finished_run(tmp_path: Path) -> RunFolder:
    return write_run(tmp_path / "runs", JOURNAL, RECORD)


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
