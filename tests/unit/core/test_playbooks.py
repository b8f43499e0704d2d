"""Ansible itself, on a small runbook against AWS in memory: inputs are judged first, and 0 means that it worked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from .conftest import ACCOUNT, REGION

ROOT = Path(__file__).parents[3]
COLLECTIONS = ROOT / "collections"
TABLE, FINGERPRINT = "daily-emr-sandbox-runbooks", "/daily-emr/sandbox/fingerprint"

CONFIG = """
[defaults]
collections_path = {collections}
callbacks_enabled = daily_emr.ops.gate
roles_path = roles
local_tmp = {tmp}
[inventory]
host_pattern_mismatch = error
"""
PLAY = """
- name: Toy outage
  hosts: {hosts}
  gather_facts: false
  vars:
    incident_runbook: toy
    incident_title: The toy is down
  roles:
    - role: incident
"""
INCIDENT = """
- name: Refuse inputs that no runbook declares
  daily_emr.ops.inputs:

- name: Run the incident
  module_defaults:
    group/daily_emr.ops.ops:
      environment: "{{ emr_environment }}"
      incident: "{{ opened.incident }}"
  block:
    - name: Open
      daily_emr.ops.incident:
        state: open
        incident: "{{ omit }}"
        component: "{{ inventory_hostname }}"
        runbook: "{{ incident_runbook }}"
        incident_id: "{{ incident_id }}"
      register: opened

    - name: Decide
      daily_emr.ops.diagnosis:
        observations: [{name: toy_broken, status: ok}]
        healthy: "{{ toy_healthy }}"
        causes: [{cause: broken, because: It is broken., supported_by: [toy_broken], mitigations: [mend]}]
      register: decision

    - name: Close
      daily_emr.ops.incident:
        state: closed
"""
INCIDENT_SPECS = """
argument_specs:
  main:
    options:
      incident_id: {type: str, default: ""}
      incident_lease_seconds: {type: int, default: 120}
"""
TOY_SPECS = """
argument_specs:
  main:
    options:
      toy_healthy: {type: bool, default: true}
"""


class Aws:
    """moto's own HTTP server, one request at a time; what it was asked is the witness."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        app = DomainDispatcherApplication(create_backend_app)

        def witness(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            self.asked.append(self._operation(environ))
            return app(environ, start_response)

        self._server = make_server("127.0.0.1", 0, witness, threaded=False)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @staticmethod
    def _operation(environ: dict[str, Any]) -> str:
        target = environ.get("HTTP_X_AMZN_TARGET") or environ.get("HTTP_X_AMZ_TARGET") or "query"
        return str(target).rpartition(".")[2]

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[Aws]:
    made = Aws()
    yield made
    made.stop()


class Project:
    """A project with one runbook, `toy`, whose toy is healthy unless told otherwise."""

    def __init__(self, folder: Path, aws: Aws) -> None:
        self.folder, self.aws = folder, aws
        self.sentinel = folder / "sentinel"
        keys = boto3.client(
            "sts", REGION, endpoint_url=aws.url, aws_access_key_id="x", aws_secret_access_key="x"
        ).assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/daily-emr-sandbox-runbook-act", RoleSessionName="wanjiru")[
            "Credentials"
        ]
        self.write(
            "credentials",
            f"[default]\naws_access_key_id={keys['AccessKeyId']}\naws_secret_access_key={keys['SecretAccessKey']}\n"
            f"aws_session_token={keys['SessionToken']}\n",
        )
        self.environment = {
            "name": "sandbox",
            "account_id": ACCOUNT,
            "region": REGION,
            "role_pattern": "daily-emr-sandbox-runbook-act",
            "table": TABLE,
            "fingerprint_parameter": FINGERPRINT,
            "endpoint_url": aws.url,
            "credentials_file": str(folder / "credentials"),
        }
        self.write("ansible.cfg", CONFIG.format(collections=COLLECTIONS, tmp=folder / "tmp"))
        self.write("runbooks/toy.yml", PLAY.format(hosts="web"))
        self.write("runbooks/empty.yml", PLAY.format(hosts="empty"))
        self.write("runbooks/left.yml", PLAY.format(hosts="web") + "  pre_tasks:\n    - meta: end_host\n")
        self.write("roles/incident/tasks/main.yml", INCIDENT)
        self.write("roles/incident/meta/argument_specs.yml", INCIDENT_SPECS)
        self.write("roles/incident/defaults/main.yml", 'incident_id: ""\ntoy_healthy: true\n')
        self.write("roles/toy/meta/argument_specs.yml", TOY_SPECS)
        self.inventory(self.environment)

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def inventory(self, environment: dict[str, Any]) -> None:
        host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        groups = {"web": {"hosts": {"emr-web": None}}, "empty": {"hosts": {}}}
        self.write(
            "hosts.json", json.dumps({"all": {"vars": {**host, "emr_environment": environment}, "children": groups}})
        )

    def without_gate(self) -> None:
        text = (self.folder / "ansible.cfg").read_text()
        self.write("ansible.cfg", text.replace("callbacks_enabled = daily_emr.ops.gate\n", ""))

    def play(self, *arguments: str, runbook: str = "runbooks/toy.yml") -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
        self.aws.asked.clear()
        return subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.json", runbook, *arguments],
            cwd=self.folder,
            env={**kept, "ANSIBLE_HOME": str(self.folder / "home")},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob(".runs/*/*/record.json"))]


