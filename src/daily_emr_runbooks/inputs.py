"""What may come in from outside, decided before anything starts.

Extra vars are executed as templates by every version of Ansible, before the argument specs of a role are looked
at. So nothing reaches Ansible that could be a template: a value is an enum, a number, a word of a narrow
alphabet, or the path of a file that is read inside as data.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CommandError, one_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .runbooks import Input

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}", re.ASCII)
INTEGER = re.compile(r"-?[0-9]{1,15}", re.ASCII)
NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?", re.ASCII)
BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}
LONGEST_SHOWN = 60
WORD_RULE = "letters, digits and . _ : / @ - only, starting with a letter or digit, at most 255"


def check_inputs(given: Iterable[str], declared: Iterable[Input]) -> dict[str, Any]:
    """Turn `key=value` words into variables. Raises CommandError for the first one that is not as declared."""
    known = {entry.name: entry for entry in declared}
    checked: dict[str, Any] = {}
    for word in given:
        name, separator, text = word.partition("=")
        if not separator:
            raise CommandError(f"--input {_shown(word)} has no value: write it as name=value.")
        if name not in known:
            raise CommandError(f"There is no input {_shown(name)}. {one_of(name, sorted(known))}")
        if name in checked:
            raise CommandError(f"The input {name} was given twice: say which value you mean.")
        checked[name] = check_value(known[name], text)
    if missing := sorted(entry.name for entry in known.values() if entry.required and entry.name not in checked):
        raise CommandError(f"This runbook needs {', '.join(missing)}: add --input {missing[0]}=….")
    return checked


def check_value(entry: Input, text: str) -> str | float | bool:
    """One value in the type that its argument spec declares. Raises CommandError; never echoes what it refuses
    beyond what is printable."""
    match entry.type:
        case "bool":
            value: str | float | bool | None = BOOLEANS.get(text)
            rule = "true or false"
        case "int":
            value = int(text) if INTEGER.fullmatch(text) else None
            rule = "a whole number"
        case "float":
            value = float(text) if NUMBER.fullmatch(text) else None
            rule = "a number"
        case "path":
            value = _file(text)
            rule = f"the path of a file that exists ({WORD_RULE})"
        case "str":
            value = text if WORD.fullmatch(text) else None
            rule = f"{WORD_RULE} (put free text into a file, for an input that takes one)"
        case other:
            raise CommandError(
                f"The input {entry.name} is a {other}: set it in group_vars of the inventory, not on the command line."
            )
    if value is None:
        raise CommandError(f"The value {_shown(text)} of the input {entry.name} is refused: it must be {rule}.")
    if entry.choices and value not in entry.choices:
        choices = ", ".join(str(choice) for choice in entry.choices)
        raise CommandError(
            f"The value {_shown(text)} of the input {entry.name} is refused: it must be one of {choices}."
        )
    return value


def text_of(value: object) -> str:
    """A value that an earlier run was given, as it would be typed. Raises CommandError for what nobody can type."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise CommandError(
        "An earlier run was given an input that is a list or a dictionary, which cannot be passed on: go on with "
        "ansible-playbook and the same file of inputs, with -e incident_id=INC-...."
    )


def check_break_glass(given: Iterable[str]) -> dict[str, list[str]]:
    """The rules to lift, as a variable; the content knows which there are. Raises CommandError."""
    for text in given:
        if not WORD.fullmatch(text) or ":" not in text:
            raise CommandError(f"--break-glass {_shown(text)} is refused: write RULE:REASON, {WORD_RULE}.")
    return {"break_glass": list(given)} if given else {}


def check_limit(limit: str | None, components: list[str], targets: str, environment: str) -> list[str]:
    """The components that a run will touch: all of the group, or those named. Never nobody, never by a pattern."""
    if not components:
        raise CommandError(
            f"The group {targets} of environment {environment} has no components: add them to "
            f"inventories/{environment}/hosts.yml."
        )
    if limit is None:
        return components
    # Spaces alone: what else Python takes for white space is no part of a list that somebody typed.
    chosen = [name.strip(" ") for name in limit.split(",")]
    for name in chosen:
        if name not in components:
            raise CommandError(f"--limit {_shown(name)} is no component of {targets}. {one_of(name, components)}")
    return sorted(set(chosen))


def _file(text: str) -> str | None:
    if not WORD.fullmatch(text.lstrip("/.")) or ".." in Path(text).parts:
        return None
    path = Path(text).absolute()
    return str(path) if path.is_file() and WORD.fullmatch(str(path).lstrip("/.")) else None


def _shown(text: str) -> str:
    """A refused text, short and harmless to a terminal."""
    return ascii(text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN])
