"""A fault is broken, a runbook runs: right cause, right action or right refusal, health proven from outside."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from daily_emr_sandbox.client import Sandbox

from tests.integration.conftest import ROOT, Operator, Witness
from tests.integration.incident_records import assert_complete

Rows = list[dict[str, object]]
RECORDED = ROOT / "docs/faults.json"


@dataclass(frozen=True)
class Expected:
    """What a fault has to lead to: the cause, the steps that are done, or the words of the refusal."""

    cause: str
    done: list[str] = field(default_factory=list)
    words: str = ""
    changes: int = 1
    """Mutating calls that the steps make, at AWS and at LaunchDarkly; a change by SQL and a wait make none."""
    writes: bool = False
    """Whether the steps write into a queue."""
    also: str = ""
    """Another cause that is as right, where chance decides what can be compared."""
    plan: bool = True
    """Whether a plan names the same; not where it lasts only once, nor where the first round uncovers the cause. Where
    nothing is done, the run itself sends no mutating call and needs no plan beside it."""

    again: bool = True
    """Whether a second run finds everything well; not where a provider stays down."""

    @property
    def causes(self) -> set[str]:
        return {self.cause, self.also or self.cause}

    @property
    def outcome(self) -> str:
        return "succeeded" if self.done else "refused"


@contextmanager
def recording(runbook: str) -> Iterator[Rows]:
    """What each fault led to; written for docs/faults.md when asked for. What was not broken now stays as it was."""
    rows: Rows = []
    yield rows
    if os.environ.get("UPDATE_FAULTS"):
        known, broken = json.loads(RECORDED.read_text()), {row["fault"] for row in rows}
        kept = [row for row in known.get(runbook, []) if row["fault"] not in broken]
        RECORDED.write_text(json.dumps(known | {runbook: kept + rows}, indent=2) + "\n")


def seen(record: dict[str, Any]) -> str:
    """What was not as it should be, for the message of an assertion: the test's sandbox is gone when it is read."""
    found = (item for item in record["observations"] if item["status"] != "ok")
    return "\n".join(["", *(f"{item['name']} {item['status']}: {item['seen']}" for item in found)])


def whole(faults: Mapping[str, Expected], *as_others: str) -> list[str]:
    """The faults that are rehearsed whole by every run of the tests.

    as_others: those that go the way of another one, with other signs by which tests/unit tells them apart; they are
    rehearsed where all are recorded (UPDATE_FAULTS).
    """
    return [fault for fault in faults if fault not in as_others or os.environ.get("UPDATE_FAULTS")]


def rehearse(operator: Operator, sandbox: Sandbox, fault: str, expected: Expected, recorded: Rows) -> dict[str, Any]:
    """Plan, run, run again; returns the record of the run. The fault is broken already.

    The run is one of the command, as in a drill; the others are Ansible's own, as on a controller.
    """
    if expected.plan and expected.done:
        witness = Witness(sandbox)
        plan = operator.playbook("--check", "--diff")
        assert witness.mutating() == [], "check mode sends no mutating call"
        planned = plan.record()
        assert planned["decision"]["cause"] in expected.causes, plan.output + seen(planned)
        assert plan.returncode == 0, plan.output
        assert planned["outcome"] == "planned"
        assert [step["step"] for step in planned["steps"] if step["outcome"] == "planned"], plan.output

    witness = Witness(sandbox)
    run = operator.run()
    record = run.record()
    assert record["outcome"] == expected.outcome, run.output + seen(record)
    assert record["decision"]["cause"] in expected.causes, seen(record)
    assert [step["step"] for step in record["steps"] if step["outcome"] == "ok"] == expected.done
    assert (run.returncode == 0) == bool(expected.done)
    if expected.done:
        changes = witness.changes()
        assert sum(change["service"] != "valkey" for change in changes) == expected.changes, changes
        assert any(change["service"] == "valkey" for change in changes) == expected.writes, changes
        assert record["verification"]["verified"] is True
        assert_complete(run, changes, expected.done)
    else:
        assert witness.changes() == []
        assert expected.words in " ".join(run.output.split())

    ledger = sandbox.ledger()
    assert ledger["lost"] == 0, "every acknowledged write is still there"
    recorded.append(
        {
            "fault": fault,
            "cause": record["decision"]["cause"],
            "done": expected.done,
            "outcome": record["outcome"],
            "seconds": ledger["recovery_seconds"] if expected.done else None,
            "sentence": record["sentence"],
        }
    )

    if expected.done and expected.again:
        witness = Witness(sandbox)
        again = operator.playbook()
        assert again.returncode == 0, again.output
        assert again.record()["outcome"] == "noop"
        assert "changed=0" in again.output
        assert witness.mutating() == [], "a healthy system costs no mutating call"
    return record
