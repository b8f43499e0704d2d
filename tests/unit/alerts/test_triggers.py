"""Which runbook an alert starts is said in the runbook files, once for each alert."""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from rich.console import Console

from daily_emr_runbooks import runbooks
from daily_emr_runbooks.alerts.triggers import Triggers, alarm_prefix
from daily_emr_runbooks.errors import CommandError
from daily_emr_runbooks.project import Project
from daily_emr_runbooks.show import show_runbook
from tests.unit.alerts.conftest import PROJECT

ALARMS = PROJECT.root / "roles/alarms"
# Alarms that no runbook answers, and why.
UNANSWERED: dict[str, str] = {}


def alarms_of_bootstrap(environment: str) -> list[str]:
    """The names of all alarms that the role alarms makes, as Ansible works them out from the inventory."""
    loader = DataLoader()
    loader.set_basedir(str(PROJECT.root))
    inventory = InventoryManager(loader=loader, sources=[str(PROJECT.root / "inventories" / environment)])
    manager = VariableManager(loader=loader, inventory=inventory)
    variables = manager.get_vars(host=inventory.get_host("emr-environment"))
    variables["hostvars"] = HostVars(inventory, manager, loader)
    variables |= loader.load_from_file(str(ALARMS / "defaults/main.yml"), trusted_as_template=True)
    table = loader.load_from_file(str(ALARMS / "vars/main.yml"), trusted_as_template=True)
    built = {"service_balancer_arn": "arn:…:loadbalancer/app/emr/1", "service_target_group_arns": []}
    templar = Templar(loader=loader, variables=variables | table | built)
    made = ("{{ alarms_of_metrics }}", "{{ alarms_of_targets }}")
    named = [entry["name"] for some in made for entry in templar.template(trust_as_template(some))]
    text = (ALARMS / "tasks/main.yml").read_text()
    assert [line for line in made if f'loop: "{line}"' not in text] == []
    # Alarms that have a task of their own.
    named += re.findall(r'name: "\{\{ alarms_prefix \}\}-([a-z-]+)"\n +settings', text)
    return named


def test_each_alarm_of_bootstrap_names_one_runbook_or_says_why_none() -> None:
    made = alarms_of_bootstrap("staging")
    assert {"error-ratio", "claims-age", "exports-dead-letters"} <= set(made)
    named = Counter(name for runbook in runbooks.load_all(PROJECT) for name in runbook.alerts.get("cloudwatch", {}))
    assert named == dict.fromkeys(set(made) - set(UNANSWERED), 1)
    assert set(UNANSWERED) <= set(made)


@pytest.mark.parametrize("environment", ["sandbox", "staging", "production"])
def test_the_alarms_of_an_environment_carry_its_name(environment: str) -> None:
    assert alarm_prefix(PROJECT, environment) == f"daily-emr-{environment}-"


def test_every_runbook_is_started_by_something() -> None:
    for runbook in runbooks.load_all(PROJECT):
        assert {"pagerduty", "alertmanager"} <= set(runbook.alerts)
        assert set(runbook.alerts) <= {"pagerduty", "alertmanager", "cloudwatch"}


def test_the_command_shows_which_alerts_start_the_plan_of_a_runbook() -> None:
    console = Console(file=io.StringIO(), width=500)
    show_runbook(console, PROJECT, "queue_backlog")
    shown = console.file.getvalue()
    assert "cloudwatch: claims-age (claims), notifications-age (notifications)" in shown
    assert "alertmanager: EmrQueueOld (on the component that it names)" in shown


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A copy of what triggers are read from, to be made wrong."""
    (tmp_path / "ansible.cfg").touch()
    (tmp_path / "runbooks").mkdir()
    for name in ("app_outage", "database_failover"):
        (tmp_path / f"runbooks/{name}.yml").write_text((PROJECT.root / f"runbooks/{name}.yml").read_text())
    (tmp_path / "inventories").symlink_to(PROJECT.root / "inventories")
    (tmp_path / "roles").symlink_to(PROJECT.root / "roles")
    return Project(tmp_path)


def change(project: Project, name: str, alerts: dict[str, Any]) -> None:
    path = project.root / f"runbooks/{name}.yml"
    plays = yaml.safe_load(path.read_text())
    plays[0]["vars"]["incident_alerts"] = alerts
    path.write_text(yaml.safe_dump(plays))


def test_an_alert_of_two_runbooks_is_an_error(project: Project) -> None:
    Triggers.of(project, "staging")
    change(project, "database_failover", {"cloudwatch": {"silence": "emr-db"}})
    with pytest.raises(CommandError, match="silence of cloudwatch names app_outage and database_failover: leave it in"):
        Triggers.of(project, "staging")


@pytest.mark.parametrize("component", ["emr-web", "all", "database", "*"])
def test_a_trigger_on_something_else_than_a_component_of_its_runbook_is_an_error(
    project: Project, component: str
) -> None:
    change(project, "database_failover", {"cloudwatch": {"database-cpu": component}})
    with pytest.raises(CommandError, match="none of its components"):
        Triggers.of(project, "staging")


def test_an_environment_that_is_not_there_is_an_error(project: Project) -> None:
    with pytest.raises(CommandError, match="There is no environment 'stagin'"):
        Triggers.of(project, "stagin")
