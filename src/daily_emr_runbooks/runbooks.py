"""What a runbook says about itself: its play header, its inputs, its decision table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import CommandError, one_of
from .project import Project, load_yaml

if TYPE_CHECKING:
    from pathlib import Path

LIFE_CYCLE_ROLE = "incident"


@dataclass(frozen=True)
class Input:
    """One declared input, from an argument spec."""

    name: str
    type: str
    description: str
    required: bool
    default: Any
    choices: tuple[Any, ...]


@dataclass(frozen=True)
class Cause:
    """One row of a decision table."""

    name: str
    because: str
    supported_by: tuple[str | tuple[str, ...], ...]
    contradicted_by: tuple[str, ...]
    mitigations: tuple[str, ...]
    hand_off: str | None


@dataclass(frozen=True)
class Runbook:
    """A file of runbooks/, with what its role declares."""

    name: str
    path: Path
    title: str
    severity: str
    targets: str
    triggers: tuple[str, ...]
    alerts: dict[str, dict[str, str]] = field(default_factory=dict)
    """The alerts that start it: source → name → component, which is empty where the alert names it."""
    short_description: str = ""
    description: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    causes: tuple[Cause, ...] = field(default=(), repr=False)


def names(project: Project) -> list[str]:
    return sorted(path.stem for path in (project.root / "runbooks").glob("*.yml"))


def load_all(project: Project) -> list[Runbook]:
    return [load(project, name) for name in names(project)]


def load(project: Project, name: str) -> Runbook:
    """Read one runbook. Raises CommandError: no such runbook (with what exists), or not in the form of a runbook."""
    name = name.removeprefix("runbooks/").removesuffix(".yml")
    if name not in (known := names(project)):
        raise CommandError(f"There is no runbook {name!r}. {one_of(name, known)}")
    return read(project, project.root / "runbooks" / f"{name}.yml")


def read(project: Project, path: Path) -> Runbook:
    """Read a file whose play takes components through an incident. Raises CommandError when it is not of that form."""
    play = life_cycle_play(path)
    header = play.get("vars") or {}
    role = project.root / "roles" / str(header.get("incident_runbook", path.stem))
    main = main_spec(role)
    return Runbook(
        name=path.stem,
        path=path,
        title=str(header.get("incident_title") or play.get("name") or path.stem),
        severity=str(header.get("incident_severity", "")),
        targets=str(play_of(path)["hosts"]),
        triggers=tuple(str(trigger) for trigger in header.get("incident_triggers") or ()),
        alerts=_alerts(header.get("incident_alerts") or {}),
        short_description=str(main.get("short_description", "")),
        description=texts_of(main.get("description")),
        inputs=(*inputs_of(main), *inputs_of(main_spec(project.root / "roles" / LIFE_CYCLE_ROLE))),
        causes=_causes(role),
    )


def play_of(path: Path) -> dict[str, Any]:
    """The first play of a runbook or playbook. Raises CommandError when there is none."""
    plays = load_yaml(path)
    if not (isinstance(plays, list) and plays and isinstance(plays[0], dict) and "hosts" in plays[0]):
        raise CommandError(f"{path} is not a runbook: it must be a list with one play that has hosts and roles.")
    play: dict[str, Any] = plays[0]
    return play


def life_cycle_play(path: Path) -> dict[str, Any]:
    """The play that takes components through an incident: the first one, or the one behind what looks it up."""
    play_of(path)
    plays: list[dict[str, Any]] = load_yaml(path)
    return next((play for play in plays if "incident_title" in (play.get("vars") or {})), plays[0])


def main_spec(role: Path) -> dict[str, Any]:
    """The main entry point of a role's argument spec; empty when it has none."""
    path = role / "meta" / "argument_specs.yml"
    if not path.is_file():
        return {}
    return ((load_yaml(path) or {}).get("argument_specs") or {}).get("main") or {}


def inputs_of(spec: dict[str, Any]) -> list[Input]:
    """The options of an entry point."""
    return [
        Input(
            name=name,
            type=str(option.get("type", "str")),
            description=" ".join(texts_of(option.get("description"))),
            required=bool(option.get("required", False)),
            default=option.get("default"),
            choices=tuple(option.get("choices") or ()),
        )
        for name, option in (spec.get("options") or {}).items()
    ]


def _causes(role: Path) -> tuple[Cause, ...]:
    path = role / "vars" / "causes.yml"
    if not path.is_file():
        return ()
    table, key = load_yaml(path), f"{role.name}_causes"
    rows = table.get(key) if isinstance(table, dict) else None
    if not isinstance(rows, list):
        raise CommandError(f"{path} is not a decision table: it must have the list {key}.")
    return tuple(
        Cause(
            name=str(row["cause"]),
            because=str(row.get("because", "")),
            supported_by=tuple(
                tuple(str(name) for name in entry) if isinstance(entry, list) else str(entry)
                for entry in row.get("supported_by") or ()
            ),
            contradicted_by=tuple(str(name) for name in row.get("contradicted_by") or ()),
            mitigations=tuple(str(name) for name in row.get("mitigations") or ()),
            hand_off=row.get("hand_off") or None,
        )
        for row in rows
    )


def _alerts(table: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    return {
        source: {str(name): str(component or "") for name, component in names.items()}
        for source, names in table.items()
    }


def texts_of(value: object) -> tuple[str, ...]:
    """A description, which YAML may write as one text or as several."""
    return tuple(str(text) for text in value) if isinstance(value, list) else (str(value),) if value else ()
