"""What may come in: by type, by alphabet, never as a template."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from daily_emr_runbooks.errors import CommandError
from daily_emr_runbooks.inputs import check_break_glass, check_inputs, check_limit
from daily_emr_runbooks.runbooks import Input

if TYPE_CHECKING:
    from pathlib import Path


def declared(name: str, type_: str = "str", *, required: bool = False, choices: tuple[object, ...] = ()) -> Input:
    return Input(name, type_, "", required, None, choices)


SPEC = [
    declared("release"),
    declared("passes", "int"),
    declared("ratio", "float"),
    declared("dry", "bool"),
    declared("mode", choices=("fast", "slow")),
    declared("thresholds", "dict"),
    declared("alert_file", "path"),
]

HOSTILE = [
    "",
    " ",
    "{{ lookup('pipe', 'id') }}",
    "{% if 1 %}x{% endif %}",
    "a{{b",
    "x\n- y",
    "x\ny",
    "x\n",
    "x\x00",
    "x\x1b[2J",
    "-rf",
    "--limit=all",
    "@/etc/passwd",
    "!unsafe",
    "a b",
    "a;b",
    "a$b",
    "a`b",
    "a|b",
    "a'b",
    'a"b',
    "a\\b",
    "{}",
    "[1]",
    "a,b",
    "a=b",
    "a\u202eb",
    "\u0430",
    "\u0663",
    "a" * 256,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_word_outside_of_the_alphabet_is_refused_in_one_printable_sentence(text: str) -> None:
    with pytest.raises(CommandError) as refused:
        check_inputs([f"release={text}"], SPEC)

    assert refused.value.sentence.isprintable()
    assert refused.value.sentence.startswith("The value ")


@pytest.mark.parametrize("text", ["2026.47.1", "arn:aws:ecs:af-south-1:123456789012:x/y", "a" * 255, "sha256:ab@c"])
def test_a_word_of_the_alphabet_passes_unchanged(text: str) -> None:
    assert check_inputs([f"release={text}"], SPEC) == {"release": text}


@pytest.mark.parametrize(
    ("word", "value"),
    [("passes=20", 20), ("passes=-1", -1), ("ratio=0.05", 0.05), ("dry=yes", True), ("mode=fast", "fast")],
)
def test_a_value_gets_the_type_of_its_spec(word: str, value: object) -> None:
    assert list(check_inputs([word], SPEC).values()) == [value]


@pytest.mark.parametrize(
    "word",
    [
        "passes=1.5",
        "passes=0x1f",
        "passes=\u0661",
        "passes=1e3",
        "ratio=nan",
        "ratio=inf",
        "dry=maybe",
        "mode=other",
        "thresholds={}",
    ],
)
def test_a_value_of_another_type_is_refused(word: str) -> None:
    with pytest.raises(CommandError):
        check_inputs([word], SPEC)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["releas=1"], "Did you mean release?"),
        (["ansible_python_interpreter=x"], "There is no input 'ansible_python_interpreter'"),
        (["__ansible_unsafe=x"], "There is no input"),
        (["release"], "has no value"),
        (["release=a", "release=b"], "given twice"),
    ],
)
def test_a_name_that_nobody_declared_is_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence.replace("?", r"\?")):
        check_inputs(words, SPEC)


def test_a_required_input_is_asked_for() -> None:
    with pytest.raises(CommandError, match="needs release"):
        check_inputs([], [declared("release", required=True)])


def test_free_text_travels_as_the_path_of_a_file(tmp_path: Path) -> None:
    alert = tmp_path / "alert.json"
    alert.write_text("{{ anything }}")

    assert check_inputs([f"alert_file={alert}"], SPEC) == {"alert_file": str(alert)}
    for path in (tmp_path / "gone.json", tmp_path, f"{tmp_path}/x/../alert.json"):
        with pytest.raises(CommandError):
            check_inputs([f"alert_file={path}"], SPEC)


def test_a_limit_names_components_of_the_group() -> None:
    assert check_limit(None, ["a", "b"], "web", "staging") == ["a", "b"]
    assert check_limit("b", ["a", "b"], "web", "staging") == ["b"]


@pytest.mark.parametrize("limit", ["", "all", "*", "a,", "!a", "a:&b", "nosuch", "@file"])
def test_a_limit_is_never_a_pattern_and_never_nobody(limit: str) -> None:
    with pytest.raises(CommandError, match="is no component of web"):
        check_limit(limit, ["a", "b"], "web", "staging")


def test_an_empty_group_is_refused() -> None:
    with pytest.raises(CommandError, match="has no components"):
        check_limit(None, [], "web", "staging")


def test_rules_to_lift_are_words_with_a_reason() -> None:
    assert check_break_glass([]) == {}
    assert check_break_glass(["freeze/night:OPS-7"]) == {"break_glass": ["freeze/night:OPS-7"]}
    for text in ("approvals", "approvals:{{ 7 }}", "x:\x1b[31m", "x:" + "a" * 300):
        with pytest.raises(CommandError, match="write RULE:REASON"):
            check_break_glass([text])
