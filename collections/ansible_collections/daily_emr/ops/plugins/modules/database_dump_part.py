#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_dump_part
short_description: Put one part of a dump into its bucket, locked
version_added: 0.1.0
description:
  - Uploads a slice of a file as one object, with its SHA-256, which S3 compares with what arrives, with the bucket's
    own encryption, and locked in governance mode.
  - An object with the same content is left as it is. One with another content is refused, as is a bucket that does not
    lock or does not encrypt.
  - A dump is uploaded in parts and not as a multipart upload, because of one S3 only has a checksum of checksums, and
    each part here is one call that is done or not done.
author:
  - Daily EMR operations (@daily-emr)
options:
  name:
    description: Name of the dump, for example V(2026/11/30/013000Z).
    type: str
    required: true
  key:
    description: Key of the object, in the folder of the dump.
    type: str
    required: true
  path:
    description: The file.
    type: path
    required: true
  offset:
    description: Where the part begins in the file.
    type: int
    default: 0
  bytes:
    description: How long it is.
    type: int
    required: true
  sha256:
    description: What it must be.
    type: str
    required: true
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.dumps
"""

EXAMPLES = r"""
- name: Upload the parts of a dump
  daily_emr.ops.database_dump_part:
    dumps: "{{ dumps }}"
    name: "{{ dumped.name }}"
    key: "{{ item.key }}"
    path: "{{ item.path }}"
    offset: "{{ item.offset }}"
    bytes: "{{ item.bytes }}"
    sha256: "{{ item.sha256 }}"
  loop: "{{ dumped.uploads }}"
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
  sample: s3://daily-emr-staging-dumps-123456789012/2026/11/30/013000Z/0001.dump
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import State
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_objects import LockedObject
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_programs import Slice, sha256_of_file
from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import DUMPS_OPTION, SHA256
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module


class DatabaseDumpPart(LockedObject):
    name: ClassVar[str] = "database_dump_part"
    content_type: ClassVar[str] = "application/octet-stream"
    spec: ClassVar[dict[str, Any]] = {
        "dumps": DUMPS_OPTION,
        "name": {"type": "str", "required": True},
        "key": {"type": "str", "required": True, "no_log": False},
        "path": {"type": "path", "required": True},
        "offset": {"type": "int", "default": 0},
        "bytes": {"type": "int", "required": True},
        "sha256": {"type": "str", "required": True},
    }

    @property
    def key(self) -> str:
        return str(self.params["key"])

    @property
    def begun(self) -> str:
        return str(self.params["name"])

    def size_and_sha256(self, before: State) -> tuple[int, str]:
        return int(self.params["bytes"]), str(self.params["sha256"])

    def more_context(self) -> dict[str, Any]:
        """The file as it is now: it may have changed, or have lost its end, since it was measured."""
        path, offset, length = Path(self.params["path"]), self.params["offset"], self.params["bytes"]
        size = path.stat().st_size if path.is_file() else 0
        return {"sha256": sha256_of_file(path, offset, length) if size >= offset + length > 0 else ""}

    def more_refusals(self, before: State) -> list[str]:
        reasons = []
        if not self.key.startswith(f"{self.begun}/"):
            reasons.append(f"{self.key} is not in the folder of dump {self.begun}.")
        if not SHA256.fullmatch(self.params["sha256"]) or before["context"]["sha256"] != self.params["sha256"]:
            reasons.append(f"{self.params['path']} is not what was measured: take a new dump.")
        return reasons

    def put(self, send: Callable[[Any], None], before: State) -> None:
        with Path(self.params["path"]).open("rb") as file:
            send(Slice(file, self.params["offset"], self.params["bytes"]))


ENTRY = change_entry(DatabaseDumpPart)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
