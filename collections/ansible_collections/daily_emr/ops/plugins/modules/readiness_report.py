#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: readiness_report
short_description: Judge whether an environment is ready for launch, and write the report
version_added: 0.1.0
description:
  - Takes the evidence of M(daily_emr.ops.readiness_evidence), verifies the attestations of people and the waivers with
    the SSH keys in C(allowed_signers), and compares with the last report of the same environment.
  - An environment is ready when every control is V(pass), or V(waived) by a valid waiver. What is V(unknown) is not.
  - Writes V(report.json) and one self-contained page V(report.html) into a new folder, readable by the owner only.
author:
  - Daily EMR operations (@daily-emr)
extends_documentation_fragment:
  - daily_emr.ops.common
requirements:
  - ssh-keygen of OpenSSH 8.9 or newer
attributes:
  check_mode:
    description: Judges and writes its report in check mode too; it changes nothing of the environment.
    support: full
  diff_mode:
    description: Changes nothing of the environment, so there is nothing to show.
    support: none
options:
  evidence:
    description: The evidence of M(daily_emr.ops.readiness_evidence).
    type: list
    elements: dict
    required: true
  calls:
    description: How many requests the evidence took.
    type: int
    required: true
  attestations:
    description: What people have to attest.
    type: list
    elements: dict
    required: true
    suboptions:
      control:
        description: Name of the control; begins with C(people.).
        type: str
        required: true
      title:
        description: What it is about.
        type: str
        required: true
      roles:
        description: The roles that each have to sign, by different people.
        type: list
        elements: str
        required: true
      days:
        description: Days that a signature may hold at most.
        type: int
        required: true
      artifact:
        description: Whether a file belongs to it, which is signed by its digest.
        type: bool
        required: true
  waiver_role:
    description: The role that the owner of a waiver must have.
    type: str
    required: true
  folder:
    description:
      - Folder with C(allowed_signers), C(attestations), C(waivers) and C(artifacts).
      - Without it, C(readiness/<environment>) in the project.
    type: path
  reports:
    description:
      - Folder in which a folder for the report is made.
      - Without it, C(readiness) in that of the environment variable E(DAILY_EMR_RUNS), else in C(.runs) of the project.
    type: path
  page:
    description: File with the Jinja template of the page.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Judge and write the report
  daily_emr.ops.readiness_report:
    evidence: "{{ __readiness_evidence.evidence }}"
    calls: "{{ __readiness_evidence.calls }}"
    attestations: "{{ readiness_attestations }}"
    waiver_role: "{{ readiness_waiver_role }}"
    page: "{{ role_path }}/templates/report.html.j2"
  register: __readiness_report
"""

RETURN = r"""
ready:
  description: Whether every control is met or waived.
  returned: success
  type: bool
  sample: false
sentence:
  description: The verdict in one sentence.
  returned: success
  type: str
  sample: "production is not ready: of 121 controls 2 failed and 1 unknown."
table:
  description: The verdict for a terminal.
  returned: success
  type: str
  sample: "production is not ready: of 121 controls 2 failed and 1 unknown."
blockers:
  description: The controls that stand in the way.
  returned: success
  type: list
  elements: str
  sample: [database.backups]
json_file:
  description: The report for programs.
  returned: success
  type: str
  sample: .runs/readiness/production/20261130-070000-000000/report.json
html_file:
  description: The report for people.
  returned: success
  type: str
  sample: .runs/readiness/production/20261130-070000-000000/report.html
sha256:
  description: Digest of the report.
  returned: success
  type: str
  sample: 8a5c…
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._attestations import Desk
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import COMMON_SPEC, Entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_controls import CHECKS
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_options import REPORT_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_pages import Shelf, page
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_verdict import Place, judge, table

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params


def run(params: Params, context: Context) -> dict[str, Any]:
    """Judge and write; reads and writes nothing but files of this machine."""
    environment = Environment.from_params(params["environment"])
    now = datetime.now(UTC)
    place = Place(environment.name, environment.account_id, environment.region, now)
    folder = Path(params["folder"] or context.project / "readiness" / environment.name)
    runs = Path(os.environ.get("DAILY_EMR_RUNS") or context.project / ".runs")
    shelf = Shelf(Path(params["reports"] or runs / "readiness").absolute() / environment.name)
    desk = Desk(folder, environment.name, now.date())
    made = judge(
        CHECKS,
        params["evidence"],
        params["attestations"],
        desk.attestations(),
        desk.waivers(),
        params["waiver_role"],
        shelf.last(place),
        place,
        params["calls"],
    )
    text = page(Path(params["page"]).read_text(encoding="utf-8"), made)
    json_file, html_file = shelf.put(made, text)
    return {
        "changed": False,
        "ready": made["ready"],
        "sentence": made["sentence"],
        "table": table(made),
        "blockers": made["blockers"],
        "json_file": str(json_file),
        "html_file": str(html_file),
        "sha256": made["sha256"],
    }


ENTRY = Entry({**REPORT_SPEC, **COMMON_SPEC}, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
