# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: where pages of a service level lie. May change without notice.

"""A month of a service level as one HTML page and one JSON file, in a folder."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_pages import write_whole
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import NAIROBI

try:
    import jinja2
except ImportError:  # only where modules are imported without Jinja, as ansible-test does; Ansible needs it anyway
    jinja2 = None  # type: ignore[assignment]


def rendered(template: str, made: dict[str, Any]) -> str:
    """The page of a month; every value is escaped, and a number that nobody knows is said to be unknown."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    read_at = datetime.fromisoformat(made["read_at"]).astimezone(UTC)
    clocks = f"{read_at:%d %B %Y, %H:%M} UTC, {read_at.astimezone(NAIROBI):%H:%M} EAT"
    return environment.from_string(template).render(month=made, clocks=clocks)


def number(value: float | None, digits: int = 1, unit: str = "") -> str:
    """A number with its thousands apart, or "unknown"."""
    return "unknown" if value is None else f"{value:,.{digits}f}{unit}"


def put(folder: Path, made: dict[str, Any], text: str) -> tuple[Path, Path]:
    """Write both files; the paths of the JSON and of the page. Raises OpsError where there is no room."""
    name = f"slo-{made['component']}-{made['month']}"
    json_file, html_file = folder / f"{name}.json", folder / f"{name}.html"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(html_file, text)
        write_whole(json_file, json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    except OSError as error:
        raise OpsError(
            f"The page cannot be written into {folder} ({error.strerror}): make room, or name another one."
        ) from error
    return json_file, html_file
