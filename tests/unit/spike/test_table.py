"""The decision table of error_spike and the observations belong together: no dead row, no unknown word."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._decision import Status, decide
from jinja2.nativetypes import NativeEnvironment

from tests.unit.spike.readings import healthy
from tests.unit.spike.test_findings import look

ROOT = Path(__file__).resolve().parents[3]
TABLE = yaml.safe_load((ROOT / "roles/error_spike/vars/causes.yml").read_text())["error_spike_causes"]
NAMES = sorted(item["name"] for item in look(healthy()).observations)


def observed(*findings: str) -> list[dict[str, Any]]:
    return [{"name": name, "status": Status.FINDING if name in findings else Status.OK} for name in NAMES]


def test_the_table_uses_no_word_that_nobody_observes() -> None:
    words = set()
    for row in TABLE:
        for entry in [*row["supported_by"], *row["contradicted_by"]]:
            words |= {entry} if isinstance(entry, str) else set(entry)
    assert words <= set(NAMES)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["cause"])
def test_every_row_is_reached_by_its_own_support(row: dict[str, Any]) -> None:
    groups = [[entry] if isinstance(entry, str) else entry for entry in row["supported_by"]]
    causes = {decide(TABLE, observed(*findings), False).cause for findings in itertools.product(*groups)}
    assert row["cause"] in causes


@pytest.mark.parametrize(
    ("findings", "cause"),
    [
        (("unexplained", "deployment_near_onset"), "release_everywhere"),
        (("unexplained", "deployment_near_onset", "flag_near_onset"), "flag_suspected"),
        (("unexplained", "flag_near_onset"), "flag_suspected"),
        (("unexplained", "flag_near_onset", "load_up"), "overload"),
    ],
)
def test_no_release_is_rolled_back_where_a_flag_was_changed_as_well(findings: tuple[str, ...], cause: str) -> None:
    """Both are near and nothing tells them apart: a person is told which two, and nothing is done."""
    assert decide(TABLE, observed(*findings), False).cause == cause


@pytest.mark.parametrize(
    ("subjects", "given"),
    [
        ({"bad_release": "2026.48.0", "bad_revision": "web:3"}, "web:3"),
        ({"bad_release": "2026.48.0", "bad_revision": None}, ""),
        ({"bad_release": "2026.48.0"}, ""),
        ({"bad_release": None, "bad_revision": None}, "not given"),
        ({}, "not given"),
    ],
)
def test_where_a_release_is_bad_only_its_own_deployment_is_stopped(subjects: dict[str, Any], given: str) -> None:
    (step, _wait) = yaml.safe_load((ROOT / "roles/error_spike/tasks/mitigations/stop_deployment.yml").read_text())
    bad = NativeEnvironment().from_string(step["daily_emr.ops.ecs_service_deployment"]["bad_revision"])
    assert (bad.render(error_spike_health={"subjects": subjects}, omit="not given") or "") == given
