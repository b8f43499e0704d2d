"""Whatever is put into the queue of a worker loses the values that are kept."""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from ansible.executor.task_queue_manager import DisplaySend
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.plugin_utils import secrecy
from ansible_collections.daily_emr.ops.plugins.plugin_utils.secrecy import STARS, Outgoing, hand_out, refusal
from hypothesis import given
from hypothesis import strategies as st

CANARY = "Kanari-29481733'\"$x"


def outgoing(*values: str) -> tuple[Outgoing, list[Any]]:
    put: list[Any] = []
    made = Outgoing(put.append)
    for value in values:
        made.keep(value)
    return made, put


@dataclass(frozen=True)
class Event:
    msg: str
    chain: Event | None = None


WAYS = [
    lambda value: value,
    lambda value: f"before {value} after {value}",
    json.dumps,
    repr,
    shlex.quote,
    lambda value: shlex.quote(f"echo {shlex.quote(value)}"),
    lambda value: quote(value, safe=""),
    lambda value: base64.b64encode(value.encode()).decode(),
    lambda value: {"a": [{value: (value, 1)}]},
    lambda value: Event("said", Event(f"got: {value}")),
    lambda value: DisplaySend("display", value, color=value),
    lambda value: value.encode(),
]


@pytest.mark.parametrize("way", WAYS)
def test_a_value_is_cleaned_in_every_shape(way: Any) -> None:
    made, put = outgoing(CANARY)

    made(way(CANARY))

    text = repr(vars(put[0]) if isinstance(put[0], DisplaySend) else put[0])
    assert "29481733" not in text
    assert STARS in text


@given(
    st.recursive(
        st.text() | st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_holds_no_value_is_the_very_same_object(item: Any) -> None:
    made, put = outgoing("a value that no test makes by chance")

    made(item)

    assert put[0] is item


@given(st.text(min_size=8).filter(lambda text: "*" not in text), st.text())
def test_no_value_gets_through_in_plain(value: str, around: str) -> None:
    made, put = outgoing(value)

    made({"msg": f"{around}{value}{around}", value: [value]})

    assert value not in put[0]["msg"].replace(STARS, "\0")
    assert list(put[0].values())[-1] == [STARS]


def test_parts_of_a_value_are_values() -> None:
    made, put = outgoing("postgresql://emr:p%40ss-word-1@db/emr", json.dumps({"key": "first-key-1"}))

    made(["p%40ss-word-1", "p@ss-word-1", "first-key-1", "emr"])

    assert put[0] == [STARS, STARS, STARS, "emr"]


def task(**keywords: Any) -> Any:
    return SimpleNamespace(
        **{"no_log": True, "action": "ansible.builtin.uri", "async_val": 0, "environment": [], **keywords}
    )


def test_a_task_that_hides_what_it_does_gets_a_value() -> None:
    assert refusal(task()) == ""
    assert refusal(task(environment=[{"AWS_REGION": "af-south-1"}])) == ""


@pytest.mark.parametrize(
    "bad",
    [
        {"no_log": False},
        # What is not evaluated yet may turn out to be false.
        {"no_log": "{{ hide }}"},
        {"action": "set_fact"},
        {"action": "ansible.legacy.set_fact"},
        {"async_val": 5},
        {"environment": [{"KEY": "{{ x }}"}]},
    ],
)
def test_a_task_that_would_keep_or_show_it_gets_none(bad: dict[str, Any]) -> None:
    assert refusal(task(**bad)) != ""


def test_nothing_is_handed_out_outside_of_a_task_or_without_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="outside of a task"):
        hand_out("KEY", CANARY)
    monkeypatch.setattr(secrecy, "current_task", task)
    with pytest.raises(Refused, match="no queue that could be watched"):
        hand_out("KEY", CANARY)
    monkeypatch.setattr(secrecy, "TaskContext", None)
    assert refusal(None) != ""


def test_a_value_too_short_to_be_found_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = SimpleNamespace(put=lambda _item: None)
    monkeypatch.setattr(secrecy, "current_task", task)
    monkeypatch.setattr(secrecy, "Display", lambda: SimpleNamespace(_final_q=queue))

    with pytest.raises(Refused, match="shorter than 8"):
        hand_out("KEY", "1234567")
    assert hand_out("KEY", CANARY) == CANARY
    assert isinstance(queue.put, Outgoing)
