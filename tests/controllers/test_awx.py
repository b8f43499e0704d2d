"""playbooks/controller.yml with the real modules of awx.awx against a stand-in that keeps state."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daily_emr_runbooks.catalogue import IN_PERSON, jobs
from daily_emr_runbooks.project import Project

from .awx import TOKEN, Awx
from .awx_api import running
from .discovery import playbooks

ROOT = Path(__file__).resolve().parents[2]
JOBS: list[dict[str, Any]] = json.loads((ROOT / "roles/controller/files/jobs.json").read_text())
SOME = ("app_outage", "readiness", "backup")
"""One that needs approval, one that only reads, one that changes without asking."""
SETTINGS = {
    "controller_project_url": "https://git.example.org/daily-emr/runbooks.git",
    "controller_image": "registry.example.org/daily-emr@sha256:0",
    "controller_webhook_url": "https://hooks.example.org/daily-emr",
    "controller_environments": [
        {"name": "staging", "account_id": "111111111111", "approval": False, "without": ["teardown"]},
        {"name": "production", "account_id": "222222222222", "approval": True, "without": ["teardown", "rehearsal"]},
    ],
}
FEWER = {
    "controller_jobs": [job for job in JOBS if job["name"] in SOME],
    "controller_schedules": [
        {
            "job": "readiness",
            "environments": ["staging", "production"],
            "rrule": "DTSTART:20260101T040000Z RRULE:FREQ=DAILY;INTERVAL=1",
            "inputs": {},
        }
    ],
}
# Of the modules with the stand-in, which shares two cores with whole runs; where it is to be lost, it is short.
PATIENT_S, IMPATIENT_S = 120, 2
RECAP = re.compile(r"ok=\d+ +changed=(\d+) +unreachable=0 +failed=(\d+)")


def apply(awx: Awx, *options: str, token: str = TOKEN, patience_s: int = PATIENT_S, **settings: Any) -> tuple[int, str]:
    """Run the playbook; how often something changed (or would), and all that was said. -1 for a run that failed."""
    awx.calls.clear()
    command = ["ansible-playbook", "-i", "localhost,", "playbooks/controller.yml", *options]
    done = subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:], "-e", json.dumps({**SETTINGS, **settings})],
        cwd=ROOT,
        # Each request of a module reads the certificates of the system anew; there are none to need on loopback.
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "CONTROLLER_HOST": awx.url,
            "CONTROLLER_OAUTH_TOKEN": token,
            "CONTROLLER_REQUEST_TIMEOUT": str(patience_s),
            "SSL_CERT_FILE": os.devnull,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert TOKEN not in said
    assert "Traceback" not in said
    recap = RECAP.search(said)
    assert recap, said
    assert (done.returncode == 0) == (recap[2] == "0"), said
    return (int(recap[1]) if done.returncode == 0 else -1), said


@pytest.fixture(scope="module")
def known() -> set[str]:
    return set(playbooks(ROOT))


@pytest.fixture(scope="module")
def whole(known: set[str]) -> Iterator[Awx]:
    """All jobs, defined once in an empty AWX."""
    with running(Awx(known)) as awx:
        changed, said = apply(awx)
        assert changed > 0, said
        yield awx


@pytest.fixture(scope="module")
def small(known: set[str]) -> Iterator[Awx]:
    """A few jobs, defined once in an empty AWX."""
    with running(Awx(known)) as awx:
        changed, said = apply(awx, **FEWER)
        assert changed > 0, said
        yield awx


@pytest.fixture
def empty(known: set[str]) -> Iterator[Awx]:
    with running(Awx(known)) as awx:
        yield awx


def names(awx: Awx, endpoint: str) -> set[str]:
    return {one["name"] for one in awx.objects[endpoint].values()}


def teams_that_may(awx: Awx, role: str, endpoint: str, name: str) -> set[str]:
    number = awx.named(endpoint, name)["summary_fields"]["object_roles"][role]["id"]
    return {awx.objects["teams"][team]["name"] for team in awx.links.get(f"roles/{number}/teams", [])}


def asked_at_launch(template: dict[str, Any]) -> set[str]:
    """What whoever starts it may choose."""
    return {name for name, value in template.items() if name.startswith("ask_") and value}


def test_every_job_has_its_templates_in_every_environment_that_offers_it(whole: Awx) -> None:
    """What was sent was taken by the stand-in, which refuses every field that AWX 24.6.1 does not have."""
    wanted, workflows = set(), set()
    for environment in SETTINGS["controller_environments"]:
        for job in jobs(Project(ROOT)):
            if job.name in (*environment["without"], *IN_PERSON):
                continue
            wanted.add(f"{job.name} run in {environment['name']}")
            if job.changes:
                wanted.add(f"{job.name} plan in {environment['name']}")
            if job.needs_approval and environment["approval"]:
                workflows.add(f"{job.name} in {environment['name']}")
    assert names(whole, "job_templates") == wanted
    assert names(whole, "workflow_job_templates") == workflows
    assert not any("approv" in name for name in names(whole, "job_templates") | names(whole, "credentials"))
    for template in whole.objects["job_templates"].values():
        planned = " plan in " in template["name"]
        assert template["job_type"] == ("check" if planned else "run")
        assert asked_at_launch(template) == {"ask_limit_on_launch"}
    for workflow in whole.objects["workflow_job_templates"].values():
        assert asked_at_launch(workflow) == {"ask_limit_on_launch"}
    assert {one["name"] for one in whole.objects["schedules"].values()} == {
        *(
            f"{job} run in {place}"
            for job in ("readiness", "backup", "restore_check")
            for place in ("staging", "production")
        ),
        "rehearsal run in staging",
    }


def test_a_survey_in_awx_is_the_one_of_the_job_and_asks_for_no_more(whole: Awx) -> None:
    for job in JOBS:
        for template in whole.objects["job_templates"].values():
            if template["playbook"] == job["playbook"]:
                assert whole.surveys.get(f"job_templates/{template['id']}", {}) == job["survey"]
                assert template["survey_enabled"] == bool(job["survey"])


def test_production_is_changed_by_the_workflow_alone_and_approved_by_others(small: Awx) -> None:
    """Plan, approval by the leads, run; nobody holds the right to start that run."""
    workflow = "app_outage in production"
    nodes = {one["identifier"]: one for one in small.objects["workflow_job_template_nodes"].values()}
    leads = {
        name: small.links.get(f"workflow_job_template_nodes/{node['id']}/success_nodes") for name, node in nodes.items()
    }
    assert leads == {"plan": [nodes["approve"]["id"]], "approve": [nodes["run"]["id"]], "run": None}
    plan, run = (small.named("job_templates", f"app_outage {form} in production") for form in ("plan", "run"))
    assert (nodes["plan"]["unified_job_template"], nodes["run"]["unified_job_template"]) == (plan["id"], run["id"])
    approval = small.objects["workflow_approval_templates"][nodes["approve"]["unified_job_template"]]
    assert approval["timeout"] == 1800
    assert "decides anew" in approval["description"], "until a plan leaves a digest that binds the run"

    on_call, leads_team = "Daily EMR on-call", "Daily EMR leads"
    assert teams_that_may(small, "execute_role", "job_templates", "app_outage run in production") == set()
    assert teams_that_may(small, "execute_role", "job_templates", "app_outage run in staging") == {on_call}
    assert teams_that_may(small, "execute_role", "job_templates", "app_outage plan in production") == {
        on_call,
        leads_team,
    }
    assert teams_that_may(small, "execute_role", "workflow_job_templates", workflow) == {on_call}
    assert teams_that_may(small, "approval_role", "workflow_job_templates", workflow) == {leads_team}


def test_no_secret_reaches_awx_and_each_form_runs_under_its_own_role(small: Awx) -> None:
    inputs = {one["name"]: one["inputs"] for one in small.objects["credentials"].values()}
    assert inputs["daily-emr-production-runbook-diagnose"] == {
        "role_arn": "arn:aws:iam::222222222222:role/daily-emr-production-runbook-diagnose",
        "credential_source": "Ec2InstanceMetadata",
        "runs": "/var/lib/daily-emr/runs",
    }
    assert inputs["Daily EMR keys of production"] == {}
    for form, role in (("plan", "diagnose"), ("run", "act")):
        held = small.linked("job_templates", f"app_outage {form} in production", "credentials")
        assert {small.objects["credentials"][one]["name"] for one in held} == {
            f"daily-emr-production-runbook-{role}",
            "Daily EMR keys of production",
        }


def test_what_leaves_awx_names_the_job_and_none_of_its_answers(small: Awx) -> None:
    told = small.named("notification_templates", "Daily EMR webhook")
    assert "extra_vars" not in json.dumps(told["messages"])
    assert "job_metadata" not in json.dumps(told["messages"])
    assert small.linked("organizations", "Daily EMR", "notification_templates_approvals") == [told["id"]]


def test_a_second_run_changes_nothing(small: Awx) -> None:
    assert apply(small, **FEWER)[0] == 0
    assert small.changes() == []


def test_drift_is_shown_by_a_check_and_mended_by_a_run(small: Awx) -> None:
    """Each thing that somebody changed by hand, and one that nothing defines."""
    run = small.named("job_templates", "app_outage run in production")
    execute = run["summary_fields"]["object_roles"]["execute_role"]["id"]
    small.links[f"roles/{execute}/teams"] = [small.named("teams", "Daily EMR on-call")["id"]]
    template = small.named("job_templates", "app_outage plan in staging")
    template["playbook"] = "runbooks/error_spike.yml"
    small.surveys[f"job_templates/{run['id']}"]["spec"].pop()
    plan, approve, runs = (
        small.named("workflow_job_template_nodes", name)["id"] for name in ("plan", "approve", "run")
    )
    small.links[f"workflow_job_template_nodes/{plan}/success_nodes"] = []
    small.links[f"workflow_job_template_nodes/{plan}/always_nodes"] = [runs]
    small.links[f"workflow_job_template_nodes/{approve}/failure_nodes"] = [runs]
    small.named("schedules", "readiness run in staging")["enabled"] = False
    backup = small.named("job_templates", "backup run in staging")
    backup["ask_job_type_on_launch"] = backup["ask_credential_on_launch"] = True
    workflow = small.named("workflow_job_templates", "app_outage in production")
    workflow["ask_inventory_on_launch"] = True
    foreign = {name: template[name] for name in ("project", "inventory", "job_type")}
    small.add("job_templates", {**foreign, "name": "shell on everything", "playbook": "playbooks/backup.yml"})

    before = copy.deepcopy((small.objects, small.links, small.surveys))
    changed, said = apply(small, "--check", **FEWER)
    assert small.changes() == []
    assert (small.objects, small.links, small.surveys) == before
    for name in (
        "app_outage run in production",
        "app_outage plan in staging",
        "app_outage in production",
        "readiness run in staging",
        "backup run in staging",
    ):
        assert f"changed: [localhost] => (item={name})" in said
    assert changed == 7
    assert "No longer defined: shell on everything." in said

    apply(small, controller_remove_undefined=True, **FEWER)
    assert {method for method, _path in small.changes()} == {"POST", "PATCH", "DELETE"}
    assert "shell on everything" not in names(small, "job_templates")
    assert teams_that_may(small, "execute_role", "job_templates", "app_outage run in production") == set()
    assert template["playbook"] == "runbooks/app_outage.yml"
    assert asked_at_launch(backup) == asked_at_launch(workflow) == {"ask_limit_on_launch"}
    for node in ("plan", "approve"):
        assert small.linked("workflow_job_template_nodes", node, "failure_nodes") == []
        assert small.linked("workflow_job_template_nodes", node, "always_nodes") == []
    assert small.named("schedules", "readiness run in staging")["enabled"]


def test_a_check_against_an_empty_awx_says_that_nothing_is_there(empty: Awx) -> None:
    changed, said = apply(empty, "--check")
    assert (changed, empty.changes()) == (0, [])
    assert "AWX has no organization Daily EMR yet" in said


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (("GET", "/organizations/$", 404), "could not be found at /api/v2/organizations/"),
        (("GET", "/organizations/$", 500), "server error"),
        (("GET", "/organizations/$", 0), "timed out"),
        (("POST", "/organizations/$", 403), "have permission to POST"),
        (("POST", "/organizations/$", 409), "This is a fault of a test"),
    ],
    ids=lambda value: str(value[2]) if isinstance(value, tuple) else "",
)
def test_what_awx_refuses_is_one_sentence(empty: Awx, fault: tuple[str, str, int], sentence: str) -> None:
    empty.fault = fault
    changed, said = apply(empty, patience_s=PATIENT_S if fault[2] else IMPATIENT_S)
    assert changed == -1
    told = said.rpartition("Say what AWX did not do")[2]
    assert sentence in told
    assert f"AWX at {empty.url} did not do it." in told
    assert "What is defined already stays: mend it and run again." in told


def test_a_token_that_awx_does_not_know_is_one_sentence(empty: Awx) -> None:
    changed, said = apply(empty, token="somebody-else")
    assert (changed, empty.changes()) == (-1, [])
    assert "Invalid authentication credentials" in said


@pytest.mark.parametrize(
    ("url", "token", "sentence"),
    [
        ("http://awx.example.org", TOKEN, "a token does not travel without encryption"),
        ("", "", "Set CONTROLLER_HOST to the address of AWX"),
    ],
)
def test_what_is_missing_is_said_before_anybody_is_asked(known: set[str], url: str, token: str, sentence: str) -> None:
    awx = Awx(known)
    awx.url = url
    changed, said = apply(awx, token=token)
    assert changed == -1
    assert sentence in said
