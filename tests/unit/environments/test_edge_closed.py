"""Nobody is refused at the load balancer before a person says that all users come through CloudFront."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from tests.unit.environments.conftest import ROOT

ROLE = ROOT / "roles/edge"


def made(closed: Any, *, standing: bool) -> list[str]:
    """The tasks of the rule that run, when CloudFront has stood for a while."""
    loader = DataLoader()
    defaults = loader.load_from_file(str(ROLE / "defaults/main.yml"), trusted_as_template=True)
    table = loader.load_from_file(str(ROLE / "vars/main.yml"), trusted_as_template=True)
    tasks = loader.load_from_file(str(ROLE / "tasks/distribution.yml"), trusted_as_template=True)
    unchanged = {"changed": False, "diff": {"before": {"present": True}}}
    acl = {"changed": False, "diff": {"before": {"rules": [table["__edge_rule"]] if standing else ["rate-limit"]}}}
    said = {} if closed is None else {"edge_closed": closed}
    facts = {"__edge_acl": acl, "ansible_check_mode": False}
    facts |= dict.fromkeys(("__edge_distribution", "__edge_secret", "__edge_probes"), unchanged)
    templar = Templar(loader=loader, variables=defaults | table | facts | said)
    rules = [task for task in tasks if task.get("daily_emr.ops.account_resource", {}).get("kind") == "origin_rule"]
    when = {task["name"]: task["when"] if isinstance(task["when"], list) else [task["when"]] for task in rules}
    return [name for name, conditions in when.items() if all(map(templar.evaluate_conditional, conditions))]


@pytest.mark.parametrize("closed", [None, False, "false"], ids=str)
def test_nobody_is_refused_unless_the_inventory_says_so(closed: Any) -> None:
    assert made(closed, standing=False) == []


@pytest.mark.parametrize("closed", [True, "true"], ids=str)
def test_everybody_else_is_refused_when_it_does(closed: Any) -> None:
    assert made(closed, standing=False) == ["Distribution | Have everybody else refused"]


@pytest.mark.parametrize("closed", [False, True])
def test_a_rule_that_stands_learns_new_values_either_way(closed: bool) -> None:
    assert made(closed, standing=True) == ["Distribution | Have the rule know the newest value"]