def make_project(server: Aws, folder: Path) -> Project:
    """The project, and what it needs in the account."""
    keys: dict[str, Any] = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "endpoint_url": server.url}
    boto3.client("ssm", REGION, **keys).put_parameter(
        Name=FINGERPRINT,
        Value=json.dumps({"environment": "sandbox", "account_id": ACCOUNT, "region": REGION}),
        Type="String",
        Overwrite=True,
    )
    table = boto3.client("dynamodb", REGION, **keys)
    if TABLE not in table.list_tables()["TableNames"]:
        table.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        )
    return Project(folder, server)


@pytest.fixture
def project(server: Aws, tmp_path: Path) -> Project:
    return make_project(server, tmp_path)


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_a_healthy_run_returns_0_and_has_a_record_and_no_task_started_a_process(
    project: Project, check: list[str]
) -> None:
    # With an interpreter that does not exist, only what runs in the worker can work.
    project.inventory(project.environment)
    text = (project.folder / "hosts.json").read_text().replace(json.dumps(sys.executable), '"/no/python"')
    project.write("hosts.json", text)

    done = project.play(*check)

    assert done.returncode == 0, done.stdout + done.stderr
    assert [one["outcome"] for one in project.records()] == ["noop"]
    assert set(project.aws.asked) == {"query", "GetParameter", "GetItem"}
    assert said(done) == []


def test_the_same_modules_run_as_processes_when_they_have_to(project: Project) -> None:
    project.write("runbooks/toy.yml", PLAY.format(hosts="web").replace("vars:", "environment: {LANG: C}\n  vars:"))
    inputs = "- name: Refuse inputs that no runbook declares\n  daily_emr.ops.inputs:\n"
    project.write("roles/incident/tasks/main.yml", INCIDENT.replace(inputs, ""))

    done = project.play()

    assert done.returncode == 0, done.stdout + done.stderr
    assert [one["outcome"] for one in project.records()] == ["noop"]


def test_a_run_that_did_not_reach_its_goal_is_not_0(project: Project) -> None:
    done = project.play("-e", "toy_healthy=false")

    assert done.returncode != 0
    assert [one["outcome"] for one in project.records()] == ["refused"]


SERVICE = {
    "component": "emr-web",
    "cluster": "c",
    "service": "s",
    "load_balancer": "daily-emr-sandbox",
    "target_group": "t",
    "repository": "r",
    "web_acl": {"name": "w"},
    "database": "d",
    "cache": "c",
    "probes": {},
    "feature_flags": {},
}


@pytest.mark.parametrize(
    ("service", "check", "why"),
    [(SERVICE, [], "LoadBalancerNotFound"), ({"component": "emr-web"}, [], ""), (SERVICE, ["--check"], "")],
    ids=["it cannot be read", "it cannot even be asked for", "check mode"],
)
def test_a_run_ends_as_it_has_whatever_becomes_of_the_impact(
    project: Project, service: dict[str, Any], check: list[str], why: str
) -> None:
    own = "      daily_emr.ops.incident:\n        state: closed\n"
    assert INCIDENT.endswith(own)
    project.write(
        "roles/incident/tasks/main.yml",
        INCIDENT.removesuffix(own) + "      ansible.builtin.import_tasks: close.yml\n",
    )
    project.write("roles/incident/tasks/close.yml", (ROOT / "roles/incident/tasks/close.yml").read_text())
    project.write("roles/incident/vars/main.yml", '__incident_failure: ""\n')
    inventory = json.loads((project.folder / "hosts.json").read_text())
    inventory["all"]["children"] |= {"region": {"hosts": {}}}
    inventory["all"]["vars"] |= {"web_service": service, "emr_slo": {}}
    project.write("hosts.json", json.dumps(inventory))

    done = project.play(*check)

    assert done.returncode == 0, done.stdout + done.stderr
    [record] = project.records()
    assert record["outcome"] == "noop"
    impacts = [line for line in record["journal"] if line["kind"] == "impact"]
    assert [(line["known"], why in line["why"]) for line in impacts] == ([(False, True)] if why else [])


