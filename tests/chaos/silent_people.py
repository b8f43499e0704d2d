"""Providers by whom people are told hang, all of them at once: the mitigation does not wait, the run says who was not
told, and each is told once when the providers are back.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ansible_collections.daily_emr.ops.plugins.module_utils._http import request
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.people.part import PROVIDERS

from tests.chaos.rows import Row
from tests.chaos.scenes import sandbox_with
from tests.integration.conftest import Operator, Run

RUNS = {"ci": 1, "long": 5}
MOST_S = 1.0
"""reliability.md, row 53."""
HANGING = 1_000_000
TRIES = 3


def line(_seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Iterator[Row]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="silent-people-") as place, sandbox_with(("people",), Path(place)) as box:
        operator = Operator(box, Path(place) / "runs")
        faults, well, hanging = list[str](), list[Run](), list[Run]()
        for _ in range(RUNS[size]):
            well.append(_broken_and_run(box, operator))
            faults += _not_told_once(box, well[-1].record()["incident"])
        for provider in PROVIDERS:
            box.people_fault(provider, "hang", count=HANGING)
        for _ in range(RUNS[size]):
            hanging.append(_broken_and_run(box, operator))
        # A machine that has much else to do delays any run; no run is faster than what holds it up.
        while min(map(_delay, hanging)) > min(map(_delay, well)) + MOST_S and len(hanging) < TRIES + RUNS[size]:
            hanging.append(_broken_and_run(box, operator))
        late = min(map(_delay, hanging)) - min(map(_delay, well))
        faults += [f"the mitigation came {late:.1f} s later"] if late > MOST_S else []
        say(f"from open to the first change: {late:+.1f} s with providers that hang")
        control = _waited(box)
        box.mend_people()
        for run in hanging:
            incident, outcome = run.record()["incident"], run.record()["outcome"]
            if outcome != "succeeded" or "NOT NOTIFIED" not in run.output:
                faults.append(f"{incident} ended as {outcome}, and does not say that nobody was told")
            faults += _told_later(box, operator, incident)
    name = "providers of notifications hang: no mitigation waits, each is told once afterwards"
    yield Row(name, len(well) + len(hanging), tuple(faults), control, time.monotonic() - began)


def _broken_and_run(box: Sandbox, operator: Operator) -> Run:
    box.break_("scaled_to_zero")
    return operator.run()


def _delay(run: Run) -> float:
    """Seconds from the opening of a run to its first change."""
    at: dict[str, datetime] = {}
    for one in run.record()["journal"]:
        at.setdefault(one["kind"], datetime.fromisoformat(one["at"]))
    return (at["intent"] - at["opened"]).total_seconds()


def _waited(box: Sandbox) -> str:
    """The control: a run that told people itself would wait for a provider as this request does."""
    url = box.description["notifications"]["grafana"]["url"]
    answer = request("GET", f"{url}/api/annotations", timeout_s=2 * MOST_S)
    waited = answer.ms / 1000
    return f"who waits for one provider waits {waited:.0f} s and longer" if waited > MOST_S else ""


def _told_later(box: Sandbox, operator: Operator, incident: str) -> list[str]:
    inputs = ("-e", f"notify_incident={incident}")
    done = operator.start("ansible-playbook", "-i", "inventories/sandbox", "playbooks/notify.yml", *inputs)
    wrong = [f"{incident}: could not be told afterwards: {done.output[-300:]}"] if done.returncode else []
    return wrong + _not_told_once(box, incident)


def _not_told_once(box: Sandbox, incident: str) -> list[str]:
    """What the providers have of an incident that is too much, too little or not in order."""
    told = box.people()
    found: dict[str, list[Any]] = {
        "cards": [one for one in told["messages"].values() if incident in str(one)],
        "posts": [one for one in told["incidents"].values() if incident in str(one)],
        "marks": [one for one in told["annotations"] if incident in str(one)],
        "changes": [one for one in told["changes"] if incident in str(one)],
    }
    wrong = [f"{incident}: {len(some)} {what}" for what, some in found.items() if len(some) != 1]
    said = [update["status"] for one in found["posts"] for update in reversed(one["incident_updates"])]
    if said != ["investigating", "identified", "monitoring", "resolved"]:
        wrong.append(f"{incident}: facilities read {said}")
    return wrong + [f"a provider refused: {request['problem']}" for request in told["requests"] if request["problem"]]
