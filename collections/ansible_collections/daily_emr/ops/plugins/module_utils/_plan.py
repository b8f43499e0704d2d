# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the plan of a run and its digest. May change without notice.

"""What a run would do, as it is approved and as it is kept to. Everything here is pure.

A plan has a step for everything that the chosen mitigation was seen to do in check mode, with the state before and
after, but without what moves by itself (Change.volatile) and without how often a step may be sent, which depends on it.
Its digest has three parts, so that whoever compares two of them can tell why they differ: code, targets, everything.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SCHEMA = 1
DIGEST = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}")
HEAD = ("runbook", "code", "environment", "account", "region", "component", "cause", "inputs")
STEP = ("step", "module", "target", "before", "after", "irreversible", "loses_data", "approved_apart")
# Who works on a plan, and how, is not what it is about.
NOT_IN_PLAN = frozenset(
    {
        "approve",
        "break_glass",
        "incident_accept_new_code",
        "incident_acknowledge",
        "incident_alert",
        "incident_answer",
        "incident_id",
        "incident_lease_seconds",
        "incident_take_over",
    }
)
# A mitigation that needs a fifth more than was seen is still the one that was planned.
SPARE = 1.2
MOST_STEPS = 1000

Plan = Mapping[str, Any]
Step = Mapping[str, Any]


def make_plan(head: Mapping[str, Any], steps: Iterable[Step]) -> dict[str, Any]:
    """The plan of these steps, each once, in the order in which they were looked at."""
    kept: list[dict[str, Any]] = []
    for step in steps:
        mine = {name: step[name] for name in STEP}
        if mine not in kept:
            kept.append(mine)
    # As JSON has it: a plan that was written and read again is the same plan.
    plan: dict[str, Any] = json.loads(_canonical({"schema": SCHEMA, **{key: head[key] for key in HEAD}, "steps": kept}))
    return plan


def digest_of_plan(plan: Plan) -> str:
    """The name of a plan: 8 digits for its code, 8 for its targets, 32 for all of it."""
    targets = [
        [plan[key] for key in ("environment", "account", "region", "component")],
        sorted({(step["step"], step["target"]) for step in plan["steps"]}),
    ]
    return f"{_sha(plan['code'])[:8]}-{_sha(_canonical(targets))[:8]}-{_sha(_canonical(plan))[:32]}"


def inputs_given(given: Mapping[str, Any], ignored: re.Pattern[str]) -> dict[str, str]:
    """The inputs that the plan depends on, as texts: an input is the same whether it came as 5 or as "5"."""
    return {
        str(name): value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
        for name, value in sorted(given.items())
        if name not in NOT_IN_PLAN and not ignored.fullmatch(str(name))
    }


def same_step(plan: Plan, step: str, target: str) -> list[Step]:
    return [one for one in plan["steps"] if (one["step"], one["target"]) == (step, target)]


def moved(planned: Step, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is not as it was planned, as "x was A, now it is B"."""
    said = _differences(planned["before"], before, "was {} when it was planned, now it is {}")
    return said or _differences(planned["after"], after, "was planned to become {}, now it would become {}")


def differences(approved: Plan, now: Plan) -> list[str]:
    """What of the live state, or of what is intended, is not as it was in another plan with the same targets."""
    found = []
    for step in now["steps"]:
        others = same_step(approved, step["step"], step["target"])
        if step not in others and others:
            said = _differences(others[0]["before"], step["before"], "was {}, now it is {}")
            said += _differences(others[0]["after"], step["after"], "was to become {}, now {}")
            found += [f"{step['step']} on {step['target']}: {text}" for text in said]
    return found


def budget(calls: int) -> int:
    """How many changes a run may announce for a plan of so many."""
    return math.ceil(calls * SPARE)


def needs(plan: Plan, approvals: Mapping[str, Any]) -> int:
    """How many people have to approve the plan: the most that one of its steps asks for; none for one that only waits.

    A step that asks for approvals of its own (approved_apart) does that when it is done.
    """
    steps = plan["steps"]
    if not steps or any(step["approved_apart"] for step in steps):
        return 0
    return int(approvals["irreversible" if accepted_loss(plan) else "reversible"])


def accepted_loss(plan: Plan) -> str:
    """What cannot be taken back once the plan is carried out, as whoever approves types it; empty when all can."""
    return "; ".join(sorted({step["irreversible"] for step in plan["steps"] if step["irreversible"]}))


def described(plan: Plan) -> list[str]:
    """The plan in plain lines, for whoever approves it."""
    head = f"{plan['runbook']} on {plan['component']} in {plan['environment']} ({plan['account']}, {plan['region']})"
    lines = [f"{head}, because of {plan['cause'] or 'no named cause'}."]
    lines += [f"Input {name}: {value}." for name, value in plan["inputs"].items()]
    for step in plan["steps"]:
        changes = _differences(step["before"], step["after"], "{} → {}")
        what = f" ({', '.join(changes)})" if changes else ""
        lines.append(f"{step['step']} on {step['target']}{what}.")
    if loss := accepted_loss(plan):
        lines.append(f"It cannot be taken back: {loss}.")
    return lines


def checked_plan(value: Any) -> dict[str, Any]:
    """A plan that came from a file, with nothing in it but what a plan has. Raises ValueError for anything else."""
    if not isinstance(value, dict) or set(value) != {"schema", *HEAD, "steps"} or value["schema"] != SCHEMA:
        raise ValueError("not a plan")
    steps, inputs = value["steps"], value["inputs"]
    if not (isinstance(steps, list) and isinstance(inputs, dict) and len(steps) <= MOST_STEPS):
        raise ValueError("not a plan")
    texts = [value[key] for key in HEAD if key != "inputs"] + list(inputs.values())
    for step in steps:
        if not isinstance(step, dict) or set(step) != set(STEP):
            raise ValueError("not a step")
        texts += [step[key] for key in ("step", "module", "target", "irreversible")]
        if not all(isinstance(step[key], dict) for key in ("before", "after")):
            raise ValueError("not a state")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("not a text")
    return value


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], words: str) -> list[str]:
    return [
        f"{key} {words.format(_shown(before.get(key)), _shown(after.get(key)))}"
        for key in sorted({*before, *after})
        if _canonical(before.get(key)) != _canonical(after.get(key))
    ]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, default=str)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def looked_at(lines: Sequence[Mapping[str, Any]], since: int) -> list[Mapping[str, Any]]:
    """The lines of steps that were only looked at, after a line of the journal."""
    return [line for line in lines if line["kind"] == "looked" and line["seq"] > since]
