# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What may come in by extra vars. Ansible executes them as templates, so they are judged before they are used.

Everything here is pure. A sentence never repeats a value: it names the option and what is wrong with it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

# Controllers add variables of their own to every job, such as the message of the commit. Ansible evaluates a variable
# when it is named, and nothing in the content names these (tests/unit/content), so their text is not judged.
CONTROLLER_NAMES = re.compile(r"(awx|tower)_[a-z0-9_]+|semaphore_vars")
TEMPLATE = re.compile(r"\{\{|\{%|\{#|#jinja2:", re.IGNORECASE)
# Control characters but for newline and tab inside a text, the marks that turn the direction of a line around, and
# halves of pairs, which no file can hold.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST = 4096
DEEPEST = 8
SPEC_KEYS = ("type", "choices", "elements", "options")


def input_refusals(given: Mapping[str, Any], declared: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Why these extra vars are not accepted: one sentence for each fault, none when all are good.

    declared: the options of the roles in question, as argument_specs.yml has them.
    """
    reasons: list[str] = []
    for key, value in given.items():
        name = str(key)
        if name.startswith(("ansible_", "__ansible")):
            reasons.append(
                f"{_shown(name)} may not be passed as an extra var: it would change how Ansible itself works."
            )
        elif name in declared:
            reasons += list(hostile(value, name)) or _misfits(name, value, declared[name])
        elif CONTROLLER_NAMES.fullmatch(name):
            reasons += hostile(value, name, texts=False)
        else:
            reasons.append(f"{_shown(name)} is not an input of this runbook{_did_you_mean(name, declared)}")
    return reasons


def hostile(value: Any, path: str, depth: int = 0, *, texts: bool = True) -> Iterator[str]:
    """What in a value could be executed, or could fool who reads it. texts: whether its texts are judged, too."""
    if depth > DEEPEST:
        yield f"{path} is nested more than {DEEPEST} levels deep: pass plain values."
    elif isinstance(value, Mapping):
        for key, item in value.items():
            name = str(key)
            if name.startswith("__ansible"):
                yield f"{path} has a key that begins with __ansible: pass plain values."
            yield from hostile(name, f"a key of {path}", depth + 1)
            yield from hostile(item, f"{path}.{_shown(name)}", depth + 1, texts=texts)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from hostile(item, path, depth + 1, texts=texts)
    elif isinstance(value, (str, bytes)):
        if texts:
            yield from _hostile_text(value if isinstance(value, str) else value.decode("latin-1"), path)
    elif not isinstance(value, (bool, int, float, type(None))):
        yield f"{path} is not a text, a number, a list or a dictionary: pass plain values."


def _hostile_text(text: str, path: str) -> Iterator[str]:
    if len(text) > LONGEST:
        yield f"{path} is longer than {LONGEST} characters: pass the path of a file instead."
    elif TEMPLATE.search(text):
        yield f"{path} contains template markers, which would be executed: pass a plain value."
    elif CONTROL.search(text):
        yield f"{path} contains control characters: pass a plain value."


def _misfits(name: str, value: Any, option: Mapping[str, Any]) -> list[str]:
    """Whether a value has the declared type and is one of the declared choices."""
    kind = option.get("type", "str")
    if kind == "str" and not isinstance(value, (str, int, float)):
        return [f"{name} must be a text: correct it."]
    result = ArgumentSpecValidator({name: _spec(option)}).validate({name: value})
    if not result.error_messages:
        return []
    wanted = f"one of {', '.join(map(str, option['choices']))}" if option.get("choices") else f"of type {kind}"
    return [f"{name} must be {wanted}: correct it."]


def _spec(option: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a declared option that says which values fit; whether it is required is for the role to say."""
    spec = {key: option[key] for key in SPEC_KEYS if key in option}
    if "options" in spec:
        spec["options"] = {name: _spec(inner) for name, inner in spec["options"].items()}
    return spec


def _did_you_mean(name: str, declared: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, sorted(declared), n=1)
    return f": did you mean {close[0]}?" if close else f", which has {', '.join(sorted(declared)) or 'none'}."


def _shown(name: str) -> str:
    """A name as it may be shown: what is not a plain identifier is not repeated."""
    return name if re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", name) else "A variable whose name is not a plain word"
