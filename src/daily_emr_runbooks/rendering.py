"""Pages from templates: HTML that cannot act, Markdown that shows text as it is, files for the owner alone."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from pathlib import Path


def render(template: str, suffix: str, **values: object) -> str:
    """The page `<template>.<suffix>.j2`; suffix is `md` or `html`."""
    html = suffix == "html"
    environment = Environment(
        loader=PackageLoader("daily_emr_runbooks"),
        autoescape=html,  # noqa: S701 - Markdown is escaped by finalize
        finalize=None if html else escape_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{template}.{suffix}.j2").render(**values)


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def escape_markdown(value: object) -> object:
    """Text that Markdown shows as it is: no link, no image, no table cell, no HTML, no emphasis, no code."""
    if not isinstance(value, str):
        return value
    escaped = re.sub(r"([\\`*\[\]|~])", r"\\\1", value)
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("://", ":\\//").replace("@", "&#64;")
