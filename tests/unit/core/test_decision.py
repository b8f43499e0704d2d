"""The decision: data in, one answer out. Properties hold for every table and every set of observations."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._decision import Verdict, decide
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from hypothesis import given
from hypothesis import strategies as st

NAMES = ("a", "b", "c", "d")
names = st.sampled_from(NAMES)
groups = st.one_of(names, st.lists(names, min_size=1, max_size=2, unique=True))
rows = st.builds(
    lambda supported, contradicted, mitigations: {
        "because": "Because.",
        "supported_by": supported,
        "contradicted_by": contradicted,
        "mitigations": mitigations,
        "hand_off": None,
    },
    st.lists(groups, min_size=1, max_size=3),
    st.lists(names, max_size=2),
    st.lists(st.sampled_from(["stop", "roll_back"]), max_size=2, unique=True),
)
tables = st.lists(rows, max_size=5).map(lambda found: [{"cause": f"cause_{n}", **row} for n, row in enumerate(found)])
evidence = st.lists(
    st.builds(
        lambda name, status: {"name": name, "status": status}, names, st.sampled_from(["ok", "finding", "unknown"])
    ),
    max_size=8,
)


def row(cause: str, supported_by: list[Any], contradicted_by: list[str] | None = None) -> dict[str, Any]:
    return {
        "cause": cause,
        "because": f"{cause} speaks for itself.",
        "supported_by": supported_by,
        "contradicted_by": contradicted_by or [],
        "mitigations": [f"mend_{cause}"],
        "hand_off": None,
    }


def seen(**statuses: str) -> list[dict[str, Any]]:
    return [{"name": name, "status": status} for name, status in statuses.items()]


def findings(observations: list[dict[str, Any]]) -> set[str]:
    return {one["name"] for one in observations if one["status"] == "finding"}


def unknowns(observations: list[dict[str, Any]]) -> set[str]:
    answered = {one["name"] for one in observations if one["status"] != "unknown"}
    unread = {one["name"] for one in observations if one["status"] == "unknown"}
    return (set(NAMES) - answered | unread) - findings(observations)


@given(tables, evidence, st.sampled_from([True, False, None]))
def test_there_is_exactly_one_answer_and_it_is_always_the_same(
    table: list[dict[str, Any]], observations: list[dict[str, Any]], healthy: bool | None
) -> None:
    decision = decide(table, observations, healthy)

    again = decide(table, list(reversed(observations)), healthy)
    assert (again.verdict, again.cause, again.ruled_out) == (decision.verdict, decision.cause, decision.ruled_out)
    assert (decision.verdict is Verdict.CAUSE) == bool(decision.cause)
    assert decision.sentence


@given(tables, evidence, st.sampled_from([False, None]))
def test_a_chosen_cause_has_all_its_support_and_nothing_against_it_not_even_an_unknown(
    table: list[dict[str, Any]], observations: list[dict[str, Any]], healthy: bool | None
) -> None:
    decision = decide(table, observations, healthy)

    if decision.verdict is Verdict.CAUSE:
        chosen = next(one for one in table if one["cause"] == decision.cause)
        found = findings(observations)
        for group in chosen["supported_by"]:
            assert found & ({group} if isinstance(group, str) else set(group))
        assert not found & set(chosen["contradicted_by"])
        assert not unknowns(observations) & set(chosen["contradicted_by"])
        assert decision.mitigations == chosen["mitigations"]
        assert {one["name"] for one in decision.evidence} <= found


@given(tables, evidence)
def test_no_row_that_fits_stands_above_the_chosen_one(
    table: list[dict[str, Any]], observations: list[dict[str, Any]]
) -> None:
    decision = decide(table, observations, False)

    for one in table:
        alone = decide([one], observations, False).verdict is Verdict.CAUSE
        if one["cause"] == decision.cause:
            assert alone
            break
        assert not alone


@given(tables, evidence)
def test_what_is_healthy_is_left_alone(table: list[dict[str, Any]], observations: list[dict[str, Any]]) -> None:
    decision = decide(table, observations, True)

    assert (decision.verdict, decision.mitigations, decision.cause) == (Verdict.HEALTHY, [], "")


@given(tables, evidence, st.data())
def test_reading_less_never_names_a_cause_that_reading_more_ruled_out(
    table: list[dict[str, Any]], observations: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Turn some observations into unknowns: a row that did not fit must not fit now."""
    blind = [{**one, "status": "unknown"} if data.draw(st.booleans()) else one for one in observations]

    for one in table:
        if decide([one], observations, False).verdict is not Verdict.CAUSE:
            assert decide([one], blind, False).verdict is not Verdict.CAUSE