HEAD = "- hosts: web\n  gather_facts: false\n  tasks:\n"
PIPE = "{{{{ lookup('pipe', 'touch {sentinel}') }}}}"


def hostile(project: Project, form: str) -> list[str]:
    payload = PIPE.format(sentinel=project.sentinel)
    if form == "json":
        return ["-e", json.dumps({"incident_id": payload})]
    if form == "file":
        text = f"{{% set x = lookup('pipe', 'touch {project.sentinel}') %}}"
        project.write("given.yml", f'incident_id: "{text}"\n')
        return ["-e", f"@{project.folder / 'given.yml'}"]
    if form == "deep":
        return ["-e", json.dumps({"incident_id": {"a": [payload]}})]
    if form == "runbook":
        return ["-e", json.dumps({"incident_runbook": payload})]
    if form == "interpreter":
        project.write("python", f"#!/bin/sh\ntouch {project.sentinel}\n")
        (project.folder / "python").chmod(0o755)
        return ["-e", f"ansible_python_interpreter={project.folder / 'python'}"]
    return ["-e", f'incident_id="{payload}"']


@pytest.mark.parametrize("form", ["words", "json", "file", "deep", "runbook", "interpreter"])
def test_a_hostile_value_is_refused_before_anything_executes_it(project: Project, form: str) -> None:
    done = project.play(*hostile(project, form))

    assert done.returncode == 3
    assert len(said(done)) == 1
    assert not project.sentinel.exists()
    assert project.aws.asked == []
    assert str(project.sentinel) not in done.stdout + done.stderr


@pytest.mark.parametrize("form", ["words", "json", "file", "interpreter"])
def test_without_the_guard_the_same_value_is_executed(project: Project, form: str) -> None:
    """The control of the test above: an ordinary playbook without this collection."""
    project.write(
        "runbooks/bare.yml",
        HEAD + """    - ansible.builtin.ping:\n        data: "{{ incident_id | default('') }}"\n""",
    )

    project.play(*hostile(project, form), runbook="runbooks/bare.yml")

    assert project.sentinel.exists()


def test_every_action_refuses_by_itself_when_the_gate_is_off_and_the_first_task_is_skipped(project: Project) -> None:
    project.without_gate()

    done = project.play("-e", "incident_idd=INC-1", "--start-at-task", "Open")

    assert done.returncode != 0
    assert "did you mean incident_id?" in done.stdout
    assert project.aws.asked == []


TYPO = "incident_idd is not an input of this runbook: did you mean incident_id?"


@pytest.mark.parametrize(
    ("given", "says", "way"),
    [
        ("incident_idd=INC-1", TYPO, []),
        ("incident_idd=INC-1", TYPO, ["--check"]),
        ("incident_idd=INC-1", TYPO, ["--start-at-task", "Close"]),
        ("incident_idd=INC-1", TYPO, ["--tags", "none"]),
        ("incident_idd=INC-1", TYPO, ["--skip-tags", "always"]),
        ("toy_helthy=false", "toy_helthy is not an input of this runbook: did you mean toy_healthy?", []),
        ("incident_lease_seconds=soon", "incident_lease_seconds must be of type int: correct it.", []),
        ("ansible_check_mode=false", "ansible_check_mode may not be passed as an extra var", []),
    ],
)
def test_an_input_that_is_not_right_is_refused_in_one_sentence_in_every_way_of_calling(
    project: Project, given: str, says: str, way: list[str]
) -> None:
    done = project.play("-e", given, *way)

    assert done.returncode == 3
    assert len(said(done)) == 1
    assert says in said(done)[0]
    assert project.aws.asked == []


