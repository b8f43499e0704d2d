#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_dump_manifest
short_description: Put the manifest of a dump into its bucket, which makes it a dump
version_added: 0.1.0
description:
  - Reads back every object of the dump first, and refuses unless S3 has each with its size, its SHA-256, its encryption
    and its lock. The manifest names the version of each, so that whatever is put in front of one later changes nothing.
  - A folder without a manifest is no dump, whatever else lies in it.
author:
  - Daily EMR operations (@daily-emr)
options:
  dump:
    description: The manifest, as M(daily_emr.ops.database_dump) returned it.
    type: dict
    required: true
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.dumps
"""

EXAMPLES = r"""
- name: Make it a dump
  daily_emr.ops.database_dump_manifest:
    dumps: "{{ dumps }}"
    dump: "{{ dumped.dump }}"
"""

RETURN = r"""
outcome:
  description: How the change ended, one of V(ok), V(noop), V(planned), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: []
undo:
  description: Why nothing would undo it, in a sentence.
  returned: always
  type: str
  sample: "Nothing to undo: the object is locked until 2027-01-04T01:30:00+00:00, and goes by the bucket's own rule."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: s3://daily-emr-staging-dumps-123456789012/2026/11/30/013000Z/manifest.json
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import State
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_objects import LockedDocument, faults_of, heads
from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import (
    DUMPS_OPTION,
    BadDump,
    as_bytes,
    manifest_key,
    parts_of,
    read_manifest,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module


class DatabaseDumpManifest(LockedDocument):
    name: ClassVar[str] = "database_dump_manifest"
    spec: ClassVar[dict[str, Any]] = {"dumps": DUMPS_OPTION, "dump": {"type": "dict", "required": True}}

    @property
    def begun(self) -> str:
        name = self.params["dump"].get("dump")
        if not name:
            raise Refused("dump is not what database_dump returned: it has no name.")
        return str(name)

    @property
    def key(self) -> str:
        return manifest_key(self.begun)

    def more_context(self) -> dict[str, Any]:
        parts = parts_of(self.params["dump"])
        return {"parts": list(zip(parts, heads(self.clients, self.dumps["bucket"], parts), strict=True))}

    def content(self, before: State) -> bytes:
        parts = [
            replace(part, version_id=seen.version_id if seen else "").as_json()
            for part, seen in before["context"]["parts"]
        ]
        return as_bytes({**self.params["dump"], "parts": parts[:-1], "globals": parts[-1]})

    def more_refusals(self, before: State) -> list[str]:
        now = datetime.now(UTC)
        faults = [
            fault for part, seen in before["context"]["parts"] for fault in faults_of(part, seen, self.dumps, now)
        ]
        if faults:
            return [f"{fault}, so this is no dump: take a new one." for fault in faults]
        try:
            read_manifest(self.content(before), self.begun)
        except BadDump as error:
            return [error.sentence]
        return []


ENTRY = change_entry(DatabaseDumpManifest)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
