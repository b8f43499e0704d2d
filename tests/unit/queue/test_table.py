"""The decision table of queue_backlog and the observations belong together: no dead row, no unknown word."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._decision import Status, decide
from jinja2.nativetypes import NativeEnvironment

from tests.unit.queue.test_rules import NAMES

ROOT = Path(__file__).resolve().parents[3]
TABLE = yaml.safe_load((ROOT / "roles/queue_backlog/vars/causes.yml").read_text())["queue_backlog_causes"]


def observed(*findings: str, unknown: str = "") -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "status": Status.FINDING if name in findings else Status.UNKNOWN if name == unknown else Status.OK,
        }
        for name in NAMES
    ]


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
    assert causes <= {row["cause"], *EARLIER.get(row["cause"], ())}


# Rows that a part of the support of another reaches first, because it alone is a cause.
EARLIER = {"claims_api_down": {"paused_on_purpose"}}


SCALING = [row for row in TABLE if "scale_workers" in row["mitigations"]]


def test_workers_are_scaled_only_when_nothing_else_explains_the_backlog() -> None:
    (row,) = SCALING
    assert decide(TABLE, observed("backlog_deep"), False).mitigations == ["scale_workers"]
    for word in row["contradicted_by"]:
        assert "scale_workers" not in decide(TABLE, observed("backlog_deep", word), False).mitigations, word
        assert decide(TABLE, observed("backlog_deep", unknown=word), False).mitigations == [], word


@pytest.mark.parametrize(
    ("needed", "fitting", "asked"), [(5, 6, 5), (5, 3, 3), (None, 6, 2), (5, None, 0), (None, None, 0)]
)
def test_no_more_than_the_usual_workers_are_asked_for_when_nobody_knows_how_many_are_needed(
    needed: int | None, fitting: int | None, asked: int
) -> None:
    (step, _wait) = yaml.safe_load((ROOT / "roles/queue_backlog/tasks/mitigations/scale_workers.yml").read_text())
    at_least = NativeEnvironment().from_string(step["daily_emr.ops.queue_worker_count"]["at_least"])
    subjects = {"needed_workers": needed, "fitting_workers": fitting}
    queue = {"worker_expected": 2, "worker_maximum": 6}
    assert at_least.render(queue=queue, queue_backlog_health={"subjects": subjects}) == asked


def test_nothing_is_done_to_a_queue_whose_claims_api_is_down() -> None:
    for others in itertools.combinations(sorted(set(NAMES) - {"claims_api_failing", "redis_in_transition"}), 2):
        decision = decide(TABLE, observed("claims_api_failing", "backlog_deep", *others), False)
        assert decision.mitigations == [], (others, decision.cause)
    decision = decide(TABLE, observed("claims_api_failing", "backlog_deep"), False)
    assert "run runbooks/claims_api_outage.yml" in decision.hand_off


LIMITS = ("database_limit", "connections_short")


def test_nothing_is_scaled_resumed_or_lifted_while_the_database_is_at_its_limit() -> None:
    cases = itertools.product(LIMITS, itertools.combinations(sorted(set(NAMES) - {*LIMITS}), 2))
    for limit, others in cases:
        decision = decide(TABLE, observed(limit, "backlog_deep", *others), False)
        assert not set(decision.mitigations) & {"scale_workers", "resume", "lift_limit", "restore_workers", "redrive"}
    decision = decide(TABLE, observed("database_limit", "backlog_deep"), False)
    assert "run runbooks/database_failover.yml" in decision.hand_off


def test_a_queue_that_stands_on_purpose_is_not_resumed() -> None:
    assert decide(TABLE, observed("queue_paused"), False).mitigations == ["resume"]
    assert decide(TABLE, observed("queue_paused", "pause_intended"), False).mitigations == []
    assert decide(TABLE, observed("queue_paused", unknown="pause_intended"), False).mitigations == []


def test_claims_are_not_sent_again_by_this_runbook() -> None:
    assert decide(TABLE, observed("failed_jobs_left"), False).mitigations == ["redrive"]
    assert decide(TABLE, observed("failed_jobs_left", "redrive_elsewhere"), False).mitigations == []
