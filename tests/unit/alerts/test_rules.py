"""What stands between the receiver and a run: the filter, the rulebooks, the playbook, and the input of the role."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import ansible_rulebook
import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._alert import FIELDS, read_alert
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from jsonschema import Draft7Validator

from daily_emr_runbooks.inputs import WORD
from tests.unit.alerts.conftest import PROJECT

COLLECTION = PROJECT.root / "collections/ansible_collections/daily_emr/ops"
EXTENSION = COLLECTION / "extensions/eda"
RULEBOOKS = sorted((EXTENSION / "rulebooks").glob("*.yml"))
plain_words = runpy.run_path(str(EXTENSION / "plugins/event_filter/plain_words.py"))["main"]
WORDS = {
    "runbook": "app_outage",
    "component": "emr-web",
    "environment": "production",
    "incident": "INC-20261122-013000-9f3a1b2c",
    "file": "/var/lib/daily-emr/runs/INC-1/alert.json",
}
ALERT = {
    "source": "cloudwatch",
    "name": "no-healthy-targets",
    "component": "emr-web",
    "reference": "arn:aws:cloudwatch:af-south-1:123456789012:alarm:daily-emr-staging-no-healthy-targets",
    "started_at": "2026-11-22T01:30:00+00:00",
    "received_at": "2026-11-22T01:30:02.123Z",
}


def test_the_filter_lets_the_five_words_in_and_nothing_else() -> None:
    event = {"alert": {**WORDS, "summary": "{{ 1 }}"}, "payload": "{{ 1 }}", "meta": {"hosts": "all", "limit": "all"}}
    assert plain_words(event) == {"alert": WORDS}


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize(
    "value", ["{{ 1 }}", "a b", "", "é", "x\n", "-x", "*", "!x", "a,b", None, 1, ["app"], {"a": 1}]
)
def test_the_filter_drops_an_event_with_anything_else_than_plain_words(name: str, value: Any) -> None:
    assert plain_words({"alert": {**WORDS, name: value}}) == []


@pytest.mark.parametrize("component", ["all", "ungrouped", "localhost"])
def test_the_filter_knows_no_hosts_but_components(component: str) -> None:
    assert plain_words({"alert": {**WORDS, "component": component}}) == []


@pytest.mark.parametrize("event", [{}, {"alert": None}, {"alert": []}, {"alert": {}}])
def test_the_filter_drops_an_event_that_is_no_alert(event: dict[str, Any]) -> None:
    assert plain_words(event) == []


def test_the_command_takes_every_word_that_the_filter_lets_through() -> None:
    assert all(WORD.fullmatch(word.lstrip("/")) for word in WORDS.values())


@pytest.mark.parametrize("path", RULEBOOKS, ids=lambda path: path.stem)
def test_a_rulebook_has_the_form_of_one_and_starts_nothing_but_a_plan_or_an_approval(path: Path) -> None:
    rulebook = yaml.safe_load(path.read_text())
    schema = Path(ansible_rulebook.__file__).parent / "schema/ruleset_schema.json"
    assert list(Draft7Validator(json.loads(schema.read_text())).iter_errors(rulebook)) == []
    (ruleset,) = rulebook
    (source,) = ruleset["sources"]
    assert "host" not in source["daily_emr.ops.alerts"], "on loopback"
    assert source["filters"] == [{"daily_emr.ops.plain_words": None}]
    (rule,) = ruleset["rules"]
    assert rule["throttle"]["group_by_attributes"] == ["event.alert.runbook", "event.alert.component"]
    ((action, asked),) = rule["action"].items()
    if action == "run_playbook":
        assert asked["name"] == "daily_emr.ops.plan"
    else:
        assert (action, asked["include_events"]) == ("run_workflow_template", False)
        assert asked["job_args"]["limit"] == "{{ event.alert.component }}"


def test_the_playbook_of_the_rulebooks_plans_and_never_looks_at_the_event() -> None:
    text = (COLLECTION / "playbooks/plan.yml").read_text()
    ((play,), (task,)) = (yaml.safe_load(text), yaml.safe_load(text)[0]["tasks"])
    assert play["hosts"] == "localhost"
    assert task["ansible.builtin.command"]["argv"][:2] == ["runbook", "plan"]
    assert "ansible_eda" not in text


def test_the_fields_of_an_alert_get_into_the_record_and_its_text_does_not() -> None:
    assert read_alert(json.dumps({**ALERT, "text": "{{ 1 }}", "more": 1}), "emr-web") == ALERT


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", ["{{ 1 }}", "x\ny", "\x1b[2J", "x" * 600, None, 1, ["x"]])
def test_a_field_that_is_not_plain_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(Refused, match=rf"^The {name} of the alert is missing or not plain"):
        read_alert(json.dumps({**ALERT, name: value}), "emr-web")


@pytest.mark.parametrize("text", ["x", "[]", "null", "[" * 5000, json.dumps({**ALERT, "text": "x" * 9000})])
def test_a_file_that_holds_no_alert_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="holds no alert"):
        read_alert(text, "emr-web")


def test_an_alert_of_another_component_is_refused() -> None:
    with pytest.raises(Refused, match="about another component than emr-db: correct --limit"):
        read_alert(json.dumps(ALERT), "emr-db")
