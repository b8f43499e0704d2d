#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_quiesced
short_description: Wait until the application has stopped to write to the database
version_added: 0.1.0
description:
  - Waits, changing nothing, until every running task refuses a write because of its read-only mode, and then until no
    transaction of the application that has written is open any more.
  - A task is asked with an empty form, which it refuses either way, so that nothing is written.
  - Nothing must write in four looks in a row, because short transactions fall between two of them.
  - Fails when a task still takes writes at the end, does not answer, or when somebody still writes.
  - Reports progress. Being stopped in the middle changes nothing.
author:
  - Daily EMR operations (@daily-emr)
options:
  timeout:
    description: Seconds to wait, at the pace of AWS, but at least ten real ones, because flags take a moment to arrive.
    type: int
    required: true
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.database
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Wait until the writes under way have ended
  daily_emr.ops.database_quiesced:
    database: "{{ database }}"
    service: "{{ web_service }}"
    timeout: 60
"""

RETURN = r"""
quiesced:
  description: That no transaction that has written is open any more. Always true on success; otherwise the task fails.
  returned: success
  type: bool
  sample: true
writers:
  description: Open transactions of the application that have written.
  returned: success
  type: int
  sample: 0
seconds:
  description: How long it took, in seconds.
  returned: success
  type: float
  sample: 3.1
"""

import time
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import read_tasks
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import CHARTS_PATH
from ansible_collections.daily_emr.ops.plugins.module_utils._http import request
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION, endpoint, session
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import SERVICE_OPTION, Json, plural

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress

monotonic = time.monotonic
sleep = time.sleep
# A flag reaches a running task within seconds, and tasks that poll do so every second or slower.
LEAST_S = 10.0
INTERVAL_S = 0.5
# Short transactions fall between two looks; none in four of them in a row is silence.
QUIET_LOOKS = 4
PROBE_S = 3.0

WRITERS = """
SELECT count(*) AS writers FROM pg_stat_activity
WHERE usename = %(role)s AND backend_xid IS NOT NULL
"""


def takes_writes(service: Json, task: Json) -> str:
    """Why a task may still write; empty when it says that it only reads.

    In read-only mode a mutating route answers 503 with the error "read-only", before it looks at the form.
    """
    url = f"http://{task['address']}:{service['port']}{CHARTS_PATH}"
    answer = request("POST", url, timeout_s=PROBE_S, host=service["probes"]["host"] or "", body={})
    if answer.status == HTTPStatus.SERVICE_UNAVAILABLE and answer.body.get("error") == "read-only":
        return ""
    return f"task {task['id'][:8]} does not refuse writes ({answer.seen})"


def open_writers(clients: Clients, database: Json) -> int:
    """Transactions of the application that have written and are open."""
    with session(clients, database, endpoint(clients, database)) as found:
        row = found.execute(WRITERS, {"role": database["application_role"]}).fetchone()
    return int(row["writers"])


def wait(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until nothing writes. Raises CallFailed when a task still takes writes at the end."""
    started = monotonic()
    deadline = started + max(clients.environment.seconds(params["timeout"]), LEAST_S)
    service, database, last, quiet = params["service"], params["database"], "", 0
    while True:
        tasks = read_tasks(clients, service["cluster"], service["service"])
        asked = gather(**{task["id"]: partial(takes_writes, service, task) for task in tasks})
        writing = [str(word) for word in asked.values() if word]
        writers = gather(writers=partial(open_writers, clients, database))["writers"] if not writing else 0
        if isinstance(writers, OpsError):
            writing, writers = [writers.sentence], 0
        passed = monotonic() - started
        quiet = 0 if writing or writers else quiet + 1
        if quiet >= QUIET_LOOKS:
            progress(f"Nothing writes any more after {passed:.0f} s.")
            return {"quiesced": True, "writers": 0, "seconds": round(passed, 1)}
        now = "; ".join(writing) or _still(writers, passed)
        if monotonic() >= deadline:
            raise CallFailed(f"The application did not stop to write within {passed:.0f} s: {now.rstrip('.')}.")
        progress(f"{passed:.0f} s: {now}" if now != last else "")
        last = now
        sleep(INTERVAL_S)


def _still(writers: int, passed: float) -> str:
    return f"After {passed:.0f} s {plural(writers, 'transaction')} that has written is open."


ENTRY = read_entry(
    {"database": DATABASE_OPTION, "service": SERVICE_OPTION, "timeout": {"type": "int", "required": True}}, wait
)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
