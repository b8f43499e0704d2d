"""Write the generated parts of the documentation: `python -m daily_emr_runbooks.docs [--check]`.

Generated parts stand between `<!-- begin NAME -->` and `<!-- end NAME -->`: the options of a role (from its argument
specs), its decision table (from `vars/causes.yml`), the table of jobs (from the catalogue), and the table of faults
(from `docs/faults.json`, which the integration tests write). The policies of IAM and the definitions of the controllers
are generated as whole files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from daily_emr_runbooks import awx, permissions, semaphore
from daily_emr_runbooks.catalogue import IN_PERSON, Job, jobs
from daily_emr_runbooks.project import Project
from daily_emr_runbooks.text import plain

POLICIES = "roles/runbook_support/templates/policies.json.j2"


def options_table(specs: dict[str, Any]) -> str:
    """The options of the main entry point, nested ones with a dot, as a Markdown table."""
    rows = ["| input | type | default | what it is |", "|---|---|---|---|"]

    def add(options: dict[str, Any], prefix: str) -> None:
        for name, option in options.items():
            text = option["description"]
            text = " ".join(text) if isinstance(text, list) else text
            default = json.dumps(option["default"]) if option.get("default") not in (None, {}) else ""
            required = " (required)" if option.get("required") else ""
            rows.append(
                f"| `{prefix}{name}`{required} | {option['type']} | {default and f'`{default}`'} | {plain(text)} |"
            )
            add(option.get("options", {}), f"{prefix}{name}.")

    add(specs["argument_specs"]["main"].get("options", {}), "")
    return "\n".join(rows)


def causes_table(causes: list[dict[str, Any]]) -> str:
    """The decision table as a Markdown table, in its order."""
    rows = ["| cause | because | needs | ruled out by | does | else |", "|---|---|---|---|---|---|"]
    for row in causes:
        needs = ", ".join(" or ".join(name) if isinstance(name, list) else name for name in row["supported_by"])
        rows.append(
            f"| **{row['cause']}** | {row['because']} | {needs} | {', '.join(row['contradicted_by'])} "
            f"| {', then '.join(row['mitigations'])} | {row['hand_off'] or ''} |"
        )
    return "\n".join(rows)


HEALTHY = "it is healthy again."
"""What the sentence of a run says that brought everything back."""


def faults_table(faults: list[dict[str, Any]]) -> str:
    """What the drills of the last recorded test run did, a line for each fault."""
    rows = [
        "| fault | cause that is named | what is done | outcome | seconds to recover |",
        "|---|---|---|---|---|",
    ]
    for fault in faults:
        if not fault["done"]:
            seconds = "handed over"
        elif HEALTHY not in fault["sentence"]:
            # What was reached instead: nobody recovered.
            seconds = fault["sentence"].rpartition(" was done, and ")[2].rstrip(".")
        else:
            seconds = f"{fault['seconds']:.0f}" if fault["seconds"] is not None else "users did not feel it"
        rows.append(
            f"| `{fault['fault']}` | {fault['cause']} | {', '.join(fault['done']) or fault['sentence']} "
            f"| {fault['outcome']} | {seconds} |"
        )
    return "\n".join(rows)


def jobs_table(known: list[Job]) -> str:
    """What can be started, and what an operator is asked for."""
    rows = ["| job | title | runs on | asks for | in production |", "|---|---|---|---|---|"]
    for job in known:
        asked = ", ".join(f"`{entry.name}`" for entry in job.inputs)
        how = "needs approval" if job.needs_approval else "runs without" if job.changes else "only reads"
        how = "in person, by no controller" if job.name in IN_PERSON else how
        title = f"{job.severity} {job.title}".strip()
        rows.append(f"| [`{job.name}`](../{job.playbook}) | {title} | `{job.targets}` | {asked} | {how} |")
    return "\n".join(rows)


def put(text: str, name: str, body: str) -> str:
    """Replace the generated part `name` of a page."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    head, tail = text.index(begin) + len(begin), text.index(end)
    return f"{text[:head]}\n{body}\n{text[tail:]}"


def pages(project: Path) -> dict[Path, str]:
    """Every page with a generated part, as it should be."""
    made: dict[Path, str] = {}
    for spec in sorted((project / "roles").glob("*/meta/argument_specs.yml")):
        role = spec.parents[1]
        page = role / "README.md"
        text = put(page.read_text(), "options", options_table(yaml.safe_load(spec.read_text())))
        causes = role / "vars/causes.yml"
        if causes.exists():
            text = put(text, "causes", causes_table(yaml.safe_load(causes.read_text())[f"{role.name}_causes"]))
        made[page] = text
    made[project / POLICIES] = permissions.rendered(project)
    made[project / awx.JOBS] = awx.rendered(Project(project))
    made[project / semaphore.PAGE] = semaphore.rendered(Project(project))
    page = project / "docs/controllers.md"
    made[page] = put(page.read_text(), "jobs", jobs_table(jobs(Project(project))))
    page = project / "docs/faults.md"
    text = page.read_text()
    for runbook, faults in json.loads((project / "docs/faults.json").read_text()).items():
        text = put(text, f"faults {runbook}", faults_table(faults))
    made[page] = text
    return made


def main() -> int:
    """Write the pages; with --check only compare them and return 1 when one is stale."""
    stale = [
        (page, text)
        for page, text in pages(Project.find().root).items()
        if not page.exists() or page.read_text() != text
    ]
    if "--check" in sys.argv[1:]:
        for page, _text in stale:
            sys.stderr.write(f"{page} is stale: run `make docs` and commit the result.\n")
        return 1 if stale else 0
    for page, text in stale:
        page.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
