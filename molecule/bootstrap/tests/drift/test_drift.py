"""What somebody changed by hand is found by readiness, shown by a plan, mended by bootstrap, and nothing else with it.

All kinds are changed at once, so that a single plan and a single run are enough: what they did is compared with what
each kind says of itself, call by call. The witness is the call log of the account.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from daily_emr_sandbox.account import READER, calls

from tests import drifts
from tests.not_ready import LEFT

STATE = Path(os.environ["DAILY_EMR_SANDBOX"])
ROOT = Path(__file__).resolve().parents[4]
TASK = re.compile(r"^TASK \[(?P<task>[^]]+)\]", re.MULTILINE)
CHANGED = re.compile(r"^changed: \[emr-(?:environment|region)\](?: => \(item=(?P<item>.*)\))?$", re.MULTILINE)


def playbook(name: str, *arguments: str, state: Path = STATE) -> str:
    """What a playbook printed; it has to end well."""
    done = subprocess.run(
        ["ansible-playbook", "-i", "inventories/sandbox", f"playbooks/{name}.yml", *arguments],
        cwd=ROOT, env={**os.environ, "DAILY_EMR_SANDBOX": str(state), "ANSIBLE_FORCE_COLOR": "0"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def readiness() -> dict[str, str]:
    """Status by control, as who may only look sees it."""
    playbook("readiness", "-e", '{"readiness_must_be_ready": false}', state=STATE / READER)
    newest = max((Path(os.environ["DAILY_EMR_RUNS"]) / "readiness/sandbox").glob("*/report.json"))
    return {one["control"]: one["status"] for one in json.loads(newest.read_text())["controls"]}


def changed(output: str) -> Counter[str]:
    """The tasks that changed something, or would, each with its item."""
    found: Counter[str] = Counter()
    for part in output.split("\nTASK [")[1:]:
        task = part.partition("]")[0]
        found.update(": ".join(filter(None, (task, one["item"]))) for one in CHANGED.finditer(part))
    return found


def mutating(since: int) -> Counter[tuple[str, str]]:
    return Counter((call["service"], call["operation"]) for call in calls(STATE, since) if call["mutating"])


def number() -> int:
    """Of the newest call."""
    return int(calls(STATE)[-1]["seq"])


@dataclass(frozen=True)
class Story:
    """What was seen before, after each kind of drift, in a plan, in a run, and at the end."""

    before: dict[str, str]
    drifted: dict[str, str]
    plan: Counter[str]
    plan_calls: Counter[tuple[str, str]]
    run: Counter[str]
    run_calls: Counter[tuple[str, str]]
    after: dict[str, str]


@pytest.fixture(scope="module")
def story() -> Story:
    facts = json.loads((STATE / "sandbox.json").read_text())
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = facts["credentials_file"]
    session = boto3.session.Session(region_name=facts["region"])
    aws = lambda service, region=None: session.client(service, region, endpoint_url=facts["endpoint_url"])  # noqa: E731
    before = readiness()
    for drift in drifts.DRIFTS:
        drift.make(aws)
    drifts.release(aws)
    drifted = readiness()
    since = number()
    plan = changed(playbook("bootstrap", "--check", "--diff"))
    plan_calls = mutating(since)
    since = number()
    run = changed(playbook("bootstrap"))
    run_calls = mutating(since)
    return Story(before, drifted, plan, plan_calls, run, run_calls, readiness())


def test_bootstrap_leaves_open_only_what_others_have_to_do(story: Story) -> None:
    open_ = {control for control, status in story.before.items() if status != "pass"}
    assert {control for control in open_ if not control.startswith("people.")} == LEFT
    assert {control for control in story.before if control.startswith("people.")} <= open_


@pytest.mark.parametrize("drift", drifts.DRIFTS, ids=lambda drift: drift.name)
def test_readiness_finds_it_and_passes_again_when_it_is_mended(story: Story, drift: drifts.Drift) -> None:
    for control in drift.controls:
        seen = (story.before[control], story.drifted[control], story.after[control])
        assert seen == ("pass", "fail", "pass"), control


def test_readiness_finds_nothing_else(story: Story) -> None:
    differing = {control for control, status in story.drifted.items() if status != story.before[control]}
    assert differing == {control for drift in drifts.DRIFTS for control in drift.controls}
    assert story.after == story.before


@pytest.mark.parametrize("drift", drifts.DRIFTS, ids=lambda drift: drift.name)
def test_a_plan_shows_it_and_a_run_mends_it(story: Story, drift: drifts.Drift) -> None:
    assert story.plan[drift.task] == 1
    assert story.run[drift.task] == 1


def test_a_plan_changes_nothing(story: Story) -> None:
    assert story.plan_calls == Counter()


def test_plan_and_run_speak_of_the_same_and_of_nothing_else(story: Story) -> None:
    assert story.plan == story.run == Counter({drift.task for drift in drifts.DRIFTS})


def test_nothing_else_is_touched(story: Story) -> None:
    assert story.run_calls == Counter(call for drift in drifts.DRIFTS for call in drift.mended_by)
