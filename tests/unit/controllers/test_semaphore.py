"""One object of Semaphore at a time: what is sent, what is not, and what is said when it goes wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.modules import semaphore_object, semaphore_project, semaphore_task
from jsonschema import Draft4Validator

from .semaphore_server import TOKEN, Fault, Server, faults_of

RECORDED = yaml.safe_load(Path(__file__).with_name("semaphore_recorded.yml").read_text())["definitions"]
# What releases after the recorded document added, or what it left out (db/*.go).
NEWER = {
    "AccessKeyRequest": {"id", "override_secret"},
    "EnvironmentRequest": {"id", "secrets"},
    "InventoryRequest": {"id"},
    "ProjectRequest": {"id"},
    "RepositoryRequest": {"id"},
    "ScheduleRequest": {"type", "task_params"},
    "TemplateRequest": {"id", "type", "environment_ids", "task_params", "allow_parallel_tasks", "autorun"}
    | {"allow_override_branch_in_task", "runner_tag", "executor_image"},
    "ViewRequest": {"id"},
}
REQUEST_OF = {
    "keys": "AccessKeyRequest",
    "environment": "EnvironmentRequest",
    "inventory": "InventoryRequest",
    "repositories": "RepositoryRequest",
    "schedules": "ScheduleRequest",
    "templates": "TemplateRequest",
    "views": "ViewRequest",
}
PROJECT = {"name": "Daily EMR", "alert": True, "max_parallel_tasks": 4}
OBJECTS: list[dict[str, Any]] = [
    {"kind": "key", "definition": {"name": "None", "type": "none"}},
    {"kind": "environment", "definition": {"name": "staging", "json": {}, "env": {"A": "b"}}},
    {
        "kind": "repository",
        "definition": {"name": "runbooks", "git_url": "https://x", "git_branch": "main", "ssh_key": "None"},
    },
    {
        "kind": "inventory",
        "definition": {
            "name": "staging",
            "type": "file",
            "inventory": "inventories/staging/hosts.yml",
            "ssh_key": "None",
        },
    },
    {"kind": "view", "definition": {"title": "staging runbooks", "position": 1}},
    {
        "kind": "template",
        "definition": {
            "name": "app_outage on staging",
            "description": "The application is down.",
            "app": "ansible",
            "type": "",
            "playbook": "runbooks/app_outage.yml",
            "arguments": '["--diff"]',
            "inventory": "staging",
            "repository": "runbooks",
            "environment": "staging",
            "view": "staging runbooks",
            "survey_vars": [
                {
                    "name": "incident_id",
                    "title": "Incident",
                    "description": "",
                    "required": True,
                    "type": "",
                    "values": [],
                },
                {
                    "name": "state",
                    "title": "State",
                    "description": "",
                    "required": False,
                    "type": "enum",
                    "values": [{"name": word, "value": word} for word in ("true", "false")],
                },
            ],
            "task_params": {
                "limit": ["web"],
                "tags": [],
                "skip_tags": [],
                "allow_debug": False,
                "allow_override_inventory": False,
                "allow_override_limit": False,
                "allow_override_tags": False,
                "allow_override_skip_tags": False,
            },
            "allow_override_args_in_task": False,
            "git_branch": None,
            "vaults": [],
        },
    },
    {
        "kind": "schedule",
        "definition": {
            "name": "nightly",
            "template": "app_outage on staging",
            "type": "",
            "cron_format": "0 22 * * *",
            "active": True,
            "task_params": {"environment": '{"incident_id": "INC-1"}'},
        },
    },
]
KINDS = [entry["kind"] for entry in OBJECTS]


def do(module: Any, server: Server, *, check: bool = False, **options: Any) -> dict[str, Any]:
    """Run a module as the action plugin does it."""
    checked = ArgumentSpecValidator(module.ENTRY.argument_spec).validate({"url": server.url, **options})
    assert not checked.error_messages
    server.calls.clear()
    return perform("semaphore", module.ENTRY, checked.validated_parameters, Context(check_mode=check))


def apply(server: Server, entry: dict[str, Any], *, check: bool = False, **options: Any) -> dict[str, Any]:
    return do(semaphore_object, server, check=check, project=PROJECT["name"], **{**entry, **options})


def project(server: Server, objects: list[dict[str, Any]] | None = None, *, check: bool = False) -> dict[str, Any]:
    return do(semaphore_project, server, check=check, settings=PROJECT, objects=objects or [])


@pytest.fixture
def made(semaphore: Server) -> Server:
    """A server with one object of each kind, each made by a request of its own."""
    assert project(semaphore)["changed"]
    for entry in OBJECTS:
        result = apply(semaphore, entry)
        assert result["changed"], result
        assert [call.method for call in semaphore.changes] == ["POST"]
    return semaphore


def entry_of(kind: str, **changes: Any) -> dict[str, Any]:
    (found,) = [entry for entry in OBJECTS if entry["kind"] == kind]
    return {"kind": kind, "definition": {**found["definition"], **changes}}


def test_each_kind_goes_check_apply_check_apply(semaphore: Server) -> None:
    project(semaphore)
    for entry in OBJECTS:
        planned = apply(semaphore, entry, check=True)
        assert planned["changed"]
        assert semaphore.changes == []

        applied = apply(semaphore, entry)
        assert applied["diff"] == planned["diff"]
        assert [call.method for call in semaphore.changes] == ["POST"]

        for check in (True, False):
            again = apply(semaphore, entry, check=check)
            assert (again["changed"], semaphore.changes) == (False, [])


def test_what_is_sent_fits_the_recorded_api_document_too(semaphore: Server) -> None:
    sent = []
    for _round in (1, 2):
        project(semaphore)
        sent += semaphore.changes
        for entry in OBJECTS:
            apply(semaphore, entry)
            sent += semaphore.changes
        for kinds in semaphore.objects.values():
            for kept in kinds.values():
                for stored in kept.values():  # as if somebody had changed each by hand
                    stored.update({"type": "other", "position": 9, "cron_format": "1 1 1 1 1", "env": '{"x": "y"}'})
                    stored.update({"git_branch": "other", "inventory": "x"})
    assert {call.method for call in sent} == {"POST", "PUT"}
    for call in sent:
        name = REQUEST_OF.get(call.path.split("/")[4] if call.path.count("/") > 3 else "", "")
        if name:
            tightened = {**RECORDED[name], "additionalProperties": False, "definitions": RECORDED}
            old = {key: value for key, value in call.body.items() if key not in NEWER[name]}
            assert list(Draft4Validator(tightened).iter_errors(old)) == []


@pytest.mark.parametrize(
    ("kind", "by_hand", "field"),
    [
        ("environment", {"env": "{}"}, "env"),
        ("environment", {"env": "broken"}, "env"),
        ("repository", {"git_branch": "somebody-elses"}, "git_branch"),
        ("inventory", {"inventory": "inventories/production/hosts.yml"}, "inventory"),
        ("view", {"position": 7}, "position"),
        ("template", {"playbook": "playbooks/teardown.yml"}, "playbook"),
        ("template", {"arguments": '["--tags", "none"]'}, "arguments"),
        ("template", {"allow_override_args_in_task": True}, "allow_override_args_in_task"),
        ("template", {"git_branch": "somebody-elses"}, "git_branch"),
        ("template", {"task_params": {"limit": ["web"], "allow_override_limit": True}}, "task_params"),
        ("template", {"survey_vars": []}, "survey_vars"),
        ("schedule", {"active": False}, "active"),
        ("schedule", {"task_params": {"environment": "{}"}}, "task_params"),
    ],
)
def test_what_somebody_changed_by_hand_is_shown_and_brought_back(
    made: Server, kind: str, by_hand: dict[str, Any], field: str
) -> None:
    title = "title" if kind == "view" else "name"
    stored = made.named(kind, entry_of(kind)["definition"][title])
    as_it_was = dict(stored)
    stored.update(by_hand)

    planned = apply(made, entry_of(kind), check=True)
    assert list(planned["diff"]["before"]) == list(planned["diff"]["after"]) == [field]
    assert made.changes == []

    assert apply(made, entry_of(kind))["changed"]
    assert [call.method for call in made.changes] == ["PUT"]
    assert {key: value for key, value in made.named(kind, stored.get(title)).items() if value} == {
        key: value for key, value in as_it_was.items() if value
    }


def test_a_second_variable_group_of_a_template_is_a_difference(made: Server) -> None:
    template = made.named("template", "app_outage on staging")
    template["environment_ids"] = [*template["environment_ids"], 999]

    assert list(apply(made, entry_of("template"), check=True)["diff"]["after"]) == ["environment"]


def test_what_a_person_added_to_a_template_stays(made: Server) -> None:
    made.named("template", "app_outage on staging").update(runner_tag="inside", playbook="playbooks/backup.yml")

    apply(made, entry_of("template"))

    assert made.named("template", "app_outage on staging")["runner_tag"] == "inside"


def test_an_object_that_refers_to_what_is_not_there_is_not_made(made: Server) -> None:
    result = apply(made, entry_of("template", name="other", inventory="nowhere"))

    assert result["msg"] == "The project has no inventory nowhere, which the template other needs."
    assert made.changes == []


def test_of_two_objects_of_one_name_none_is_changed(made: Server) -> None:
    templates = made.objects[1]["template"]
    templates[999] = {**made.named("template", "app_outage on staging"), "id": 999}

    result = apply(made, entry_of("template", playbook="runbooks/error_spike.yml"))

    assert result["msg"].startswith("2 templates are named app_outage on staging, and nobody can say which is meant")
    assert made.changes == []


SECRETS = {"LAUNCHDARKLY_ACCESS_TOKEN": "STAGING_TOKEN", "NOT_SET": "NOT_SET_HERE"}


def test_secrets_are_sent_once_never_shown_and_again_only_when_asked(
    made: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGING_TOKEN", "the-value")
    results = [apply(made, entry_of("environment"), secrets=SECRETS)]
    assert made.changes[0].body["secrets"] == [
        {"name": "LAUNCHDARKLY_ACCESS_TOKEN", "secret": "the-value", "type": "env", "operation": "create"}
    ]
    results.append(apply(made, entry_of("environment"), secrets=SECRETS))
    assert made.changes == []
    results.append(apply(made, entry_of("environment"), secrets=SECRETS, update_secrets=True))
    (entry,) = made.changes[0].body["secrets"]
    assert (entry["operation"], entry["secret"]) == ("update", "the-value")
    assert [result["changed"] for result in results] == [True, False, True]
    assert results[0]["diff"]["after"] == {"secrets": ["LAUNCHDARKLY_ACCESS_TOKEN (not shown)"]}
    assert "the-value" not in json.dumps(results)
    assert TOKEN not in json.dumps(results)


@pytest.mark.parametrize(
    ("type_", "secrets", "field"),
    [
        ("login_password", {"login": "A_LOGIN", "password": "A_SECRET"}, "login_password"),
        ("ssh", {"login": "A_LOGIN", "private_key": "A_SECRET"}, "ssh"),
    ],
)
def test_a_key_gets_its_secret_when_it_is_made_and_when_its_type_changes(
    made: Server, monkeypatch: pytest.MonkeyPatch, type_: str, secrets: dict[str, str], field: str
) -> None:
    monkeypatch.setenv("A_LOGIN", "reader")
    monkeypatch.setenv("A_SECRET", "the-value")
    name, value = list(secrets)[1], "the-value"

    for key, old in (("fresh", False), ("None", True)):
        apply(made, entry_of("key", name=key, type=type_), secrets=secrets)
        assert made.changes[0].body[field] == {"login": "reader", name: value}
        assert made.changes[0].body["override_secret"] is old
        assert apply(made, entry_of("key", name=key, type=type_), secrets=secrets)["changed"] is False


@pytest.mark.parametrize("name", ["fresh", "None"])
def test_a_key_without_a_secret_to_send_is_refused(made: Server, name: str) -> None:
    result = apply(made, entry_of("key", name=name, type="ssh"), secrets={"private_key": "NOT_SET_HERE"})

    assert result["msg"] == (
        f"The key {name} has no private_key: set the environment variable that holds it where Ansible runs."
    )
    assert made.changes == []


def test_a_key_that_holds_nothing_is_sent_nothing(made: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "the-value")

    assert not apply(made, entry_of("key"), secrets={"password": "A_SECRET"}, update_secrets=True)["changed"]


def test_a_new_project_is_one_restore_document_and_everything_in_it_is_found_again(semaphore: Server) -> None:
    planned = project(semaphore, OBJECTS, check=True)
    assert (planned["changed"], semaphore.changes) == (True, [])

    assert project(semaphore, OBJECTS)["changed"]
    (call,) = semaphore.changes
    assert call.path == "/api/projects/restore"
    assert faults_of("restore", call.body) == []
    assert project(semaphore, OBJECTS)["changed"] is False

    differ = {entry["kind"]: list(apply(semaphore, entry, check=True)["diff"]["after"]) for entry in OBJECTS}
    assert {kind: fields for kind, fields in differ.items() if fields} == {
        "template": ["task_params"],
        "schedule": ["active", "task_params"],
    }


def test_the_settings_of_a_project_are_brought_back(semaphore: Server) -> None:
    project(semaphore)
    semaphore.projects[1]["max_parallel_tasks"] = 0

    assert project(semaphore, check=True)["diff"] == {
        "before": {"max_parallel_tasks": None},
        "after": {"max_parallel_tasks": 4},
    }
    assert semaphore.changes == []
    project(semaphore)
    assert semaphore.projects[1] == {**PROJECT, "id": 1}


def test_without_its_project_an_object_is_only_planned(semaphore: Server) -> None:
    assert apply(semaphore, OBJECTS[0], check=True)["msg"] == "The key None would be made with its project."
    refused = apply(semaphore, OBJECTS[0])
    assert refused["refused"]
    assert refused["msg"].endswith("has no project Daily EMR: run the whole playbook, which makes it.")
    assert semaphore.changes == []


SAYS = {
    400: "Semaphore does not accept the values of the view staging runbooks (400)",
    401: "Semaphore does not accept the token (401)",
    403: "the user of the token may not do this (403)",
    404: "does not know the view staging runbooks (404)",
    409: "something else in the project is in the way of the view staging runbooks (409)",
    500: "failed (500)",
}


@pytest.mark.parametrize("status", SAYS)
def test_a_refusal_of_the_server_is_one_sentence_and_says_whether_something_was_done(made: Server, status: int) -> None:
    made.faults.append(Fault("PUT", "views", status))

    result = apply(made, entry_of("view", position=3))

    assert SAYS[status] in result["msg"]
    assert result["outcome"] == ("unknown" if status == 500 else "failed")
    assert result["msg"].startswith(
        "Nobody can say whether the view" if status == 500 else "The view staging runbooks was not changed: "
    )
    assert len(made.changes) == 1, "never sent again"
    assert result["msg"].count("\n") == 0
    assert TOKEN not in json.dumps(result)


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_reading_that_fails_changes_nothing(made: Server, status: int) -> None:
    made.faults.append(Fault("GET", "views$", status))

    result = apply(made, entry_of("view", position=3))

    assert result["msg"].startswith("Nothing was changed: ")
    assert (result["outcome"], made.changes) == ("failed", [])


def test_a_server_that_does_not_answer_a_reading_is_a_sentence(made: Server) -> None:
    made.faults.append(Fault("GET", "info", None))

    result = apply(made, entry_of("view", position=3), timeout_s=0.2)

    assert result["msg"].startswith("Nothing was changed: its version could not be read, because Semaphore at http")
    assert "did not answer in time" in result["msg"]


def test_an_answer_that_is_lost_is_never_sent_again_and_a_second_run_sees_that_it_was_done(made: Server) -> None:
    made.faults.append(Fault("PUT", "views", None, after=True))

    lost = apply(made, entry_of("view", position=3), timeout_s=0.5)

    assert lost["outcome"] == "unknown"
    assert lost["msg"].startswith("Nobody can say whether the view staging runbooks was changed, because Semaphore at ")
    assert len(made.changes) == 1
    assert apply(made, entry_of("view", position=3))["changed"] is False


def test_a_wrong_token_is_said_and_not_repeated(semaphore: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMAPHORE_API_TOKEN", "wrong-but-still-secret")

    result = project(semaphore)

    assert "does not accept the token (401)" in result["msg"]
    assert "wrong-but-still-secret" not in json.dumps(result)


@pytest.mark.parametrize("version", ["v2.15.9-abc", "2.9.3", "", "v1.99"])
def test_an_older_semaphore_is_refused(semaphore: Server, version: str) -> None:
    semaphore.version = version

    result = project(semaphore, OBJECTS)

    assert result["refused"]
    assert "2.16 or newer is needed" in result["msg"]
    assert semaphore.changes == []


def test_a_server_that_keeps_something_else_is_not_called_done(made: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: Callable[..., Any] = made._keep
    monkeypatch.setattr(made, "_keep", lambda *args: (kept(*args), made.objects[1]["view"].clear())[0])

    result = apply(made, entry_of("view", position=3))

    assert result["outcome"] == "unknown"
    assert result["msg"].startswith("Semaphore accepted the view staging runbooks, but keeps title, position otherwise")


@pytest.mark.parametrize("url", ["http://semaphore.example.org", "http://127.0.0.1.example.org", "ftp://127.0.0.2"])
def test_the_token_never_travels_readable(semaphore: Server, url: str) -> None:
    result = do(semaphore_project, semaphore, settings=PROJECT, url=url)

    assert result["refused"]
    assert result["msg"].startswith("The token would be readable on its way")


def test_nobody_listening_and_something_else_listening_are_sentences(semaphore: Server) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = do(semaphore_project, semaphore, settings=PROJECT, url=f"http://127.0.0.1:{unused.getsockname()[1]}")
    semaphore.faults.append(Fault("GET", "info", 200))
    other = project(semaphore)

    assert nobody["msg"].startswith("There is no connection to Semaphore at http://127.0.0.1:")
    assert other["msg"].endswith("answered about its version is not from Semaphore's API; check the address.")


def task(server: Server, *, check: bool = False, **options: Any) -> dict[str, Any]:
    return do(semaphore_task, server, check=check, project=PROJECT["name"], template="app_outage on staging", **options)


def test_a_task_is_started_with_its_answers_and_nothing_else(made: Server) -> None:
    answers = {"incident_id": "INC-1", "state": "true"}
    assert (task(made, check=True, answers=answers)["task"], made.tasks) == (0, [])

    started = task(made, answers=answers, reason="Alert 4711")

    (one,) = made.tasks
    assert started["task"] == one["id"]
    assert json.loads(one["environment"]) == answers
    assert one["message"] == "Alert 4711"
    assert set(one) == {"id", "template_id", "environment", "message"}


@pytest.mark.parametrize(("status", "after"), [(None, True), (None, False), (500, False), (502, True), (200, False)])
def test_whether_a_task_was_started_is_looked_up_before_it_is_started_again(
    made: Server, status: int | None, *, after: bool
) -> None:
    made.faults.append(Fault("POST", "tasks$", status, after=after))

    lost = task(made, answers={"incident_id": "INC-1"}, timeout_s=0.5)

    assert lost["outcome"] == "unknown"
    assert "look at the list of tasks of app_outage on staging first" in lost["msg"]
    assert "run again" not in lost["msg"]
    assert len(made.changes) == 1, "never sent again"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"limit": ["emr-web"]}, "does not allow another limit, and Semaphore would drop it and run on everything"),
        ({"answers": {}}, "needs incident_id"),
        ({"answers": {"incident_id": "{{ lookup('pipe', 'id') }}"}}, "incident_id contains template markers"),
        ({"answers": {"incident_id": "INC-1", "state": "perhaps"}}, "state must be one of true, false"),
        ({"answers": {"incident_id": "INC-1", "ansible_host": "x"}}, "asks for no 'ansible_host'"),
        ({"template": "nothing"}, "has no template nothing in Daily EMR"),
        ({"project": "nothing"}, "has no template app_outage on staging in nothing"),
    ],
)
def test_a_task_that_would_not_be_what_was_asked_for_is_refused(
    made: Server, options: dict[str, Any], says: str
) -> None:
    given = {"project": PROJECT["name"], "template": "app_outage on staging", "answers": {"incident_id": "INC-1"}}

    result = do(semaphore_task, made, **{**given, **options})

    assert result["refused"]
    assert says in result["msg"]
    assert made.changes == []


def test_where_a_template_allows_another_limit_it_is_passed_on(made: Server) -> None:
    made.named("template", "app_outage on staging")["task_params"]["allow_override_limit"] = True

    task(made, answers={"incident_id": "INC-1"}, limit=["emr-web"])

    assert made.tasks[0]["params"] == {"limit": ["emr-web"]}
