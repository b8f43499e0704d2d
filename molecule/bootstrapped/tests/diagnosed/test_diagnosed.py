"""All six runbooks find what bootstrap built, by name and in the shape that they read, and find it healthy."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from daily_emr_sandbox.account import calls

STATE = Path(os.environ["DAILY_EMR_SANDBOX"])
ENVIRONMENT = os.environ["DAILY_EMR_FAULT"]
PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
COMPONENTS = {
    "app_outage": {"emr-web"},
    "claims_api_outage": {"sha"},
    "database_failover": {"emr-db"},
    "error_spike": {"emr-web"},
    "queue_backlog": {"claims", "notifications", "exports"},
    "telehealth_degradation": {"emr-telehealth"},
}
TOO_YOUNG = {"burning_fast", "burning_slow", "load_up"}
"""What an environment that was built minutes ago cannot say yet: all of it was read, and it speaks of hours and days,
or of what was usual before."""
AT_ONCE = 3
NAME = re.compile(rf"daily-emr[-/]{ENVIRONMENT}[\w/-]*?(?=$|:\d+$|/[0-9a-f]{{8}})")


def diagnose(runbook: str, state: Path = STATE) -> subprocess.CompletedProcess[str]:
    """Plan a runbook, with the inventory of the environment and the values of the test."""
    inventories = [f"--inventory={PROJECT}/inventories/{ENVIRONMENT}", f"--inventory={SCENARIO}/inventory"]
    return subprocess.run(
        ["ansible-playbook", *inventories, f"{PROJECT}/runbooks/{runbook}.yml", "--check"],
        capture_output=True, text=True, check=False, cwd=PROJECT,
        env={**os.environ, "DAILY_EMR_SANDBOX": str(state), "DAILY_EMR_RUNS": str(state.parent / "runs" / runbook)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def before() -> int:
    """Number of the last call of bootstrap."""
    return max(call["seq"] for call in calls(STATE))


@pytest.fixture(scope="module")
def diagnoses(before: int) -> Iterator[dict[str, subprocess.CompletedProcess[str]]]:
    del before
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield dict(zip(COMPONENTS, pool.map(diagnose, COMPONENTS), strict=True))


def records(runbook: str) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in (STATE.parent / "runs" / runbook).glob("*/*/record.json")]


@pytest.mark.parametrize("runbook", COMPONENTS)
def test_it_is_diagnosed_as_healthy(runbook, diagnoses):
    done = diagnoses[runbook]
    assert done.returncode == 0, done.stdout[-4000:]
    found = records(runbook)
    assert {record["component"] for record in found} == COMPONENTS[runbook]
    assert {record["outcome"] for record in found} == {"noop"}


@pytest.mark.parametrize("runbook", COMPONENTS)
def test_everything_could_be_read(runbook, diagnoses):
    del diagnoses
    unknown = {
        f"{observation['name']}: {observation['seen']}"
        for record in records(runbook)
        for observation in observations(record)
        if observation["status"] == "unknown" and observation["name"] not in TOO_YOUNG
    }
    assert unknown == set()


def test_plans_of_runbooks_send_nothing_that_changes_something(before, diagnoses):
    del diagnoses
    assert [call["operation"] for call in asked(before) if call["mutating"] or call["error"]] == []


def test_what_runbooks_ask_for_has_the_names_that_bootstrap_gave(before, diagnoses):
    del diagnoses
    wanted = {name for call in asked(before) for name in names(call)}
    made = {name for call in calls(STATE) if call["mutating"] and call["seq"] <= before for name in names(call)}
    assert len(wanted) > len(COMPONENTS)
    assert wanted - made == set()


def test_the_guards_of_the_inventory_refuse_another_account(tmp_path, diagnoses):
    del diagnoses
    facts = json.loads((STATE / "sandbox.json").read_text())
    keys = configparser.ConfigParser(interpolation=None)
    keys.read(facts["credentials_file"])
    keys["default"] = keys["other_account"]
    with (tmp_path / "credentials").open("w") as file:
        keys.write(file)
    (tmp_path / "sandbox.json").write_text(json.dumps({**facts, "credentials_file": str(tmp_path / "credentials")}))

    done = diagnose("telehealth_degradation", tmp_path)

    assert done.returncode != 0
    assert f"but environment sandbox is account {facts['account_id']}" in " ".join(done.stdout.split())


def asked(before: int) -> list[dict[str, Any]]:
    """Calls of the runbooks."""
    return [call for call in calls(STATE, before) if "-runbook-act/" in (call["principal"] or "")]


def names(call: dict[str, Any]) -> set[str]:
    """The name of our convention in what a call is about, without a revision and what AWS adds to it."""
    return set(NAME.findall(call["resource"] or ""))


def observations(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for value in record.values() if isinstance(record, dict) else record:
        if isinstance(value, dict) and {"name", "status", "seen"} <= value.keys():
            yield value
        elif isinstance(value, dict | list):
            yield from observations(value)
