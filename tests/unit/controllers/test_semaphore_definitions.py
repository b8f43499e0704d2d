"""What stands in the generated definitions of Semaphore, and that they follow the files that they are made from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.module_utils._semaphore_objects import KINDS
from ansible_collections.daily_emr.ops.plugins.modules import semaphore_object, semaphore_project

from daily_emr_runbooks import docs, semaphore
from daily_emr_runbooks.catalogue import jobs
from daily_emr_runbooks.errors import CommandError
from daily_emr_runbooks.project import Project
from daily_emr_runbooks.runbooks import Input

from .semaphore_server import TOKEN, Server

ROOT = Path(__file__).resolve().parents[3]
DEFINED: list[dict[str, Any]] = json.loads((ROOT / semaphore.PAGE).read_text())
TEMPLATES = [entry["definition"] for entry in DEFINED if entry["kind"] == "template"]


def test_semaphore_takes_every_object_and_a_second_time_nothing_changes(semaphore: Server) -> None:
    site = {"git_url": "https://git.example.org/runbooks.git", "git_branch": "main"}
    objects = [
        {**entry, "definition": {**entry["definition"], **(site if entry["kind"] == "repository" else {})}}
        for entry in DEFINED
    ]
    place = {"url": semaphore.url, "token": TOKEN, "timeout_s": 30.0}
    settings = {"name": "Daily EMR"}
    made = perform(
        "x", semaphore_project.ENTRY, {**place, "settings": settings, "objects": objects}, Context(check_mode=False)
    )
    assert made["msg"] == f"The project Daily EMR was made with {len(objects)} objects."

    def apply(entry: dict[str, Any]) -> dict[str, Any]:
        options = {"project": "Daily EMR", "kind": entry["kind"], "definition": entry["definition"]}
        return perform(
            "x", semaphore_object.ENTRY, {**place, **options, "secrets": {}, "update_secrets": False}, Context()
        )

    first = [apply(entry) for entry in objects]
    assert [result["msg"] for result in first if result.get("failed")] == []
    semaphore.calls.clear()
    # A quarter of them is enough for the same code; the role applies them all.
    assert [apply(entry)["changed"] for entry in objects[::4]] == [False] * len(objects[::4])
    assert semaphore.changes == []


def test_each_job_has_both_forms_in_each_environment_and_names_a_file_that_is_there() -> None:
    wanted = {
        semaphore.template_name(job.name, where, form)
        for job in jobs(Project(ROOT))
        for where in semaphore.ENVIRONMENTS
        for form in semaphore.FORMS
        if job.name not in semaphore.WITHOUT[where]
    }
    assert sorted(entry["name"] for entry in TEMPLATES) == sorted(wanted)
    assert [entry["playbook"] for entry in TEMPLATES if not (ROOT / entry["playbook"]).is_file()] == []
    for entry in TEMPLATES:
        assert ("--check" in json.loads(entry["arguments"])) == entry["name"].endswith(" (plan)")


def test_nothing_of_a_template_in_production_can_be_overridden() -> None:
    production = [entry for entry in TEMPLATES if entry["inventory"] == "production"]
    assert production
    for entry in production:
        params = entry["task_params"]
        assert params["limit"]
        assert [name for name, value in {**params, **entry}.items() if name.startswith("allow_") and value] == []


def test_where_a_plan_has_to_be_approved_the_run_asks_for_its_digest() -> None:
    asks = {entry["name"] for entry in TEMPLATES if semaphore.APPROVE in {ask["name"] for ask in entry["survey_vars"]}}
    assert asks == {
        semaphore.template_name(job.name, "production", "run")
        for job in jobs(Project(ROOT))
        if job.needs_approval
        if job.name not in semaphore.WITHOUT["production"]
    }


def test_objects_come_after_those_that_they_refer_to() -> None:
    known: set[tuple[str, str]] = set()
    for entry in DEFINED:
        kind, definition = KINDS[entry["kind"]], entry["definition"]
        for name, (_key, other) in kind.references.items():
            assert definition.get(name) is None or (other, definition[name]) in known
        known.add((entry["kind"], definition[kind.title]))
    assert len(known) == len(DEFINED), "each is found by its name"


def test_a_schedule_answers_what_its_template_asks_for() -> None:
    surveys = {entry["name"]: {ask["name"]: ask for ask in entry["survey_vars"]} for entry in TEMPLATES}
    scheduled = [entry["definition"] for entry in DEFINED if entry["kind"] == "schedule"]
    assert {"backup on production", "readiness on production", "restore_check on production"} <= {
        entry["name"] for entry in scheduled
    }
    for entry in scheduled:
        answers = json.loads(entry["task_params"].get("environment", "{}"))
        asked = surveys[entry["template"]]
        assert set(answers) <= set(asked)
        assert {name for name, ask in asked.items() if ask["required"]} <= set(answers)
        for name, value in answers.items():
            assert not asked[name]["values"] or value in [choice["value"] for choice in asked[name]["values"]]


def an_input(type_: str, *, required: bool = False, choices: tuple[Any, ...] = ()) -> Input:
    return Input("thing_name", type_, "What it is.", required, None, choices)


@pytest.mark.parametrize(
    ("entry", "type_", "values"),
    [
        (an_input("str"), "", []),
        (an_input("path"), "", []),
        (an_input("float"), "", []),
        (an_input("int"), "int", []),
        (an_input("int", choices=(1, 2)), "enum", ["1", "2"]),
        (an_input("str", choices=("a", "b")), "enum", ["a", "b"]),
        (an_input("bool"), "enum", ["true", "false"]),
        (an_input("list", choices=("a", "b")), "select", ["a", "b"]),
    ],
)
def test_each_type_has_one_kind_of_question(entry: Input, type_: str, values: list[str]) -> None:
    asked = semaphore.survey_variable(entry)
    assert (asked["type"], [choice["value"] for choice in asked["values"]]) == (type_, values)


@pytest.mark.parametrize("type_", ["dict", "list", "raw"])
def test_what_no_survey_can_ask_for_is_an_error(type_: str) -> None:
    with pytest.raises(CommandError, match=f"thing_name is a {type_}, which no survey of Semaphore can ask for"):
        semaphore.survey_variable(an_input(type_))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that definitions are made from, to be changed."""
    for pattern in (
        "ansible.cfg",
        "runbooks/*.yml",
        "playbooks/*.yml",
        "roles/*/meta/*.yml",
        "roles/*/vars/causes.yml",
    ):
        for path in ROOT.glob(pattern):
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return tmp_path


def test_a_changed_argument_spec_changes_the_survey_and_makes_the_file_stale(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert semaphore.rendered(Project(copy)) == (ROOT / semaphore.PAGE).read_text()
    spec = copy / "roles/backup/meta/argument_specs.yml"
    changed = yaml.safe_load(spec.read_text())
    changed["argument_specs"]["main"]["options"]["backup_reason"] = {
        "description": "Why it is taken by hand.",
        "type": "str",
        "default": "",
    }
    spec.write_text(yaml.safe_dump(changed))

    text = semaphore.rendered(Project(copy))

    named = [entry["definition"] for entry in json.loads(text) if entry["kind"] == "template"]
    asks = {entry["name"] for entry in named if "backup_reason" in {ask["name"] for ask in entry["survey_vars"]}}
    assert asks == {semaphore.template_name("backup", w, f) for w in semaphore.ENVIRONMENTS for f in semaphore.FORMS}

    page = ROOT / semaphore.PAGE
    monkeypatch.setattr(docs, "pages", lambda _project: {page: text})
    monkeypatch.setattr("sys.argv", ["docs", "--check"])
    assert docs.main() == 1
    assert capsys.readouterr().err == f"{page} is stale: run `make docs` and commit the result.\n"
