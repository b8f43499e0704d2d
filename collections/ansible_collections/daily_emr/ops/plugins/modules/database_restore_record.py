#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_restore_record
short_description: Keep what a restore check found, beside the dumps
version_added: 0.1.0
description:
  - Puts the record of M(daily_emr.ops.database_restore_check) into the bucket of the dumps, encrypted and locked like
    them, as C(restore_checks/YYYY/MM/DD/HHMMSSZ.json). One that did not pass is kept as well.
author:
  - Daily EMR operations (@daily-emr)
options:
  record:
    description: The record.
    type: dict
    required: true
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.dumps
"""

EXAMPLES = r"""
- name: Keep what was found
  daily_emr.ops.database_restore_record:
    dumps: "{{ dumps }}"
    record: "{{ tried.record }}"
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
  sample: "Nothing to undo: the object is locked until 2027-01-04T02:15:00+00:00, and goes by the bucket's own rule."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: s3://daily-emr-staging-dumps-123456789012/restore_checks/2026/11/30/021500Z.json
"""

from datetime import datetime
from typing import Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import State
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_objects import LockedDocument
from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import DUMPS_OPTION, as_bytes, check_key, name_of
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module


class DatabaseRestoreRecord(LockedDocument):
    name: ClassVar[str] = "database_restore_record"
    spec: ClassVar[dict[str, Any]] = {"dumps": DUMPS_OPTION, "record": {"type": "dict", "required": True}}

    @property
    def key(self) -> str:
        return check_key(self._checked_at)

    @property
    def begun(self) -> str:
        return name_of(self._checked_at)

    def content(self, before: State) -> bytes:
        return as_bytes(self.params["record"])

    @property
    def _checked_at(self) -> datetime:
        try:
            return datetime.fromisoformat(str(self.params["record"]["checked_at"]))
        except (KeyError, ValueError):
            raise Refused("record is not what database_restore_check returned: it does not say when it was.") from None


ENTRY = change_entry(DatabaseRestoreRecord)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
