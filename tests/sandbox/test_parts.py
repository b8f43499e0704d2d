"""Which parts a sandbox has."""

from __future__ import annotations

from pathlib import Path

import pytest
from daily_emr_sandbox.client import Sandbox, SandboxError
from daily_emr_sandbox.settings import PARTS, Settings, chosen_parts, parts_from


def test_a_sandbox_has_everything_unless_told_otherwise_but_a_second_region(tmp_path: Path) -> None:
    usual = set(PARTS) - {"region"}
    assert Settings(tmp_path, "127.83.14").parts == usual
    assert chosen_parts(None) == usual
    assert parts_from("region") == {"region"}


def test_core_is_nothing_of_what_is_optional() -> None:
    assert parts_from("core") == chosen_parts(()) == frozenset()


def test_a_part_brings_what_it_needs() -> None:
    assert parts_from("claims") == {"claims", "queues"}
    assert parts_from("queues, telehealth") == {"queues", "telehealth"}


@pytest.mark.parametrize("text", ["queue", "", "queues,,claims", "core,queues"])
def test_another_name_is_refused_with_those_that_exist(text: str) -> None:
    with pytest.raises(ValueError, match="use queues, claims, telehealth, people, region, or core"):
        parts_from(text)


def test_a_running_sandbox_without_a_part_does_not_pass_for_one_with_it(sandbox: Sandbox) -> None:
    assert sandbox.description["parts"] == []
    assert sandbox.up(parts=())["running"] is True
    with pytest.raises(SandboxError, match="runs without queues: take it down first"):
        sandbox.up(parts=("queues",))
