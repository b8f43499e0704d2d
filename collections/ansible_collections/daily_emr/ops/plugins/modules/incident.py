#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: incident
short_description: Open, work on and close an incident
version_added: 0.1.0
description:
  - Keeps the life cycle of a run, and its journal and record in a folder of its own.
  - V(open) proves account, role, region and environment, makes the run folder, and looks whether somebody else holds
    the lease on the component. It changes nothing in AWS.
  - V(mitigating) takes the lease, unless somebody worked on the component since it was opened.
  - V(closed) reads from the journal how the run ended, writes the record and releases the lease. The lease stays when
    the outcome is V(unknown), because a person has to look first. It fails unless the run succeeded, was only a plan,
    or had nothing to do.
  - Last of all, the head of the journal of a run that announced a change is put into the bucket of the audit, under
    object lock. Where that does not succeed it is a warning, and stands in the record.
author:
  - Daily EMR operations (@daily-emr)
options:
  state:
    description: The part of its life that the incident enters.
    type: str
    choices: [open, mitigating, closed]
    required: true
  runbook:
    description: Name of the runbook. For O(state=open).
    type: str
    default: ""
  title:
    description: What is wrong, as users would say it. For O(state=open).
    type: str
    default: ""
  severity:
    description: How bad it is. For O(state=open).
    type: str
    choices: [SEV1, SEV2, SEV3, SEV4]
    default: SEV1
  component:
    description: The inventory host that the incident is about, which the lease is taken on. Needed for O(state=open).
    type: str
    default: ""
  incident_id:
    description: The incident to join; a new one is opened when it is empty. For O(state=open).
    type: str
    default: ""
  continues:
    description:
      - Whether the run goes on with the incident that it joins, as a runbook does. It has to be the runbook of the
        incident, on its component and with its code, and the steps of earlier runs are looked at. For O(state=open).
    type: bool
    default: false
  accept_new_code:
    description: Whether it may go on with other code than it was begun with. For O(state=open).
    type: bool
    default: false
  alert:
    description:
      - What the file of the alert holds that started the run; empty when none did. For O(state=open).
      - Its source, name, component, reference and times get into the record, its text does not.
    type: str
    default: ""
  runs_dir:
    description:
      - Folder for the run folders.
      - Without it the environment variable E(DAILY_EMR_RUNS) counts, else C(.runs) in the project.
    type: path
  take_over:
    description:
      - Why the lease of a run that died may be taken over. It is watched for its whole length first, and taken only
        when it was not renewed. For O(state=open) and O(state=mitigating).
    type: str
    default: ""
  lease_seconds:
    description: Length of the lease in seconds. For O(state=mitigating).
    type: int
    default: 120
  contract:
    description:
      - Whether every change has to be in the plan of the run, which M(daily_emr.ops.plan_contract) makes. Only planned
        work, such as a backup or a rotation, has none. For O(state=mitigating).
    type: bool
    default: true
  calendars:
    description:
      - Change calendars of Systems Manager, by name or ARN. Work without a contract is refused while one of them is not
        open; M(daily_emr.ops.plan_contract) looks at them for an incident. For O(state=mitigating).
    type: list
    elements: str
    default: []
  break_glass:
    description:
      - Rules that are lifted for this run, each as C(RULE:REASON); of them only V(lease_table) counts here. For
        O(state=open) and O(state=mitigating).
      - A runbook then goes on although the table of the leases gives no answer, outside production, under a lock of
        this machine. What the table does answer counts as ever, and planned work is not done without it.
    type: list
    elements: str
    default: []
  failure:
    description: Why the run stopped, when a task of it failed. For O(state=closed).
    type: str
    default: ""
attributes:
  check_mode:
    description: Proves, opens and closes as ever, with a local journal, but takes no lease.
    support: full
  diff_mode:
    description: Changes no component, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Open the incident
  daily_emr.ops.incident:
    state: open
    environment: "{{ emr_environment }}"
    runbook: app_outage
    title: The application is down
    severity: SEV1
    component: emr-web
  register: opened

- name: Take the lease
  daily_emr.ops.incident:
    state: mitigating
    environment: "{{ emr_environment }}"
    incident: "{{ opened.incident }}"
  register: lease