def test_the_first_row_that_fits_is_the_answer_and_the_others_say_why_not() -> None:
    table = [row("zone", ["z"]), row("release", ["r"], ["db"]), row("flag", ["r"])]

    decision = decide(table, seen(z="ok", r="finding", db="ok"), False)

    assert (decision.cause, decision.mitigations) == ("release", ["mend_release"])
    assert decision.evidence == seen(r="finding")
    assert decision.ruled_out == [{"cause": "zone", "why": "not supported: z not found"}]


@pytest.mark.parametrize(
    ("observations", "why"),
    [
        (seen(r="finding", db="finding"), "contradicted by db"),
        (seen(r="ok", db="ok"), "not supported: r not found"),
        (seen(r="finding", db="unknown"), "possible, but not known: db"),
        (seen(r="finding"), "possible, but not known: db"),
        (seen(r="unknown", db="ok"), "possible, but not known: r"),
        (seen(db="ok"), "possible, but not known: r"),
    ],
)
def test_a_cause_that_is_not_proven_is_not_chosen(observations: list[dict[str, Any]], why: str) -> None:
    decision = decide([row("release", ["r"], ["db"])], observations, False)

    assert (decision.verdict, decision.mitigations) == (Verdict.UNDETERMINED, [])
    assert decision.ruled_out == [{"cause": "release", "why": why}]
    assert "A person has to decide." in decision.sentence


def test_any_name_of_a_group_supports_it() -> None:
    table = [row("flag", [["x", "y"], "z"])]

    assert decide(table, seen(x="ok", y="finding", z="finding"), False).cause == "flag"
    assert (
        decide(table, seen(x="ok", y="ok", z="finding"), False).ruled_out[0]["why"] == "not supported: x or y not found"
    )


def test_one_finding_among_several_observations_of_a_name_is_a_finding() -> None:
    observations = [*seen(r="ok"), *seen(r="finding"), *seen(r="unknown")]

    assert decide([row("release", ["r"])], observations, False).cause == "release"


def test_a_cause_without_a_mitigation_says_who_goes_on() -> None:
    table = [{**row("slow", ["s"]), "mitigations": [], "hand_off": "Run the database runbook."}]

    assert decide(table, seen(s="finding"), False).sentence == "slow speaks for itself. Run the database runbook."


def test_health_that_could_not_be_read_is_not_healthy() -> None:
    decision = decide([], seen(a="unknown"), None)

    assert decision.verdict is Verdict.UNDETERMINED
    assert "Whether it is healthy could not be read" in decision.sentence


@pytest.mark.parametrize(
    "broken",
    [
        {"because": "b", "supported_by": ["x"]},
        {"cause": "c", "supported_by": ["x"]},
        {"cause": "c", "because": "b", "supported_by": []},
        {"cause": "c", "because": "b", "supported_by": ["x"], "contradicted": ["y"]},
    ],
)
@pytest.mark.parametrize("healthy", [True, False])
def test_a_row_that_is_not_one_is_refused_even_when_all_is_well(broken: dict[str, Any], healthy: bool) -> None:
    with pytest.raises(Refused, match="of the decision table"):
        decide([broken], [], healthy)
