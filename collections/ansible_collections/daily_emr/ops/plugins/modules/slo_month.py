#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: slo_month
short_description: Read the error budget of the month from the ledger of days, and write its page
version_added: 0.1.0
description:
  - Finished days come from the ledger that M(daily_emr.ops.slo_ledger) keeps; today, and days that it has not, from
    CloudWatch, which judges several minutes at once where single ones are gone.
  - Says what both ledgers of the calendar month are at, and beside them those of the last 28 days, because the first of
    a month makes nothing well; when releases freeze at the pace of the last hour; and what the month before has left.
  - What cannot be read is unknown, and never V(OPEN) or 0.
  - Reads counts only, and nothing about a patient. Writes a page where O(folder) says so, also in check mode.
author:
  - Daily EMR operations (@daily-emr)
options:
  settle_minutes:
    description: Minutes after the end of a day before it can be written into the ledger.
    type: int
    default: 15
  folder:
    description: Folder in which the page and its JSON are written. Without it, nothing is written.
    type: path
  page:
    description: File with the Jinja template of the page. Needed with O(folder).
    type: path
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.service
  - daily_emr.ops.slo
  - daily_emr.ops.slo.canaries
"""

EXAMPLES = r"""
- name: Read the month, and write its page
  daily_emr.ops.slo_month:
    environment: "{{ emr_environment }}"
    service: "{{ web_service }}"
    slo: "{{ web_service_slo }}"
    folder: "{{ slo_folder }}"
    page: "{{ role_path }}/templates/month.html.j2"
  register: month
"""

RETURN = r"""
month:
  description:
    - The month as the JSON file has it. C(calendar) and C(rolling) are in the form of M(daily_emr.ops.error_budget),
      C(days) has a row for each day, C(carried) says what the month before has left.
  returned: success
  type: dict
  sample: {component: emr-web, month: "2026-11", state: OPEN}
state:
  description: Whether releases may go out by the calendar month, one of V(OPEN), V(CAUTION), V(FREEZE), V(UNKNOWN).
  returned: success
  type: str
  sample: OPEN
sentence:
  description: The state in one sentence.
  returned: success
  type: str
  sample: "emr-web is OPEN: 2.0 min down, requests worth 3.1 min failed (7% of the budget)."
to_write:
  description: Finished days that the ledger has not and that can still be written.
  returned: success
  type: list
  elements: str
  sample: ["2026-11-21"]
lost:
  description: Finished days that the ledger has not and that nobody can write any more.
  returned: success
  type: list
  elements: str
  sample: []
html_file:
  description: The page; empty when none was asked for.
  returned: success
  type: str
  sample: .runs/slo/slo-emr-web-2026-11.html
json_file:
  description: The same for programs; empty when none was asked for.
  returned: success
  type: str
  sample: .runs/slo/slo-emr-web-2026-11.json
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_month import month_page
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_options import SLO_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_pages import put, rendered
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_readings import clock, read_kept
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import SERVICE_OPTION

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress

MONTH_SPEC: dict[str, Any] = {
    "service": SERVICE_OPTION,
    "slo": SLO_OPTION,
    "canaries": {"type": "list", "elements": "str", "default": []},
    "settle_minutes": {"type": "int", "default": 15},
    "folder": {"type": "path"},
    "page": {"type": "path"},
}


def read_month(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """One look at the month; with a folder, its page."""
    if params["folder"] and not params["page"]:
        raise Refused("folder is set and page is not: name the file with the template of the page.")
    service, at = params["service"], clock(clients)
    kept = read_kept(clients, service, params["canaries"], at)
    made = month_page(kept, service, params["slo"], at, params["settle_minutes"])
    made["environment"] = clients.environment.name
    json_file = html_file = ""
    if params["folder"]:
        json_file, html_file = map(str, put(Path(params["folder"]), made, rendered(template(params["page"]), made)))
    progress(made["sentence"])
    return {
        "month": made,
        "state": made["state"],
        "sentence": made["sentence"],
        "to_write": made["to_write"],
        "lost": made["lost"],
        "html_file": html_file,
        "json_file": json_file,
    }


def template(path: str) -> str:
    """Raises OpsError where there is no such file."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise OpsError(
            f"The template of the page cannot be read from {path} ({error.strerror}): correct page."
        ) from error


ENTRY = read_entry(MONTH_SPEC, read_month)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
