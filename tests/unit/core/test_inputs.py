"""What may come in by extra vars: declared names with plain values, and nothing that could be executed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._inputs import TEMPLATE, hostile, input_refusals
from hypothesis import given
from hypothesis import strategies as st

DECLARED: dict[str, dict[str, Any]] = {
    "incident_id": {"type": "str", "required": True},
    "incident_lease_seconds": {"type": "int", "default": 120},
    "app_outage_severity": {"type": "str", "choices": ["SEV1", "SEV2"]},
    "app_outage_thresholds": {"type": "dict", "options": {"error_ratio": {"type": "float", "required": True}}},
    "app_outage_secrets": {"type": "list", "elements": "str"},
}
HOSTILE = [
    "{{ lookup('pipe', 'id') }}",
    "x{{1}}",
    "{% for x in y %}",
    "{# a comment #}",
    "#jinja2: variable_start_string: '[['",
    "#JINJA2: x",
    "\x1b[31mred",
    "line\r\nSet-Cookie: x",
    "nul\x00byte",
    "bidi \u202e text",
    "\u2028",
    "\x9b31m",
    "y" * 5000,
]
PLAIN = [
    "INC-20261122-013000-9f3a",
    "it's down; rm -rf / $(id) `id`",
    "--option",
    "@/etc/passwd",
    "../../etc",
    "ugonjwa",
    "日本",
    "",
]


def refusals(**given_vars: Any) -> list[str]:
    return input_refusals(given_vars, DECLARED)


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_that_could_be_executed_or_mislead_is_refused_without_being_repeated(value: str) -> None:
    for wrapped in (value, [value], {"a": {"b": [value]}}):
        found = list(hostile(wrapped, "incident_id"))
        assert len(found) == 1
        assert value not in found[0]
    assert len(refusals(incident_id=value)) == 1


@pytest.mark.parametrize("value", HOSTILE)
def test_a_key_is_looked_at_like_a_value(value: str) -> None:
    found = list(hostile({value: 1}, "app_outage_thresholds"))

    assert len(found) == 1
    assert value not in found[0]


@pytest.mark.parametrize("value", PLAIN)
def test_a_plain_text_is_accepted_whatever_a_shell_would_make_of_it(value: str) -> None:
    assert refusals(incident_id=value) == []


@pytest.mark.parametrize(
    "name",
    ["ansible_python_interpreter", "ansible_connection", "ansible_check_mode", "__ansible_unsafe", "__ansible_type"],
)
def test_names_that_change_how_ansible_works_are_refused(name: str) -> None:
    assert "may not be passed as an extra var" in refusals(**{name: "x"})[0]


def test_markers_of_ansible_itself_are_refused_inside_a_value_too() -> None:
    assert len(refusals(app_outage_thresholds={"error_ratio": {"__ansible_type": "x"}})) == 1


@pytest.mark.parametrize("typo", ["incident_idd", "incidentid", "Incident_id", "app_outage_severty"])
def test_a_typo_is_refused_with_the_name_that_was_meant(typo: str) -> None:
    assert refusals(**{typo: "x"})[0].startswith(f"{typo} is not an input of this runbook: did you mean ")


@pytest.mark.parametrize("name", sorted(DECLARED))
@pytest.mark.parametrize("place", [0, 3, -1])
def test_every_one_letter_typo_of_every_input_is_refused(name: str, place: int) -> None:
    letters = list(name)
    letters[place] = "x"

    assert len(refusals(**{"".join(letters): 1})) == 1


def test_a_name_that_is_not_a_word_is_not_repeated() -> None:
    assert "evil" not in refusals(**{"{{ evil }}": "x"})[0]


@pytest.mark.parametrize(
    ("given_vars", "says"),
    [
        ({"incident_lease_seconds": "soon"}, "incident_lease_seconds must be of type int"),
        ({"incident_lease_seconds": [1]}, "incident_lease_seconds must be of type int"),
        ({"app_outage_severity": "SEV9"}, "app_outage_severity must be one of SEV1, SEV2"),
        ({"app_outage_thresholds": {"error_ration": 1}}, "app_outage_thresholds must be of type dict"),
        ({"app_outage_thresholds": {"error_ratio": "much"}}, "app_outage_thresholds must be of type dict"),
        ({"incident_id": {"a": "b"}}, "incident_id must be a text"),
    ],
)
def test_a_value_of_another_kind_than_declared_is_refused(given_vars: dict[str, Any], says: str) -> None:
    assert refusals(**given_vars) == [f"{says}: correct it."]


@pytest.mark.parametrize(
    "given_vars",
    [
        {"incident_lease_seconds": "300"},  # `-e name=value` makes every value a text
        {"incident_lease_seconds": 300},
        {"app_outage_severity": "SEV2"},
        {"app_outage_thresholds": {"error_ratio": 0.1}},
        {"app_outage_secrets": ["a", "b"]},
        {"awx_job_id": 7, "tower_user_name": "x", "semaphore_vars": {"task_details": {"id": 1}}},
        {},
    ],
)
def test_what_is_declared_or_added_by_a_controller_is_accepted(given_vars: dict[str, Any]) -> None:
    assert refusals(**given_vars) == []


@pytest.mark.parametrize("text", ["Escape {{ in the README", "{% raw %}", "a\r\nb", "x" * 5000])
def test_the_message_of_a_commit_stops_no_job(text: str) -> None:
    given_vars = {"semaphore_vars": {"task_details": {"message": text, "many": [text]}}, "awx_project_scm_branch": text}
    assert refusals(**given_vars) == []
    assert len(refusals(incident_id=text)) == 1, "an input is judged as before"
    assert len(refusals(semaphore_varz=text)) == 1


@pytest.mark.parametrize("name", ["semaphore_vars", "awx_job_id", "tower_job_id"])
@pytest.mark.parametrize(
    "value", [{"__ansible_unsafe": "x"}, {"a": [{"__ansible_vault": "x"}]}, {"{{ x }}": 1}, {1: {2: object()}}]
)
def test_what_a_controller_adds_is_still_looked_at(name: str, value: Any) -> None:
    assert len(refusals(**{name: value})) == 1


def test_every_fault_is_named_at_once() -> None:
    assert len(refusals(ansible_host="x", incident_idd="x", incident_id="{{ x }}", incident_lease_seconds="x")) == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_whatever_comes_in_there_is_an_answer_and_nothing_executable_passes(given_vars: dict[str, Any]) -> None:
    if not input_refusals(given_vars, DECLARED):
        assert not TEMPLATE.search(repr(given_vars))


def test_a_value_as_deep_as_a_well_is_refused() -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]

    assert "nested more than" in refusals(app_outage_secrets=deep)[0]