@pytest.mark.parametrize(
    ("runbook", "says"),
    [
        ("empty", "The play 'Toy outage' found no host in 'empty', so nothing was done"),
        ("left", "The play 'Toy outage' ended without the outcome of its incident"),
    ],
)
def test_a_run_that_did_nothing_ends_with_an_error(project: Project, runbook: str, says: str) -> None:
    done = project.play(runbook=f"runbooks/{runbook}.yml")

    assert done.returncode == 4, done.stdout + done.stderr
    assert len(said(done)) == 1
    assert says in said(done)[0]
    assert project.aws.asked == []


def test_a_failure_of_the_life_cycle_that_the_playbook_ignores_stays_one(project: Project) -> None:
    project.write("roles/incident/tasks/main.yml", f"{INCIDENT.rstrip()}\n      ignore_errors: true\n")

    done = project.play("-e", "toy_healthy=false")

    assert done.returncode == 3, done.stdout + done.stderr
    assert "ERROR: The incident ended as refused, and the playbook goes on" in said(done)[0]
    project.without_gate()
    assert project.play("-e", "toy_healthy=false").returncode == 0  # the control


PARTS = [["--start-at-task", "Opne"], ["--skip-tags", "always,untagged"], ["--tags", "nosuch"]]


@pytest.mark.parametrize("arguments", [*PARTS, ["--start-at-task", "Close"]])
def test_a_part_of_a_runbook_is_refused(project: Project, arguments: list[str]) -> None:
    done = project.play(*arguments)

    assert done.returncode == 3, done.stdout + done.stderr
    assert said(done) == [
        f"ERROR: {arguments[0]} would leave out a part of the runbook, its guards among them: run it whole."
    ]
    assert project.aws.asked == []


def test_what_molecule_always_passes_leaves_nothing_out(project: Project) -> None:
    assert project.play("--skip-tags", "molecule-notest,notest,molecule-idempotence-notest").returncode == 0


@pytest.mark.parametrize("arguments", PARTS)
def test_without_the_gate_the_same_run_returns_0(project: Project, arguments: list[str]) -> None:
    """The control of the test above."""
    project.without_gate()

    assert project.play(*arguments).returncode == 0


def test_a_host_that_is_not_in_the_inventory_is_an_error(project: Project) -> None:
    assert project.play("--limit", "emr-wbe").returncode != 0
    assert project.aws.asked == []


def test_without_the_gate_the_end_of_the_run_is_not_reached_by_starting_at_it(project: Project) -> None:
    project.without_gate()

    assert project.play("--start-at-task", "Close").returncode != 0
    assert project.records() == []


def test_the_wrong_account_is_refused_in_one_sentence_with_a_record(project: Project) -> None:
    project.inventory({**project.environment, "account_id": "999999999999"})

    done = project.play()

    assert done.returncode != 0
    assert "but environment sandbox is account 999999999999" in re.sub(r"\s+", " ", done.stdout)
    assert [(one["outcome"]) for one in project.records()] == ["refused"]
    assert set(project.aws.asked) == {"query", "GetParameter"}
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["--syntax-check"], ["--list-tasks"], ["--list-hosts"]])
def test_looking_at_a_playbook_without_running_it_still_works(project: Project, arguments: list[str]) -> None:
    assert project.play(*arguments).returncode == 0


ORDINARY = {
    "a task": HEAD + "    - ansible.builtin.debug:\n        msg: hello {{ who | default('') }}\n",
    "an empty group beside": "- hosts: empty\n  gather_facts: false\n- hosts: web\n  gather_facts: false\n"
    "  tasks:\n    - ansible.builtin.debug:\n",
    "only a skipped task": HEAD + "    - ansible.builtin.debug:\n      when: false\n",
    "no task at all": "- hosts: web\n  gather_facts: false\n  tasks: []\n",
}


@pytest.mark.parametrize("kind", ORDINARY)
def test_an_ordinary_playbook_is_left_alone(project: Project, kind: str) -> None:
    project.write("playbooks/ordinary.yml", ORDINARY[kind])

    done = project.play("-e", "who=you", runbook="playbooks/ordinary.yml")

    assert done.returncode == 0, done.stdout + done.stderr
    assert said(done) == []


def test_an_ordinary_playbook_for_an_empty_group_alone_is_an_error(project: Project) -> None:
    project.write("playbooks/ordinary.yml", ORDINARY["a task"].replace("web", "empty"))

    done = project.play(runbook="playbooks/ordinary.yml")

    assert done.returncode == 4
    assert "no host matched, look at the inventory" in said(done)[0]