- name: Close it
  daily_emr.ops.incident:
    state: closed
    environment: "{{ emr_environment }}"
    incident: "{{ lease.incident }}"
"""

RETURN = r"""
state:
  description: The state that was entered.
  returned: always
  type: str
  sample: open
incident:
  description: The session of the incident, to be passed to every other module as O(incident).
  returned: when O(state) is V(open) or V(mitigating)
  type: dict
  sample: {"id": "INC-20261122-013000-9f3a", "run": "20261122-013000-77c1", "component": "emr-web", "fence": 4}
in_doubt:
  description: Steps of earlier runs whose end nobody knows. M(daily_emr.ops.step_probe) looks at them.
  returned: when O(state) is V(open)
  type: list
  elements: dict
  sample: [{"incident": "INC-7", "run": "20261122-013000-77c1", "seq": 9, "step": "feature_flag", "target": "flag/x"}]
done:
  description: Steps that earlier runs of the incident have done and nobody took back.
  returned: when O(state) is V(open)
  type: list
  elements: dict
  sample: [{"run": "20261122-013000-77c1", "seq": 9, "step": "feature_flag", "target": "flag/x"}]
outcome:
  description: How the run ended.
  returned: when the run has ended
  type: str
  sample: succeeded
exit_code:
  description: The number that stands for the outcome, V(0) when all is well.
  returned: when the run has ended
  type: int
  sample: 0
record:
  description: Path of the record.
  returned: when the run has ended
  type: str
  sample: .runs/INC-20261122-013000-9f3a/20261122-013000-77c1/record.json
