# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the values of secrets look like. May change without notice.

"""Whether a value has the shape that its key should have. Pure; no sentence holds a part of a value.

Every shape is judged by a parser or a whole match, never by a search: a key with a newline at its end, pasted twice or
still a placeholder is what breaks an application at its next start.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

SHAPE_SPEC: dict[str, Any] = {
    "kind": {"type": "str", "choices": ["text", "json", "postgresql_url"], "default": "text"},
    # Of a text, or of each field of a JSON object.
    "pattern": {"type": "str"},
    "min_length": {"type": "int", "default": 16},
    "fields": {"type": "list", "elements": "str", "default": []},
}

# What somebody writes who will put the value in later.
_STAND_INS = re.compile(
    r"(?i)(change[-_ ]?me|place[-_ ]?holder|unset|to[-_ ]?do|fix[-_ ]?me|dummy|secret|x{3,}|\*{3,})"
)


def trouble(value: str, shape: Mapping[str, Any]) -> str:
    """What is wrong with a value, as the end of a sentence; empty when nothing is."""
    if not value:
        return "is empty"
    if value != value.strip():
        return "has white space at an end, as when it is pasted with its line"
    if _STAND_INS.fullmatch(value):
        return "is a stand-in that somebody meant to replace"
    return _JUDGES[shape["kind"]](value, shape)


def sensitive_parts(value: str) -> set[str]:
    """The value and those of its parts that are secret by themselves: a password in a URL, the texts in JSON."""
    parts = {value}
    with suppress(ValueError):
        found = urlsplit(value)
        if found.scheme and found.password:
            parts |= {found.password, unquote(found.password)}
    with suppress(ValueError):
        parts |= set(_texts(json.loads(value)))
    return parts


def _texts(found: Any) -> list[str]:
    if isinstance(found, dict):
        return [text for item in found.values() for text in _texts(item)]
    if isinstance(found, list):
        return [text for item in found for text in _texts(item)]
    return [found] if isinstance(found, str) else []


def _text(value: str, shape: Mapping[str, Any]) -> str:
    if len(value) < shape["min_length"]:
        return f"is shorter than {shape['min_length']} characters"
    if any(not letter.isprintable() for letter in value):
        return "holds a line break or another control character"
    if shape.get("pattern") and not re.fullmatch(shape["pattern"], value):
        return "does not match the pattern of its kind"
    return ""


def _json(value: str, shape: Mapping[str, Any]) -> str:
    try:
        found = json.loads(value)
    except ValueError:
        return "is not JSON"
    if not isinstance(found, dict):
        return "is not a JSON object"
    for name in shape["fields"]:
        if not isinstance(found.get(name), str):
            return f"has no text {name}"
        if why := trouble(found[name], {**shape, "kind": "text"}):
            return f"has a field {name} that {why}"
    return ""


def _postgresql_url(value: str, shape: Mapping[str, Any]) -> str:
    try:
        found = urlsplit(value)
        _port = found.port
    except ValueError:
        return "is not a URL"
    if found.scheme not in ("postgresql", "postgres"):
        return "is not a postgresql:// URL"
    missing = [name for name in ("hostname", "username", "password") if not getattr(found, name)]
    if missing:
        return f"is a URL without {' and '.join(missing)}"
    if not found.path.strip("/"):
        return "is a URL without the name of a database"
    if len(unquote(str(found.password))) < shape["min_length"]:
        return f"has a password shorter than {shape['min_length']} characters"
    return ""


_JUDGES: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "text": _text,
    "json": _json,
    "postgresql_url": _postgresql_url,
}
