#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: readiness_evidence
short_description: Check every control of launch readiness that AWS can be asked about
version_added: 0.1.0
description:
  - Runs all checks at the same time, in one task. A call that several of them need is made once.
  - Each gives evidence, with what was asked, what has to be true, what was seen, and how long that counts.
  - A check that is denied, fails, or does not find what it needs is V(unknown), and that is never taken for V(pass).
  - Reads settings, states and tags; of objects only the reports of restore checks and rehearsals; no value of a secret.
author:
  - Daily EMR operations (@daily-emr)
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.readiness
"""

EXAMPLES = r"""
- name: Check all controls
  daily_emr.ops.readiness_evidence:
    names: "{{ readiness_names }}"
    wanted: "{{ __readiness_wanted }}"
  register: __readiness_evidence
"""

RETURN = r"""
evidence:
  description: What is known about each control.
  returned: success
  type: list
  elements: dict
  contains:
    control:
      description: Its name, which begins with its area.
      type: str
      sample: database.backups
    title:
      description: What it is about.
      type: str
      sample: Automated backups
    status:
      description: One of V(pass), V(fail), V(unknown).
      type: str
      sample: pass
    method:
      description: That AWS was asked.
      type: str
      sample: api
    call:
      description: By which calls.
      type: str
      sample: rds:DescribeDBInstances
    assertion:
      description: What has to be true.
      type: str
      sample: automated backups are kept for at least 7 days
    observed:
      description: What was seen, of what should stay as it is.
      type: dict
      sample:
        days: 7
    measured:
      description: What was seen, of what changes all the time.
      type: dict
      sample: {}
    why:
      description: Why it is unknown.
      type: str
      sample: ""
    observed_at:
      description: When, in UTC.
      type: str
      sample: "2026-11-30T07:00:00Z"
    valid_for:
      description: How long that counts.
      type: str
      sample: 24h
    account:
      description: In which account.
      type: str
      sample: "123456789012"
    region:
      description: In which Region.
      type: str
      sample: af-south-1
    sha256:
      description: Digest of the record without it.
      type: str
      sample: 8a5c…
calls:
  description: How many requests that took.
  returned: success
  type: int
  sample: 130
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Run
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_controls import CHECKS
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_options import CHECKS_SPEC

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress


def take_evidence(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """One look at everything."""
    progress(f"{len(CHECKS)} controls are checked.")
    evidence, calls = Run(clients, params["names"], params["wanted"], datetime.now(UTC)).evidence(CHECKS)
    return {"evidence": evidence, "calls": calls}


ENTRY = read_entry(CHECKS_SPEC, take_evidence)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
