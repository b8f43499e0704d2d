"""The decision table of claims_api_outage and the observations belong together: no dead row, no unknown word."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_findings import SYMPTOMS, observe
from ansible_collections.daily_emr.ops.plugins.module_utils._decision import Status, decide
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings

from tests.unit.claims.conftest import THRESHOLDS

ROOT = Path(__file__).resolve().parents[3]
TABLE = yaml.safe_load((ROOT / "roles/claims_api_outage/vars/causes.yml").read_text())["claims_api_outage_causes"]
NAMES = [
    item["name"] for item in observe(Readings(), {"component": "sha"}, THRESHOLDS, "2026-11-22T01:30:00Z").observations
]


def observed(*findings: str, unknown: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "status": Status.FINDING if name in findings else Status.UNKNOWN if name in unknown else Status.OK,
        }
        for name in NAMES
    ]


def test_every_observation_is_unknown_when_nothing_was_read() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert set(SYMPTOMS) <= set(NAMES)


def test_the_table_uses_no_word_that_nobody_observes() -> None:
    words = set()
    for row in TABLE:
        for entry in [*row["supported_by"], *row["contradicted_by"]]:
            words |= {entry} if isinstance(entry, str) else set(entry)
    assert words <= set(NAMES)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["cause"])
def test_every_row_is_reached(row: dict[str, Any]) -> None:
    groups = [[entry] if isinstance(entry, str) else entry for entry in row["supported_by"]]
    more = {"held": ("submissions_slow",)}.get(row["cause"], ())
    causes = {decide(TABLE, observed(*findings, *more), False).cause for findings in itertools.product(*groups)}
    assert causes == {row["cause"]}


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_no_symptom_is_left_without_a_word(symptom: str) -> None:
    assert decide(TABLE, observed(symptom), False).cause


AGAINST = ("rejected_last", *(name for name in SYMPTOMS if name.startswith(("api", "submissions", "unknown"))))


@pytest.mark.parametrize("bad", AGAINST)
def test_claims_are_sent_again_only_when_nothing_speaks_against_it(bad: str) -> None:
    assert decide(TABLE, observed("claims_held"), False).mitigations == ["redrive"]
    assert "redrive" not in decide(TABLE, observed("claims_held", bad), False).mitigations
    assert "redrive" not in decide(TABLE, observed("claims_held", unknown=(bad,)), False).mitigations


def test_nothing_is_sent_again_while_an_outcome_is_unknown() -> None:
    sending = [row for row in TABLE if {"redrive", "send_rest"} & set(row["mitigations"])]
    assert [row["cause"] for row in sending] == ["payer_back", "put_off_left"]
    for row in sending:
        assert {"unknown_outcomes", "api_down", "submissions_rejected"} <= set(row["contradicted_by"])


def test_a_refused_key_is_mended_while_claims_are_held_too() -> None:
    decision = decide(TABLE, observed("claims_held", "credentials_refused", "unknown_outcomes"), False)
    assert (decision.cause, decision.mitigations) == ("broken_credentials", ["promote_key"])


def test_claims_that_are_held_through_an_outage_stay_held_though_nobody_can_say_whether_the_key_is_good() -> None:
    """An unknown in what rules a row out would make it no answer, and a person would have to decide."""
    behind = ("credentials_refused", "throttled_here", "read_slow", "clock_skewed")
    decision = decide(TABLE, observed("claims_held", "api_down", unknown=behind), False)
    assert (decision.cause, decision.mitigations) == ("held", [])


def test_claims_that_were_rejected_are_handed_to_a_person() -> None:
    decision = decide(TABLE, observed("claims_held", "rejected_last"), False)
    assert (decision.cause, decision.mitigations) == ("rejected_while_held", [])
    assert "claims_api_outage_rejections_mended=true" in decision.sentence
    unread = decide(TABLE, observed("claims_held", unknown=("rejected_last",)), False)
    assert (unread.cause, unread.mitigations) == ("held", [])


def test_a_refused_key_or_claim_never_leads_to_the_answers_of_an_outage() -> None:
    for findings in (("credentials_refused",), ("submissions_unauthorized",), ("submissions_rejected",)):
        assert "hold_claims" not in decide(TABLE, observed(*findings), False).mitigations


def test_workers_are_recycled_only_for_a_key_that_is_proved_from_here() -> None:
    """A key that is refused everywhere is not mended by new workers."""
    both = decide(TABLE, observed("credentials_refused", "submissions_unauthorized"), False)
    assert both.mitigations == ["promote_key"]
    assert decide(TABLE, observed("submissions_unauthorized"), False).mitigations == ["recycle_workers"]
    unread = decide(TABLE, observed("submissions_unauthorized", unknown=("credentials_refused",)), False)
    assert unread.mitigations == []


def test_a_payer_that_is_down_leaves_what_is_behind_it_unknown_and_is_named_all_the_same() -> None:
    behind = ("credentials_refused", "throttled_here", "read_slow", "clock_skewed")
    decision = decide(TABLE, observed("api_down", "submissions_failing", unknown=behind), False)
    assert (decision.cause, decision.mitigations) == ("payer_down", ["hold_claims"])
