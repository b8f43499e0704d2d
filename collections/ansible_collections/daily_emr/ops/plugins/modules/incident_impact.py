#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_impact
short_description: Read what an incident did to the users of the web service
version_added: 0.1.0
description:
  - Reads from CloudWatch how many requests of the web service failed, how many there were, and how long they took, in
    steps of a minute of AWS, from half an hour before the run was opened until now, and journals it as C(impact). It is
    what users felt, whichever component the incident is about.
  - It never fails a run. What cannot be read is journalled as not known, with the reason, and users of whom nothing is
    known are never said to be unhurt.
author:
  - Daily EMR operations (@daily-emr)
attributes:
  check_mode:
    description: Reads nothing, because nothing was changed that could be compared.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
  - daily_emr.ops.slo
"""

EXAMPLES = r"""
- name: Read what users felt
  daily_emr.ops.incident_impact:
    environment: "{{ emr_environment }}"
    incident: "{{ opened.incident }}"
    service: "{{ hostvars['emr-web'].web_service }}"
    slo: "{{ emr_slo }}"
"""

RETURN = r"""
known:
  description: Whether it could be read.
  returned: success
  type: bool
  sample: true
why:
  description: Why it is not known.
  returned: when it is not known
  type: str
  sample: "cloudwatch:GetMetricData was denied: AccessDenied."
series:
  description:
    - The counts. C(at) is when a step begins, in UTC; C(minutes) is how many minutes of AWS it has; C(p95_ms) is null
      where no target answered.
  returned: when it is known
  type: list
  elements: dict
  sample: [{"at": "2026-11-22T01:30:00.000Z", "minutes": 1.0, "bad": 60.0, "valid": 600.0, "p95_ms": 120.0}]
time_factor:
  description: How much faster than that of AWS the clock of the environment runs; 1 outside the sandbox.
  returned: when it is known
  type: float
  sample: 1.0
down_ratio:
  description: Part of the requests of a minute that must fail for it to count as down.
  returned: when it is known
  type: float
  sample: 0.05
down_requests:
  description: Requests that a minute needs to be judged by them.
  returned: when it is known
  type: int
  sample: 50
budget_minutes_month:
  description: Minutes that may be lost in the month.
  returned: when it is known
  type: float
  sample: 43.2
read_at:
  description: When it was read, in UTC.
  returned: when it is known
  type: str
  sample: "2026-11-22T01:45:00.000Z"
sentence:
  description: What was read, in one sentence.
  returned: when it is known
  type: str
  sample: 600 of 27000 requests failed from 2026-11-22T01:00:00.000Z to 2026-11-22T01:45:00.000Z.
"""

from datetime import UTC, datetime
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._cancel import refuse_when_cancelled
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._impact import BriefClients, read_impact
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    COMMON_SPEC,
    Context,
    Entry,
    Params,
    connect,
    run_module,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_options import SLO_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import SERVICE_OPTION, parse_utc

ARGUMENT_SPEC: dict[str, Any] = {"service": SERVICE_OPTION, "slo": SLO_OPTION, **COMMON_SPEC}


def run(params: Params, context: Context) -> dict[str, Any]:
    if context.check_mode:
        why = "Check mode changed nothing, so what users feel is not compared."
        return {"changed": False, "known": False, "why": why, "msg": why}
    session = Session.from_params(params.get("incident"))
    try:
        found = {"known": True, **_read(params, session)}
        said = str(found["sentence"])
    except OpsError as error:
        said = error.sentence
        found = {"known": False, "why": said}
    if session:
        Journal.of(session).append("impact", **found)
    return {"changed": False, **found, "msg": said}


def _read(params: Params, session: Session | None) -> dict[str, Any]:
    clients = BriefClients(connect(params)[0].environment)
    # Whoever stops a run waits for its end: nothing is read for them.
    refuse_when_cancelled(session)
    clients.prove()
    now = datetime.now(UTC)
    lines = Journal.of(session).read() if session else []
    opened = parse_utc(str(lines[0]["at"])) if lines else now
    with calling():
        return read_impact(clients, params["service"], params["slo"], opened, now)


ENTRY = Entry(ARGUMENT_SPEC, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
