"""Which runbook an alert starts, and on which component: what the runbook files say under `incident_alerts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from daily_emr_runbooks import runbooks
from daily_emr_runbooks.errors import CommandError
from daily_emr_runbooks.project import load_yaml

if TYPE_CHECKING:
    from daily_emr_runbooks.project import Project

    from .alert import Alert


class Left(Exception):
    """An alert that starts nothing: one sentence says why."""


@dataclass(frozen=True)
class Trigger:
    """One alert that a runbook answers."""

    runbook: str
    component: str
    """Where the alert cannot name one; empty where it has to."""
    components: tuple[str, ...]
    """Those that the runbook runs on."""


class Triggers:
    """The alerts that start something in one environment."""

    def __init__(self, known: dict[tuple[str, str], Trigger]) -> None:
        self._known = known

    @classmethod
    def of(cls, project: Project, environment: str) -> Triggers:
        """Read them. Raises CommandError: an alert names two runbooks, or a component that is none of its runbook."""
        known: dict[tuple[str, str], Trigger] = {}
        for runbook in runbooks.load_all(project):
            components = tuple(project.components(environment, runbook.targets))
            for source, names in runbook.alerts.items():
                for name, component in names.items():
                    if other := known.get((source, name)):
                        raise CommandError(
                            f"{name} of {source} names {other.runbook} and {runbook.name}: "
                            "leave it in incident_alerts of one of them."
                        )
                    if component and component not in components:
                        raise CommandError(
                            f"{runbook.path} lets {name} start it on {component}, none of its components."
                        )
                    known[source, name] = Trigger(runbook.name, component, components)
        return cls(known)

    def answer(self, alert: Alert) -> tuple[str, str]:
        """The runbook and the one component that it is planned on. Raises Left: no such alert, or no such component.

        A component that the alert names counts, and is never replaced by another one when it is wrong.
        """
        trigger = self._known.get((alert.source, alert.name))
        if trigger is None:
            raise Left(f"An alert of {alert.source} that no runbook answers started nothing.")
        component = alert.component or trigger.component
        if component not in trigger.components:
            raise Left(
                f"{alert.name} of {alert.source} started nothing: it has to name the component in question, "
                f"one of {', '.join(trigger.components)}."
            )
        return trigger.runbook, component


def alarm_prefix(project: Project, environment: str) -> str:
    """What the names of all alarms of an environment begin with, by the convention of the inventories."""
    convention = load_yaml(project.inventory(environment) / "group_vars/all/convention.yml")
    return f"{convention['emr_prefix']}-".replace("{{ emr_name }}", environment)
