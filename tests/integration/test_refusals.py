"""Wrong place, wrong input: one clear sentence, and nothing is changed. The witness is the sandbox's call log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from daily_emr_sandbox.client import Sandbox

from tests.integration.conftest import ROOT, Operator, Run, Witness

# One sandbox that stays broken for all of them, and the control at the end.
pytestmark = pytest.mark.xdist_group("refusals")

# Ways to start in the middle or around a guard.
ENTRIES = {
    "from a task in the middle": ["--start-at-task", "First round"],
    "by a tag": ["--tags", "mitigate"],
    "without a tag": ["--skip-tags", "always"],
}


@pytest.fixture(scope="module", autouse=True)
def broken(sandbox: Sandbox) -> Iterator[None]:
    """There is something to mitigate all the time: what is not changed here was refused."""
    sandbox.break_("bad_release")
    yield
    sandbox.mend()


def refused(witness: Witness, run: Run, sentence: str) -> None:
    assert run.returncode != 0, run.output
    assert sentence in " ".join(run.output.split()), run.output
    assert "Traceback" not in run.output
    assert witness.mutating() == []


def inventory_with(tmp_path: Path, **changes: object) -> str:
    """A copy of the sandbox inventory whose environment says something else."""
    copy = tmp_path / "inventories" / "sandbox"
    shutil.copytree(ROOT / "inventories/sandbox", copy)
    page = copy / "group_vars/all/zz_changed.yml"
    page.write_text(
        json.dumps({"emr_environment": "{{ emr_true_environment | combine(" + json.dumps(changes) + ") }}"})
    )
    settings = copy / "group_vars/all/environment.yml"
    settings.write_text(settings.read_text().replace("emr_environment:", "emr_true_environment:"))
    return str(copy)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"account_id": "999999999999"}, "999999999999", id="wrong account"),
        pytest.param({"role_pattern": "^somebody-else$"}, "role", id="wrong role"),
        pytest.param({"region": "eu-central-1"}, "region", id="wrong region"),
        pytest.param({"endpoint_url": "http://192.0.2.1:4566"}, "loopback", id="endpoint elsewhere"),
        pytest.param({"name": "staging"}, "endpoint", id="sandbox endpoint in another environment"),
    ],
)
def test_a_wrong_place_is_refused(operator: Operator, tmp_path: Path, changes: dict[str, str], sentence: str) -> None:
    witness = Witness(operator.sandbox)
    refused(witness, operator.playbook(inventory=inventory_with(tmp_path, **changes)), sentence)


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"AWS_REGION": "eu-central-1"}, "AWS_REGION"),
        ({"AWS_DEFAULT_REGION": "us-east-1"}, "AWS_DEFAULT_REGION"),
        ({"AWS_ENDPOINT_URL": "http://192.0.2.1:1"}, "AWS_ENDPOINT_URL"),
        ({"AWS_ENDPOINT_URL_ECS": "http://192.0.2.1:1"}, "AWS_ENDPOINT_URL_ECS"),
    ],
)
def test_a_hostile_environment_variable_is_refused_by_name(
    operator: Operator, env: dict[str, str], sentence: str
) -> None:
    witness = Witness(operator.sandbox)
    refused(witness, operator.playbook(env=env), sentence)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_an_unset_value_is_refused(operator: Operator, environment: str) -> None:
    witness = Witness(operator.sandbox)
    run = operator.playbook(inventory=f"inventories/{environment}")
    refused(witness, run, f"account_id of environment {environment} is not set")
    assert f"domain of environment {environment} is not set" in " ".join(run.output.split())


HOSTILE = "incident_id={{lookup('pipe','touch SENTINEL')}}"
"""Tried from everywhere: whichever way a run is started, one and the same look judges all inputs."""
UNDECLARED = {
    "app_outage_verify_pases=3": "app_outage_verify_passes",
    "emr_environment={}": "emr_environment",
    "incident_runbook=app_outage": "incident_runbook",
    "ansible_python_interpreter=/bin/true": "ansible_python_interpreter",
    HOSTILE: "template",
}


@pytest.mark.parametrize(
    ("variable", "entry"), [*((one, "from the start") for one in UNDECLARED), *((HOSTILE, one) for one in ENTRIES)]
)
def test_an_input_that_nobody_declared_is_refused(
    operator: Operator, tmp_path: Path, variable: str, entry: str
) -> None:
    sentinel = tmp_path / "sentinel"
    witness = Witness(operator.sandbox)
    run = operator.playbook("-e", variable.replace("SENTINEL", str(sentinel)), *ENTRIES.get(entry, []))
    refused(witness, run, UNDECLARED[variable])
    assert not sentinel.exists()


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_part_of_a_runbook_is_refused(operator: Operator, entry: str) -> None:
    witness = Witness(operator.sandbox)
    refused(witness, operator.playbook(*ENTRIES[entry]), f"{ENTRIES[entry][0]} would leave out a part of the runbook")


@pytest.mark.parametrize("entry", ["from a task in the middle", "by a tag"])
def test_without_the_gate_a_part_of_a_runbook_changes_nothing_either(operator: Operator, entry: str) -> None:
    """The gate gives the sentence; that nothing is changed does not rest on it."""
    witness = Witness(operator.sandbox)
    run = operator.playbook(*ENTRIES[entry], env={"ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks"})
    assert "would leave out" not in run.output
    assert witness.mutating() == []


def test_without_the_gate_a_template_in_an_input_is_not_evaluated_either(operator: Operator, tmp_path: Path) -> None:
    sentinel = tmp_path / "sentinel"
    hostile = tmp_path / "hostile.json"
    hostile.write_text(json.dumps({"incident_id": "{{ lookup('pipe', 'touch " + str(sentinel) + "') }}"}))
    witness = Witness(operator.sandbox)
    run = operator.playbook("-e", f"@{hostile}", env={"ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks"})
    refused(witness, run, "incident_id")
    assert not sentinel.exists()


def test_an_unknown_host_in_the_limit_is_refused(operator: Operator) -> None:
    witness = Witness(operator.sandbox)
    refused(witness, operator.playbook("--limit", "emr-wbe"), "emr-wbe")


def test_an_empty_group_is_refused(operator: Operator, tmp_path: Path) -> None:
    copy = Path(inventory_with(tmp_path))
    (copy / "hosts.yml").unlink()
    (copy / "hosts.yml").write_text("all:\n  children:\n    web:\n")
    witness = Witness(operator.sandbox)
    refused(witness, operator.playbook(inventory=str(copy)), "web")


def test_a_missing_inventory_is_refused(operator: Operator) -> None:
    witness = Witness(operator.sandbox)
    refused(witness, operator.playbook(inventory="inventories/sandbx"), "inventories/sandbx")


def test_the_same_run_with_nothing_wrong_changes_something(operator: Operator) -> None:
    """The control of everything above, and last, because it mends what is broken."""
    witness = Witness(operator.sandbox)
    run = operator.playbook()
    assert run.returncode == 0, run.output
    assert [call["operation"] for call in witness.changes()] == ["UpdateService"]