"""

import os
import re
import secrets
import socket
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._alert import read_alert
from ansible_collections.daily_emr.ops.plugins.module_utils._break_glass import LEASE_TABLE, BreakGlass, lifted_rules
from ansible_collections.daily_emr.ops.plugins.module_utils._calendars import closed_calendars, frozen
from ansible_collections.daily_emr.ops.plugins.module_utils._cancel import note_cancel, refuse_when_cancelled
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._code import code_digest
from ansible_collections.daily_emr.ops.plugins.module_utils._contract import PLANNED_WORK
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallUnknown, OpsError, Refused, Unanswered
from ansible_collections.daily_emr.ops.plugins.module_utils._expiry import refuse_expiring
from ansible_collections.daily_emr.ops.plugins.module_utils._heads import keep_head
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import (
    INCIDENT_ID,
    Journal,
    Session,
    runs_folder,
    write_record,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import Lease, LeaseStore, LeaseView, held_by
from ansible_collections.daily_emr.ops.plugins.module_utils._machine_lock import MachineLock
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    COMMON_SPEC,
    Context,
    Entry,
    Params,
    failure,
    run_module,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import EXIT_CODES, RunOutcome
from ansible_collections.daily_emr.ops.plugins.module_utils._plan_approvals import use_approval
from ansible_collections.daily_emr.ops.plugins.module_utils._record import announced, build_record, judge, last
from ansible_collections.daily_emr.ops.plugins.module_utils._resume import Past, kept_inputs, look_back
from ansible_collections.daily_emr.ops.plugins.module_utils._without_table import (
    HOLDER,
    LEASE,
    break_glass,
    refuse_known_holder,
    said_at_the_end,
    session_without_lease,
)

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["open", "mitigating", "closed"], "required": True},
    "runbook": {"type": "str", "default": ""},
    "title": {"type": "str", "default": ""},
    "severity": {"type": "str", "choices": ["SEV1", "SEV2", "SEV3", "SEV4"], "default": "SEV1"},
    "component": {"type": "str", "default": ""},
    "incident_id": {"type": "str", "default": ""},
    "continues": {"type": "bool", "default": False},
    "accept_new_code": {"type": "bool", "default": False},
    "alert": {"type": "str", "default": ""},
    "runs_dir": {"type": "path"},
    "take_over": {"type": "str", "default": ""},
    "lease_seconds": {"type": "int", "default": 120},
    "contract": {"type": "bool", "default": True},
    "calendars": {"type": "list", "elements": "str", "default": []},
    "break_glass": {"type": "list", "elements": "str", "default": []},
    "failure": {"type": "str", "default": ""},
    **COMMON_SPEC,
}
# It must outlast the longest call and a start of Ansible, and a dead run must not block a night.
LEASE_SECONDS = range(30, 3601)
LONGEST_FAILURE = 2000


def run(params: Params, context: Context) -> dict[str, Any]:
    if params["state"] == "open":
        return {"state": "open", **open_incident(params, context)}
    session = Session.from_params(params.get("incident"))
    if session is None:
        raise Refused("There is no open incident to go on with: run the runbook from its start.")
    if params["state"] == "mitigating":
        return {"state": "mitigating", **take_lease(params, session, context)}
    return {"state": "closed", **close(params, session, context)}


def open_incident(params: Params, context: Context) -> dict[str, Any]:
    """Make the run folder, then prove where we are: a refusal has a record too."""
    if not params["component"]:
        raise Refused("component is not set: name the inventory host that the incident is about.")
    identifier = params["incident_id"] or f"INC-{_stamp()}"
    if not INCIDENT_ID.fullmatch(identifier):
        raise Refused("incident_id must look like INC-20261122-013000-9f3a: letters, digits and dashes after INC-.")
    alert = read_alert(params["alert"], params["component"]) if params["alert"] else {}
    session = Session(
        identifier, _stamp(), runs_folder(params["runs_dir"], context.project) / identifier, params["component"]
    )
    session = Session(session.id, session.run, session.folder / session.run, session.component)
    journal = Journal.of(session)
    journal.create()
    about = {name: params[name] for name in ("runbook", "title", "severity")}
    about |= {"environment": str(params["environment"]["name"]), "mode": "plan" if context.check_mode else "run"}
    about |= {"alert": alert} if alert else {}
    about |= {"resumable": True, "inputs": kept_inputs(context.inputs)} if params["continues"] else {}
    try:
        code = code_digest(context.project) if params["continues"] else ""
        clients = _clients(params)
        if not context.check_mode:
            refuse_expiring(clients.environment, os.environ)
        identity = clients.prove()
        glass = BreakGlass(lifted_rules(params["break_glass"]), clients.environment.name)
        silence, view, past = _look(params, clients, session, code)
        if silence and not (params["continues"] and glass.lifts(LEASE_TABLE)):
            raise silence
    except OpsError as error:
        journal.append("opened", **about)
        return _refuse(params, session, context, error)
    about |= {"operator": identity.operator, "role": identity.role}
    about |= {"fence_seen": view.fence} if view else {}
    about |= {"held_by": view.holder()} if view and view.held else {}
    journal.append("opened", **about, **({"code": code} if code else {}), **past.as_facts())
    broken = [break_glass(session, glass, silence, identity.operator, HOLDER)] if silence else []
    if past.reasons:
        return _refuse(params, session, context, Refused(*past.reasons))
    result: dict[str, Any] = {
        "changed": False,
        "incident": session.as_params(),
        "in_doubt": past.in_doubt,
        "done": past.done,
        "msg": f"Incident {identifier} is open.",
    }
    if broken:
        return {**result, "warnings": broken}
    if view and view.held and context.check_mode:
        return {**result, "warnings": [held_by(view).sentence]}
    if view and view.held and not params["take_over"] and not past.left:
        return _refuse(params, session, context, held_by(view))
    return result


def _look(
    params: Params, clients: Clients, session: Session, code: str
) -> tuple[Unanswered | None, LeaseView | None, Past]:
    """The silence of the table, if it gave no answer; the lease; and what was before this run.

    A lease that was read is kept when the table falls silent behind it: what it said counts.
    """

    def past(view: LeaseView | None) -> Past:
        return look_back(params, clients, view, session.folder.parents[1], code) if params["continues"] else Past()

    view = None
    try:
        view = _store(clients).peek(params["component"])
        return None, view, past(view)
    except Unanswered as silence:
        if view and view.held:
            raise Refused(silence.sentence) from silence
        return silence, view, past(None)


def take_lease(params: Params, session: Session, context: Context) -> dict[str, Any]:
    """Take the lease, or renew it when this run holds it already. Not in check mode."""
    if context.check_mode:
        return {"changed": False, "incident": session.as_params(), "msg": "In check mode no lease is taken."}
    journal = Journal.of(session)
    try:
        if params["lease_seconds"] not in LEASE_SECONDS:
            raise Refused(f"lease_seconds must be from {LEASE_SECONDS[0]} to {LEASE_SECONDS[-1]}: correct it.")
        refuse_when_cancelled(session)
        clients = _clients(params)
        identity = clients.prove()
        if not params["contract"] and (why := frozen(closed_calendars(clients, params["calendars"]))):
            raise Refused(why)
        if params["contract"] and not session.plan:
            raise Refused(f"The run has no plan for {session.component}: run the runbook from its start.")
        owner = f"{identity.operator}@{socket.gethostname()}"
        try:
            if session.fence is not None:
                _store(clients).renew(Lease.of(session))
                use_approval(clients, session, journal.read())
                return {"changed": False, "incident": session.as_params(), "msg": "The lease was held already."}
            lease = _acquire(params, clients, session, owner, context)
        except Unanswered as silence:
            if not params["contract"]:
                raise
            return _go_without(params, clients, session, owner, silence)
    except OpsError as error:
        journal.append("refused", msg=error.sentence)
        raise
    held = replace(session, fence=lease.fence, owner=lease.owner, lease_seconds=lease.lease_s)
    session = held if params["contract"] else replace(held, plan=PLANNED_WORK)
    line = journal.append("lease", fence=lease.fence, owner=lease.owner, taken_over=params["take_over"])
    result = {"changed": False, "incident": session.as_params(), "msg": f"The lease on {session.component} is taken."}
    try:
        _store(clients).record(line)  # anchors the journal; a run goes on without
    except OpsError as error:
        return {**result, "warnings": [f"The beginning of the journal is not anchored: {error.sentence}"]}
    return result


def _acquire(params: Params, clients: Clients, session: Session, owner: str, context: Context) -> Lease:
    """Take the lease from the table, claim the component on this machine, and use the approval of the plan."""
    store, lock = _store(clients), MachineLock(clients.environment, session.component)
    lines = Journal.of(session).read()
    opened, looked = last(lines, "opened"), last(lines, "probed")
    # Another machine has to know what the incident is about, should this one not come back.
    store.record_opening(opened)
    if "fence_seen" not in opened:
        raise Refused(
            f"The lease table answers again, and nobody saw at the beginning of this run who works on "
            f"{session.component}: run again."
        )
    take_over = params["take_over"] or ("resume" if opened.get("left") else "")
    lease = store.acquire(
        session.component,
        owner,
        session.id,
        session.run,
        int(opened["fence_seen"]),
        params["lease_seconds"],
        take_over,
        context.progress,
        watched=str(looked.get("watched") or opened.get("left") or ""),
    )
    try:
        lock.claim(session, owner, without_table=False, take_over=take_over)
        use_approval(clients, session, lines)
    except OpsError:
        with suppress(OpsError):  # what was refused counts; a lease that stays is taken over as that of a dead run
            store.release(lease)
        lock.give_back(session)
        raise
    return lease


def _go_without(params: Params, clients: Clients, session: Session, owner: str, silence: Unanswered) -> dict[str, Any]:
    """Go on without the lease, where that was said and may be. Raises Refused, the silence itself where it may not."""
    glass = BreakGlass(lifted_rules(params["break_glass"]), clients.environment.name)
    if not glass.lifts(LEASE_TABLE):
        raise silence
    refuse_known_holder(last(Journal.of(session).read(), "opened"))
    lock = MachineLock(clients.environment, session.component)
    lock.claim(session, owner, without_table=True, take_over=params["take_over"])
    said = break_glass(session, glass, silence, clients.prove().operator, LEASE)
    alone = session_without_lease(session, owner, params["lease_seconds"])
    return {"changed": False, "incident": alone.as_params(), "msg": said, "warnings": [said]}


def close(params: Params, session: Session, context: Context) -> dict[str, Any]:
    """Judge the run, release the lease unless a person has to look first, and write the record."""
    journal = Journal.of(session)
    note_cancel(session)
    trouble = re.sub(r"[\x00-\x1f\x7f]+", " ", params["failure"])[:LONGEST_FAILURE]
    lines = journal.read()
    outcome, sentence = judge(lines, trouble, check_mode=context.check_mode)
    without_table = said_at_the_end(lines)
    sentence = f"{sentence} {without_table}" if without_table else sentence
    kept = outcome is RunOutcome.UNKNOWN
    line = journal.append("closed", outcome=str(outcome), sentence=sentence, lease="kept" if kept else "released")
    warnings: list[str] = []
    anchor = ""
    if session.fence is not None:
        changed = announced(journal.read())
        warnings, anchor = _hand_over(params, session, line, kept=kept, changed=changed)
    elif without_table and not context.check_mode:
        warnings = [warning] if (warning := _mirror(params, session)) else []
    if not kept and not context.check_mode:
        with suppress(OpsError):  # an environment that cannot be read has no lock that was taken
            MachineLock(Environment.from_params(params["environment"]), session.component).give_back(session)
    result = _finish(params, session, context, outcome, sentence, anchor)
    return {**result, "warnings": warnings} if warnings else result


def _hand_over(
    params: Params, session: Session, line: dict[str, Any], *, kept: bool, changed: bool
) -> tuple[list[str], str]:
    """Give the lease back, unless it is kept, then anchor the journal of a run that changed something.

    Returns what did not succeed, and what became of the anchor. Never an error: the run has ended as it has.
    """
    held = f"The lease on {session.component} was not given back:"
    try:
        clients = _clients(params)
        clients.prove()
    except OpsError as error:
        unanchored = [_not_anchored(line, error)] if changed else []
        return [f"{held} {error.sentence}", *unanchored], "".join(unanchored)
    warnings = []
    try:
        store = _store(clients)
        store.record(line)
        if not kept:
            store.release(Lease.of(session))
    except OpsError as error:
        warnings.append(f"{held} {error.sentence}")
    if not changed:
        return warnings, ""
    try:
        until = keep_head(clients, line)
    except OpsError as error:
        anchor = _not_anchored(line, error)
        return [*warnings, anchor], anchor
    return warnings, f"The head of the journal, line {line['seq']}, is in the bucket, locked until {until:%Y-%m-%d}."


def _not_anchored(line: dict[str, Any], error: OpsError) -> str:
    surely = "may not be" if isinstance(error, CallUnknown) else "is not"
    return f"The head of the journal, line {line['seq']}, {surely} anchored in the bucket: {error.sentence}"


def _mirror(params: Params, session: Session) -> str:
    """Bring the journal of a run without the table into it, should it answer again; else a sentence that says so."""
    try:
        store = _store(_clients(params))
        store.mirror(Journal.of(session).read())
        store.give_up(session.component, session.run)
    except OpsError as error:
        return (
            f"The journal of this run is on this machine alone: keep {session.folder}, and run again with the same "
            f"incident, {session.id}, from this machine. {error.sentence}"
        )
    return ""


def _refuse(params: Params, session: Session, context: Context, error: OpsError) -> dict[str, Any]:
    """End a run that did not get past its start, with a record like any other."""
    journal = Journal.of(session)
    journal.append("refused", msg=error.sentence)
    journal.append("closed", outcome=str(RunOutcome.REFUSED), sentence=error.sentence, lease="none")
    # A step has outcomes of its own; here the run has ended, so the outcome is the run's.
    return {**failure(error), **_finish(params, session, context, RunOutcome.REFUSED, error.sentence)}


def _finish(
    params: Params, session: Session, context: Context, outcome: RunOutcome, sentence: str, anchor: str = ""
) -> dict[str, Any]:
    lines = Journal.of(session).read()
    environment = str(params["environment"]["name"])
    record = build_record(lines, environment, outcome, sentence, check_mode=context.check_mode)
    record |= {"anchor": anchor} if anchor else {}
    path = write_record(session.folder, record)
    result = {
        "changed": False,
        "outcome": str(outcome),
        "exit_code": EXIT_CODES[outcome],
        "record": str(path),
        "sentence": sentence,
        "msg": sentence,
    }
    return {**result, "failed": True} if EXIT_CODES[outcome] else result


def _clients(params: Params) -> Clients:
    return Clients(Environment.from_params(params["environment"]))


def _store(clients: Clients) -> LeaseStore:
    return LeaseStore(clients, clients.environment.table)


def _stamp() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


ENTRY = Entry(ARGUMENT_SPEC, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
