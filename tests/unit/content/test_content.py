"""The content keeps the promises of docs/add_a_runbook.md: what is missing is named here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._inputs import CONTROLLER_NAMES

ROOT = Path(__file__).resolve().parents[3]
COLLECTION = ROOT / "collections/ansible_collections/daily_emr/ops"
ROLES = sorted(path.parents[1].name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
RUNBOOKS = sorted(path.stem for path in (ROOT / "runbooks").glob("*.yml"))
# What is typed at night, and handed on by workflows, is one word; it has no default in a file, because a variable of a
# role that does not carry its name could be any role's.
WITHOUT_DEFAULT = {"approve", "break_glass"}
TYPED = WITHOUT_DEFAULT | {"incident", "incident_id"}
MODULES = sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py"))


def load(path: Path) -> object:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("role", ROLES)
def test_every_input_of_a_role_is_declared_and_has_its_default(role: str) -> None:
    options = load(ROOT / f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = load(ROOT / f"roles/{role}/defaults/main.yml")
    optional = {name for name, option in options.items() if not option.get("required")} - WITHOUT_DEFAULT
    assert set(defaults) == optional
    for name, option in options.items():
        assert name in TYPED or name.startswith(f"{role}_"), "inputs carry the name of their role"
        if "options" in option and option["type"] == "dict" and name in defaults:
            assert set(option["options"]) == set(defaults[name])
        elif name in defaults:
            assert option["default"] == defaults[name], "the documented default is the one that is used"


CONTENT = [
    path
    for folder in ("roles", "runbooks", "playbooks", "inventories", COLLECTION.relative_to(ROOT))
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".yml", ".yaml", ".j2")
]
# Its names are those of the runbook of the play, which no extra var can change.
BY_COMPUTED_NAME = {"roles/incident/vars/main.yml"}


def test_nothing_uses_what_controllers_add_because_it_would_be_executed() -> None:
    """Their texts are not judged (_inputs.py): a template in one is executed by whoever names it, or names any."""
    assert len(CONTENT) > 300
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in CONTENT}
    named = re.compile(rf"\b(?:{CONTROLLER_NAMES.pattern})\b")
    assert {path: found[0] for path, text in texts.items() if (found := named.search(text))} == {}
    computed = re.compile(
        r"(?:lookup|query|q)\(['\"](?:ansible\.builtin\.)?(?:vars|varnames)['\"]|\{\{ *vars\b|\bvars\["
    )
    assert {path for path, text in texts.items() if computed.search(text)} == BY_COMPUTED_NAME


@pytest.mark.parametrize("runbook", RUNBOOKS)
def test_a_runbook_file_is_thin(runbook: str) -> None:
    (play,) = load(ROOT / f"runbooks/{runbook}.yml")
    assert set(play) == {"name", "hosts", "gather_facts", "any_errors_fatal", "vars", "roles"}
    names = {"incident_runbook", "incident_title", "incident_severity", "incident_triggers", "incident_alerts"}
    assert set(play["vars"]) == names
    assert play["vars"]["incident_runbook"] == runbook
    assert play["roles"] == [{"role": "incident"}]
    # Several components of one group are independent of each other; one that is refused must not stop the others.
    groups = load(ROOT / "inventories/common/hosts.yml")["all"]["children"]
    assert play["any_errors_fatal"] is (len(groups[play["hosts"]]["hosts"]) == 1)


@pytest.mark.parametrize("runbook", RUNBOOKS)
def test_a_runbook_has_its_parts(runbook: str) -> None:
    role = ROOT / "roles" / runbook
    causes = load(role / "vars/causes.yml")[f"{runbook}_causes"]
    named = {name for cause in causes for name in cause["mitigations"]}
    there = {path.stem for path in (role / "tasks/mitigations").glob("*.yml")}
    assert named == there, "every mitigation of the table has a file, every file is in the table"
    for file in ("tasks/diagnose.yml", "tasks/verify.yml", "README.md"):
        assert (role / file).exists()
    assert (ROOT / f"molecule/{runbook}/converge.yml").exists()
    assert f"(roles/{runbook}/README.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_runs_in_the_worker_and_belongs_to_the_group(module: str) -> None:
    assert (COLLECTION / f"plugins/action/{module}.py").exists()
    group = load(COLLECTION / "meta/runtime.yml")["action_groups"]["ops"]
    shares_options = "  - daily_emr.ops.common\n" in (COLLECTION / f"plugins/modules/{module}.py").read_text()
    assert (module in group) == shares_options


@pytest.mark.parametrize("environment", ["sandbox", "staging", "production"])
def test_inventories_have_the_same_components_and_settings(environment: str) -> None:
    folder = ROOT / "inventories" / environment
    common = ROOT / "inventories/common"
    shared = {"hosts.yml": folder / "hosts.yml", "all.yml": folder / "group_vars/all/convention.yml"}
    shared |= {"readiness.yml": folder / "group_vars/all/readiness.yml"}
    # The second region is described by several: its own, and what the first one is made by.
    second = ("region.yml", "second_region.yml")
    shared |= {name: folder / "group_vars/region" / name for name in second}
    shared |= {path.name: folder / "group_vars" / path.name for path in common.glob("*.yml") if path.name not in shared}
    assert (folder / "group_vars/region/environment.yml").resolve() == (common / "environment.yml").resolve()
    for name, link in shared.items():
        assert link.resolve() == (common / name).resolve()
    settings = load(folder / "group_vars/all/environment.yml")
    assert {"name", "account_id", "region", "role_pattern", "table", "fingerprint_parameter", "time_factor"} <= set(
        settings["emr_environment"]
    )
    assert settings["emr_environment"]["name"] == environment
    assert ("endpoint_url" in settings["emr_environment"]) == (environment == "sandbox")
