# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: where reports of readiness lie. May change without notice.

"""The reports of one environment, the newest last, and the page that a board reads."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Json, digest, instant
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_verdict import Place, rows, shown
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import NAIROBI

try:
    import jinja2
except ImportError:  # only where modules are imported without Jinja, as ansible-test does; Ansible needs it anyway
    jinja2 = None  # type: ignore[assignment]


JSON, HTML = "report.json", "report.html"


@dataclass(frozen=True)
class Shelf:
    """The folder with the reports of one environment; each lies in a folder that is named for its time."""

    folder: Path

    def last(self, place: Place) -> Json | None:
        """The newest report of this environment and account that nobody changed since it was written."""
        for path in sorted(self.folder.glob(f"*/{JSON}"), reverse=True):
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if isinstance(found, dict) and intact(found):
                same = (found["environment"], found["account"]) == (place.environment, place.account)
                if same:
                    return found
        return None

    def put(self, made: Json, text: str) -> tuple[Path, Path]:
        """Write a report; the paths of its JSON and of its page. Raises OpsError where there is no room."""
        name = made["run_at"].replace("-", "").replace(":", "").replace("T", "-").rstrip("Z")
        folder = self.folder / f"{name}-{made['sha256'][:8]}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            write_whole(folder / HTML, text)
            # Last, because a report counts from here on.
            write_whole(folder / JSON, json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
        except OSError as error:
            raise OpsError(f"The report cannot be written into {folder} ({error.strerror}): make room.") from error
        return folder / JSON, folder / HTML


def intact(made: Json) -> bool:
    """Whether a report says what it said when it was written."""
    return made.get("sha256") == digest({key: value for key, value in made.items() if key != "sha256"})


def write_whole(path: Path, text: str | bytes) -> None:
    """Write a file so that whoever reads it sees all of it or what was there before. Raises OSError."""
    temporary = path.with_suffix(".part")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(text.encode() if isinstance(text, str) else text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def page(template: str, made: Json) -> str:
    """The report as one HTML page; every value is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["shown"] = shown
    records: dict[str, Any] = {record["control"]: record for record in made["controls"]}
    areas = rows(made["controls"])
    by_area = {
        row["area"]: [item for name, item in records.items() if name.partition(".")[0] == row["area"]] for row in areas
    }
    return environment.from_string(template).render(
        report=made,
        areas=areas,
        by_area=by_area,
        blockers=sorted((records[name] for name in made["blockers"]), key=lambda item: str(item["status"])),
        waivers=[record for record in made["controls"] if record["status"] == "waived"],
        times=_times(made),
    )


def _times(made: Json) -> dict[str, str]:
    """When it was looked at and until when it holds, by the clock of the record and by that of who reads it."""
    times = {}
    for name, text in (("", made["run_at"]), ("until_", made["valid_until"])):
        at = instant(text) if text else None
        times[f"{name}day"] = f"{at:%d %B %Y}" if at else ""
        times[f"{name}clocks"] = f"{at:%H:%M} UTC, {at.astimezone(NAIROBI):%H:%M} EAT" if at else ""
    return times
