"""What the role does with what it sees: no step for what nobody can tell, and no fence taken back for a promotion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._decision import decide
from ansible_collections.daily_emr.ops.plugins.module_utils._region_findings import observe

from tests.unit.region.test_region import ASKED, BUSY, CLOSED, DEAD, MODIFYING, OURS, PROMOTED, context, word

ROLE = Path(__file__).resolve().parents[3] / "roles/region_failover"
TABLE = yaml.safe_load((ROLE / "vars/causes.yml").read_text())["region_failover_causes"]
VARS = yaml.safe_load((ROLE / "vars/main.yml").read_text())


@pytest.mark.parametrize(
    ("readings", "cause", "steps"),
    [
        pytest.param(DEAD, "region_gone", ["fail_over"], id="gone"),
        pytest.param({**DEAD, "replica": PROMOTED}, "promoted_by_others", [], id="gone, promoted by others"),
        pytest.param({"replica": PROMOTED}, "promoted_by_others", [], id="promoted by others"),
        pytest.param({"replica": BUSY, "announced": word("INC-1")}, "promotion_unclear", [], id="never sent"),
        pytest.param({"replica": MODIFYING, "announced": word("INC-1")}, "promotion_unclear", [], id="sent, perhaps"),
        pytest.param(
            {"replica": MODIFYING, "announced": word("INC-1", "ok")}, "failover_begun", ["fail_over"], id="our"
        ),
        pytest.param({**OURS, **DEAD}, "failover_begun", ["fail_over"], id="promoted, not served"),
        pytest.param(
            {**OURS, "traffic": "second", "second_application": {"serves": True}},
            "first_region_back",
            ["fence_first"],
            id="back, under another incident",
        ),
    ],
)
@pytest.mark.parametrize("asked", [{}, {"declared": "drill"}], ids=["", "declared"])
def test_only_a_promotion_that_is_known_to_be_ours_is_gone_on_with(
    readings: dict[str, Any], cause: str, steps: list[str], asked: dict[str, Any]
) -> None:
    found = decide(TABLE, observe(context(**readings), "emr-region", ASKED | asked, "now"), False)
    assert (found.cause, list(found.mitigations)) == (cause, steps)


@pytest.mark.parametrize(
    ("readings", "cause"),
    [
        pytest.param({}, "called_off", id="follows"),
        pytest.param({"replica": PROMOTED}, "promoted_by_others", id="promoted by others"),
        pytest.param({"replica": BUSY, "announced": word("INC-0", "ok")}, "promotion_unclear", id="busy after a word"),
        pytest.param({"replica": MODIFYING, "announced": word("INC-0", "ok")}, "failover_begun", id="by INC-0"),
    ],
)
def test_a_failover_is_called_off_only_while_nobody_promotes_the_replica(readings: dict[str, Any], cause: str) -> None:
    seen = context(first_database=CLOSED, edge={"serves": False}, **readings)
    found = decide(TABLE, observe(seen, "emr-region", ASKED | {"stand_down": True}, "now"), False)
    assert found.cause == cause


@pytest.mark.parametrize(
    ("promotion", "known"),
    [
        pytest.param(None, True, id="not come to"),
        pytest.param({"outcome": "refused"}, True, id="refused"),
        pytest.param({"outcome": "failed"}, True, id="failed"),
        pytest.param({"outcome": "unknown"}, False, id="unknown"),
        pytest.param({"outcome": "ok"}, False, id="done"),
        pytest.param({"failed": True, "msg": "timed out"}, False, id="ended without a word"),
    ],
)
def test_the_fence_is_taken_back_only_when_it_is_known_that_nothing_was_promoted(
    promotion: dict[str, Any] | None, known: bool
) -> None:
    given = {} if promotion is None else {"region_failover_promotion": promotion}
    template = jinja2.Environment(autoescape=False).from_string(VARS["region_failover_not_promoted"])
    told = template.render(region_failover_health={"subjects": {"begun": False}}, **given)
    assert told == str(known)
