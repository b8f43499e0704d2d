"""What the readings of a web service mean, and which cause the decision table names."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils import _health_findings as findings
from ansible_collections.daily_emr.ops.plugins.module_utils._decision import Verdict, decide
from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import SYMPTOMS
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.web_service.readings import FAULTS, NOW, SERVICE, THRESHOLDS, broken, healthy, zone_impaired

ROOT = Path(__file__).resolve().parents[3]
TABLE = yaml.safe_load((ROOT / "roles/app_outage/vars/causes.yml").read_text())["app_outage_causes"]


def observe(readings: Readings) -> findings.Evidence:
    return findings.observe(readings, SERVICE, THRESHOLDS, NOW)


NAMES = sorted(item["name"] for item in observe(healthy()).observations)


def found(evidence: findings.Evidence) -> set[str]:
    return {item["name"] for item in evidence.observations if item["status"] == "finding"}


def test_a_healthy_service_has_no_finding() -> None:
    evidence = observe(healthy())
    assert found(evidence) == set()
    assert findings.healthy(evidence) is True
    assert decide(TABLE, evidence.observations, True).verdict is Verdict.HEALTHY


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_not_healthy_and_its_cause_is_named(fault: str) -> None:
    evidence = observe(broken(fault))
    state = findings.healthy(evidence)
    assert state is False
    assert decide(TABLE, evidence.observations, state).cause == FAULTS[fault][1]


def test_every_row_of_the_table_is_reached() -> None:
    assert {cause for _break, cause in FAULTS.values()} == {row["cause"] for row in TABLE}


def test_the_table_only_uses_observations_that_are_made() -> None:
    used = set()
    for row in TABLE:
        for entry in [*row["supported_by"], *row["contradicted_by"]]:
            used |= {entry} if isinstance(entry, str) else set(entry)
    assert used <= set(NAMES)
    assert set(SYMPTOMS) <= set(NAMES)


@settings(max_examples=300)
@given(
    st.fixed_dictionaries({name: st.sampled_from(["ok", "finding", "unknown"]) for name in NAMES}),
    st.sampled_from([False, None]),
)
def test_every_finding_set_gives_exactly_one_answer(statuses: dict[str, str], state: bool | None) -> None:
    observations = [
        {
            "name": name,
            "status": status,
            "symptom": name in SYMPTOMS,
            "subject": "",
            "expected": "",
            "seen": "",
            "at": NOW,
            "call": "",
        }
        for name, status in statuses.items()
    ]
    decision = decide(TABLE, observations, state)
    assert decision.verdict in (Verdict.CAUSE, Verdict.UNDETERMINED)
    if decision.verdict is Verdict.UNDETERMINED:
        assert not decision.mitigations
        return
    row = next(row for row in TABLE if row["cause"] == decision.cause)
    assert all(statuses[name] == "finding" for name in row["supported_by"])
    assert all(statuses[name] == "ok" for name in row["contradicted_by"])
    assert decision.mitigations or decision.hand_off


@pytest.mark.parametrize("reading", sorted(healthy().values))
def test_a_reading_that_failed_is_never_ok(reading: str) -> None:
    readings = healthy()
    resting = {item["name"] for item in observe(healthy()).observations}
    # Without the web ACL its rules cannot be asked for either.
    for missing in (reading, *(["blocked"] if reading == "acl" else [])):
        del readings.values[missing]
        readings.unread[missing] = "ecs:DescribeServices was refused (AccessDeniedException)"
    evidence = observe(readings)
    assert {item["name"] for item in evidence.observations} == resting
    unknown = {item["name"] for item in evidence.observations if item["status"] == "unknown"}
    assert unknown, "a reading that no observation rests on is a call for nothing"
    if unknown & set(SYMPTOMS):
        assert findings.healthy(evidence) is None
    assert found(evidence) == set()


def test_without_traffic_only_probes_judge() -> None:
    readings = healthy()
    readings.values["metrics"] |= {"requests": None, "p95_ms": None}
    evidence = observe(readings)
    assert found(evidence) == {"no_traffic"}
    assert findings.healthy(evidence) is True


def test_a_zone_that_traffic_left_is_nobodys_trouble() -> None:
    readings = healthy()
    zone_impaired(readings)
    readings.values["shift"] = {"id": "z1", "away_from": "afs1-az1", "until": "2026-11-22T07:30:00Z"}
    assert findings.healthy(observe(readings)) is True


def test_the_impaired_zone_is_named_by_its_id() -> None:
    assert observe(broken("zone_impaired")).subjects["impaired_zone_id"] == "afs1-az1"


def test_hostile_names_stay_one_line_of_data() -> None:
    readings = healthy()
    readings.values["changes"] = [
        {"name": "x\x1b[2J\n{{ lookup('pipe', 'id') }}" + "y" * 1000, "source": "", "at": NOW}
    ]
    (seen,) = [item["seen"] for item in observe(readings).observations if item["name"] == "changes_recent"]
    assert seen.isprintable()
    assert len(seen) <= 300
