# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From a journal line to the change it speaks of, and whether the world shows that it was done.

A line is data that somebody may have edited: it names one of our own modules that change something, its options pass
that module's spec, and what the inventory says of a component counts more than what the line says of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, State, where, without_context
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._step_lines import Line, Probed

COLLECTION = "daily_emr.ops."
MODULES = Path(__file__).resolve().parents[1] / "modules"
PACKAGE = "ansible_collections.daily_emr.ops.plugins.modules"
NAME = re.compile(r"[a-z][a-z0-9_]{1,60}")
# What an operator passes to say how an ambiguous step ended.
ANSWER = "incident_answer"


def change_of(module: object, args: object, live: Mapping[str, Any], clients: Clients, incident: Any) -> Change:
    """The change that a module name and its options mean, with the clients of this environment.

    live: what the inventory says of the components that an option may name (service, queue, …), by its name: addresses
    and files come from there. Raises Refused for what is no change of ours, and for options that do not fit.
    """
    kind = change_class(module)
    if not isinstance(args, Mapping):
        raise Refused(f"The journal has no options of {kind.name}: look at its target by hand.")
    given = {name: value for name, value in args.items() if name in kind.spec}
    given |= {name: _known(kind, name, given[name], live[name]) for name in given if live.get(name)}
    unfit = Refused(f"The options of {kind.name} in the journal do not fit it: look at its target by hand.")
    try:
        checked = ArgumentSpecValidator(dict(kind.spec)).validate(given)
    except Exception as error:  # where a dictionary has to be, the validator breaks on what is none
        raise unfit from error
    if checked.error_messages or set(args) - set(kind.spec):
        raise unfit
    return kind({**checked.validated_parameters, "incident": incident}, clients)


def change_class(module: object) -> type[Change]:
    """The change that a module of ours makes. Raises Refused for every other name."""
    name = str(module).removeprefix(COLLECTION)
    found = _changes_in(_module(name)) if NAME.fullmatch(name) and (MODULES / f"{name}.py").is_file() else []
    if not found or not found[-1].leased:
        raise Refused("The journal names a step that no module of ours makes: look at the component by hand.")
    return found[-1]


def _module(name: str) -> ModuleType:
    return import_module(f"{PACKAGE}.{name}")


def _changes_in(module: ModuleType) -> list[type[Change]]:
    """The changes that a module defines, what builds on another behind it."""
    kinds = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Change) and item.__module__ == module.__name__
    ]
    return sorted(kinds, key=lambda kind: len(kind.__mro__))


def _known(kind: type[Change], option: str, kept: Any, places: Any) -> Any:
    """The component that an option named, as the inventory has it now."""
    if not isinstance(kept, Mapping):
        return kept
    same = [place for place in places if isinstance(place, Mapping) and place.get("component") == kept.get("component")]
    if not same:
        raise Refused(f"The {option} of {kind.name} in the journal is not in the inventory: look at it by hand.")
    # A database may be there twice, as it is and as its replica.
    return _merged(kept, max(same, key=lambda place: sum(place.get(name) == value for name, value in kept.items())))


def _merged(kept: Any, live: Any) -> Any:
    """What the inventory says now; what it does not say is as it was."""
    if isinstance(kept, Mapping) and isinstance(live, Mapping):
        names = kept.keys() | live.keys()
        return {name: _merged(kept.get(name), live[name]) if name in live else kept[name] for name in names}
    return live


def observed(change: Change, target: object) -> State:
    """A fresh read of what a step is about. Raises OpsError when it cannot be read, or is about something else."""
    try:
        with calling():
            state = change.observe()
        found = change.target
    except OpsError:
        raise
    except Exception as error:  # options that somebody edited may break a change anywhere
        raise Refused(f"{change.name} cannot be looked at ({where(error)}): look at its target by hand.") from error
    if found != target:
        raise Refused(
            f"{change.name} was made to another target than the inventory names now ({found}): look at both by hand."
        )
    return state


def plain(state: Mapping[str, Any]) -> State:
    """A state as a journal holds it, so that it can be compared with one."""
    found: State = json.loads(json.dumps(without_context(dict(state)), default=str))
    return found


def probe(change: Change, line: Line, now: State) -> Probed:
    """Whether the step of a line was done, by a fresh read. Ambiguous unless the read proves the one or the other.

    line: its intent, with the state before, the intended one, and what the change kept as traces.
    """
    diff, kept = line.get("diff") or {}, dict(line.get("traces") or {})
    before = dict(diff.get("before") or {})
    if not before:
        return Probed.AMBIGUOUS
    # Of an unknown outcome without its intent only what was read behind the call is known, not what was wanted.
    if line["kind"] == "intent" and plain(now) == diff.get("after"):
        return Probed.DONE
    fresh = now.get("context") or {}
    if _holds(lambda: change.done({**before, "context": {**fresh, **kept}}, now)):
        return Probed.DONE
    if _holds(lambda: change.untouched({**before, "context": kept}, {**plain(now), "context": fresh})):
        return Probed.NOT_DONE
    return Probed.AMBIGUOUS


def still_as_left(change: Change, line: Line, now: State) -> bool:
    """Whether what a done step led to is still there, so that it may be taken back."""
    diff, kept = line.get("diff") or {}, dict(line.get("traces") or {})
    if plain(now) == diff.get("after"):
        return True
    before = {**(diff.get("before") or {}), "context": {**(now.get("context") or {}), **kept}}
    return plain(now) != diff.get("before") and _holds(lambda: change.done(before, now))


def _holds(question: Callable[[], bool]) -> bool:
    """Whether the answer is a clear yes. A change that compares what no journal holds cannot say."""
    try:
        return question() is True
    except Exception:  # noqa: BLE001  # KeyError, TypeError: no proof, which is what the answer says
        return False


def shown(state: Mapping[str, Any] | None) -> str:
    """A state in a sentence's middle: plain values only, short."""
    words = [
        f"{name} {value}"
        for name, value in (state or {}).items()
        if name != "context" and (value is None or isinstance(value, (bool, int, float, str)))
    ]
    return ", ".join(re.sub(r"[^\x20-\x7e]+", " ", word)[:80] for word in words) or "nothing that can be shown"
