#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_health
short_description: Read the health of a database, its sessions and what the application sees of it
version_added: 0.1.0
description:
  - Reads an RDS instance with its events, metrics and pending changes, the secret and the scaling limits of the
    application and its read-only mode, probes every task, and asks the database itself over two sessions of the
    runbook's own role, all at once. A database that hangs costs about five seconds.
  - Returns observations. Each is V(ok), V(finding) or, when something could not be read, V(unknown), which is never
    taken for V(ok), with what was expected, what was seen, when and by which call.
  - Asks the database for states, counts, sizes and ages alone. Reads no text of a statement, no table of the
    application, no value of a secret and nothing about a patient.
  - Writes one row of the schema C(ops), which is the runbooks' own, to see whether a write is acknowledged.
author:
  - Daily EMR operations (@daily-emr)
attributes:
  check_mode:
    description: Reads the same; the write is rolled back, so that whether a commit is acknowledged is not seen.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
  - daily_emr.ops.database.diagnosis
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Read the health of the database
  daily_emr.ops.database_health:
    database: "{{ database }}"
    service: "{{ web_service }}"
    thresholds: "{{ database_failover_thresholds }}"
  register: database_failover_health
"""

RETURN = r"""
observations:
  description: What was seen, one entry for each question.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The question, named for the abnormal answer.
      type: str
      sample: sessions_blocked
    status:
      description: One of V(ok), V(finding), V(unknown).
      type: str
      sample: finding
    symptom:
      description: Whether users feel it, or a spare part is missing; a circumstance, such as a recent change, is none.
      type: bool
      sample: true
    subject:
      description: What it is about.
      type: str
      sample: emr-db
    expected:
      description: What is expected of a healthy system.
      type: str
      sample: fewer than 3 sessions wait 10 s for another
    seen:
      description: What was seen instead, or why nothing could be read.
      type: str
      sample: 7 sessions waiting, 6 of them long for the same, 14 s
    at:
      description: When, in UTC.
      type: str
      sample: "2026-11-22T01:30:00Z"
    call:
      description: By which call.
      type: str
      sample: Q4, pg_locks
subjects:
  description: What a mitigation would act on; a key is null where there is nothing of the kind.
  returned: success
  type: dict
  contains:
    status:
      description: Status of the instance.
      type: str
      sample: available
    zone:
      description: Zone of the primary.
      type: str
      sample: af-south-1a
    standby_zone:
      description: Zone of the standby.
      type: str
      sample: af-south-1b
    allocated_gib:
      description: Storage of the instance in GiB.
      type: int
      sample: 100
    failover_started_at:
      description: When the failover began that is under way, in UTC.
      type: str
      sample: "2026-11-22T01:29:40.000Z"
    node:
      description: The primary now, as address, port and when its server started.
      type: dict
      sample:
        address: 10.0.3.17
        port: 5432
        started: "2026-11-19T08:00:00.000000+00:00"
    blocking_session:
      description:
        - The session of the application whose end helps most at the least cost, as C(pid), C(backend_start), C(state),
          its number of C(victims) and the C(action), V(cancel) or V(terminate).
        - Null when sessions are not blocked, and when only sessions of others could be ended.
      type: dict
      sample:
        pid: 4711
        backend_start: "2026-11-22T01:12:03.123456+00:00"
        state: active
        victims: 6
        action: cancel
    longest_transaction_s:
      description: Age of the oldest open transaction in seconds.
      type: float
      sample: 0.4
    fitting_tasks:
      description: Largest number of tasks whose pools fit into 80 % of the connections.
      type: int
      sample: 34
    orphaned_slot:
      description: Name of the inactive replication slot that nobody owns and that keeps the most back.
      type: str
      sample: old_replica
    rotated_secret:
      description: Name of the secret of the application, when it was changed lately.
      type: str
      sample: daily-emr/staging/DATABASE_URL
    read_only_flag:
      description: Key of the flag that lets the application only read.
      type: str
      sample: read-only
facts:
  description: Numbers worth keeping, of bloat, replicas, CloudWatch and the probes.
  returned: success
  type: dict
  sample:
    login_ms: 31.0
    round_trips_ms: [0.6, 0.5]
    write_ms: 4.2
healthy:
  description: Whether users are served and nothing is missing; null when something that matters could not be read.
  returned: success
  type: bool
  sample: false
sentence:
  description: The state in one sentence.
  returned: success
  type: str
  sample: "emr-db is not healthy: sessions_blocked."
read_at:
  description: When the look began, in UTC.
  returned: success
  type: str
  sample: "2026-11-22T01:30:00Z"
"""

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._database_findings import facts, judged, observe
from ansible_collections.daily_emr.ops.plugins.module_utils._database_options import DATABASE_HEALTH_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._database_readings import read_all
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import healthy
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Entry, read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import iso

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params, Progress

# Below it the way to the database, not the database, would be what is measured.
LEAST_MS = 100


def read_health(params: Params, clients: Clients, progress: Progress, *, keep: bool) -> dict[str, Any]:
    """One look at the database. keep: whether the row that is written stays."""
    at = str(iso(datetime.now(UTC)))
    database, thresholds = params["database"], params["thresholds"]
    for name in ("database_slow_ms", "write_latency_ms"):
        if thresholds[name] < LEAST_MS:
            raise Refused(
                f"{name} is {thresholds[name]} ms, and every network is slow by that: set {LEAST_MS} or more."
            )
    readings = read_all(clients, database, params["service"], thresholds, keep=keep)
    evidence = observe(readings, database, thresholds, at, time_factor=clients.environment.time_factor)
    state = healthy(judged(evidence))
    sentence = evidence.describe(state)
    progress(sentence)
    return {
        "observations": evidence.observations,
        "subjects": evidence.subjects,
        "facts": facts(readings),
        "healthy": state,
        "sentence": sentence,
        "read_at": at,
    }


_KEEPING = read_entry(DATABASE_HEALTH_SPEC, partial(read_health, keep=True))
_ROLLING_BACK = read_entry(DATABASE_HEALTH_SPEC, partial(read_health, keep=False))


def run(params: Params, context: Context) -> dict[str, Any]:
    """Read; check mode leaves nothing behind, not even the row of the runbooks' own."""
    return (_ROLLING_BACK if context.check_mode else _KEEPING).run(params, context)


ENTRY = Entry(_KEEPING.argument_spec, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
