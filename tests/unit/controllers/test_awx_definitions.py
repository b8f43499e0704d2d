"""The jobs as AWX needs them, by AWX's own rules for surveys; and what AWX takes for a playbook."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import person_of
from dateutil.rrule import rrulestr

from daily_emr_runbooks import semaphore
from daily_emr_runbooks.awx import JOBS, definition, question
from daily_emr_runbooks.catalogue import jobs
from daily_emr_runbooks.errors import CommandError
from daily_emr_runbooks.project import Project
from daily_emr_runbooks.runbooks import Input
from tests.controllers.awx import wrong_survey
from tests.controllers.discovery import playbooks

ROOT = Path(__file__).resolve().parents[3]
DEFINED = json.loads((ROOT / JOBS).read_text())


def entry(kind: str, default: object = None, *, required: bool = False, choices: tuple[object, ...] = ()) -> Input:
    return Input("some_name", kind, "What C(it) is.", required, default, choices)


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (entry("str", ""), {"type": "text", "min": 0, "max": 1024}),
        (entry("bool", False), {"type": "multiplechoice", "choices": ["false", "true"]}),
        (entry("str", "a", choices=("a", "b")), {"type": "multiplechoice", "choices": ["a", "b"]}),
        (entry("int", 1, choices=(1, 2)), {"type": "multiplechoice", "choices": ["1", "2"]}),
        (entry("int", required=True), {"type": "integer"}),
        (entry("float", required=True), {"type": "float"}),
    ],
)
def test_an_input_becomes_a_question_that_awx_takes(given: Input, answer: dict[str, object]) -> None:
    asked = question(given)
    assert {name: asked[name] for name in answer} == answer
    assert asked["required"] is given.required
    assert "default" not in asked, "it would be passed as an extra var, over what the inventory says"
    assert wrong_survey({"name": "", "description": "", "spec": [asked]}) == ""


def test_a_question_says_what_silence_means() -> None:
    assert (
        question(entry("str", "a", choices=("a", "b")))["question_description"] == "What `it` is. Without an answer: a."
    )


@pytest.mark.parametrize("kind", ["list", "dict", "path"])
def test_what_no_survey_can_ask_for_is_one_sentence(kind: str) -> None:
    with pytest.raises(CommandError, match=f"The input some_name is a {kind}"):
        question(entry(kind, required=True))


def test_every_survey_is_one_that_awx_takes() -> None:
    surveys = [job["survey"] for job in DEFINED if job["survey"]]
    assert surveys
    assert [wrong_survey(survey) for survey in surveys if wrong_survey(survey)] == []


def test_a_schedule_answers_what_its_survey_asks() -> None:
    """AWX refuses one that does not, and wants the first time in UTC."""
    surveys = {job["name"]: {one["variable"]: one for one in job["survey"].get("spec", ())} for job in DEFINED}
    for schedule in yaml.safe_load((ROOT / "roles/controller/defaults/main.yml").read_text())["controller_schedules"]:
        asked = surveys[schedule["job"]]
        assert set(schedule["inputs"]) <= set(asked)
        assert {name for name, one in asked.items() if one["required"]} <= set(schedule["inputs"])
        for name, answer in schedule["inputs"].items():
            assert answer in asked[name].get("choices", [answer])
        assert re.match(r"DTSTART:\d{8}T\d{6}Z RRULE:FREQ=\w+;INTERVAL=\d+", schedule["rrule"])
        assert rrulestr(schedule["rrule"].replace(" ", "\n"))[1]


def test_the_roles_that_jobs_take_are_made_by_runbook_support() -> None:
    """The prefix is that of the environment; teardown's role is only made in an ephemeral one."""
    support = (ROOT / "roles/runbook_support/vars/main.yml").read_text()
    policies = (ROOT / "roles/runbook_support/templates/policies.json.j2").read_text()
    fixed = set(re.findall(r"name: '?([a-z-]+)'?, ?'?policies|'name': '([a-z-]+)'", support))
    made = {name for pair in fixed for name in pair if name}
    made |= {f"runbook-{name.replace('_', '-')}" for name in re.findall(r'^ "job-(\w+)"', policies, re.MULTILINE)}
    assert {job[form] for job in DEFINED for form in ("plan_role", "run_role")} <= made


def test_no_controller_offers_an_approval_or_holds_the_role_of_who_approves() -> None:
    """Everybody who may start a job acts under one name there, so one of two approvals could be one's own."""
    for page in (JOBS, semaphore.PAGE):
        text = (ROOT / page).read_text()
        assert "region_failover" in text
        assert "region_approval" not in text
        assert "approver" not in text


def test_the_session_of_a_job_in_awx_names_nobody() -> None:
    text = (ROOT / "roles/controller/vars/main.yml").read_text()
    (session,) = re.findall(r"role_session_name = (\S+)", text)
    assert person_of(session) == ""


def test_a_runbook_plans_with_the_role_that_only_reads() -> None:
    (job,) = [definition(one) for one in jobs(Project(ROOT)) if one.name == "app_outage"]
    assert (job["plan_role"], job["run_role"]) == ("runbook-diagnose", "runbook-act")


def test_awx_finds_every_job_and_what_else_it_lists_is_explained() -> None:
    listed = playbooks(ROOT)
    ours = {job["playbook"] for job in DEFINED}
    assert ours <= set(listed)
    page = (ROOT / "docs/controllers.md").read_text()
    rows = page.partition("| listed | why it has `hosts:` |")[2].partition("\n\n")[0]
    explained = re.findall(r"`([^`]+\.yml)`", rows)
    assert [file for file in listed if file not in ours and not any(fnmatch(file, rule) for rule in explained)] == []
    assert [rule for rule in explained if not any(fnmatch(file, rule) for file in listed)] == []
