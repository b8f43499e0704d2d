#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: plan_contract
short_description: Make the plan of a run from what was looked at, and see that it may be carried out
version_added: 0.1.0
description:
  - Takes what the steps of a mitigation said in check mode, and makes the plan of it. Its digest names code, targets,
    the live values and what is intended, without what moves by itself.
  - Writes C(plan.json) into the run folder, for whoever approves it, and says how to have it approved.
  - Outside check mode it refuses unless as many other people have approved this plan as the environment wants, not
    longer than 15 minutes ago by AWS's clock, and for no other run. Every change is then held to the plan by its own
    module.
  - IAM is asked at once whether the role may do all that the steps need, and what it lacks is named in one refusal.
    What IAM cannot say is said to be not checked, and stops nothing.
  - The component has to have rested after a change for another incident, and all change calendars have to be open.
  - Changes nothing.
author:
  - Daily EMR operations (@daily-emr)
options:
  since:
    description: Line of the journal after which the steps of the mitigation begin.
    type: int
    default: 0
  approve:
    description: Digest of the plan that was approved; empty when none was.
    type: str
    default: ""
  approvals:
    description: How many other people have to approve a plan in this environment.
    type: dict
    default: {}
    suboptions:
      reversible:
        description: For a plan of which every step can be taken back.
        type: int
        default: 1
      irreversible:
        description: For a plan with a step that cannot be taken back, or that loses data.
        type: int
        default: 2
      controllers:
        description:
          - Controllers whose workflows wait for a person between plan and run. A session of theirs, which names nobody,
            stands for one approval of a plan that can be taken back.
        type: list
        elements: str
        choices: [awx, semaphore]
        default: []
  calendars:
    description:
      - Change calendars of Systems Manager, by name or ARN, all of which have to be open. One that cannot be read
        counts as closed. An incident may go on all the same, when O(break_glass) names the calendar.
    type: list
    elements: str
    default: []
  cooldown_minutes:
    description: How long a component rests after a change for another incident, by AWS's clock.
    type: int
    default: 15
  acknowledge:
    description: The incident whose recent change of the component is known, so that it need not rest; empty for none.
    type: str
    default: ""
  break_glass:
    description:
      - Rules that are lifted for this run, each as C(RULE:REASON), by whoever is alone and cannot wait.
      - V(approvals), V(cooldown), V(freeze/) with the name of a calendar, and V(lease_table), which counts only where
        the table gives no answer, and not in production. What was broken is in the record.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Makes the plan and says what it would need, and asks nobody.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Make the plan
  daily_emr.ops.plan_contract:
    environment: "{{ emr_environment }}"
    incident: "{{ opened.incident }}"
    approve: "{{ approve }}"
    approvals: "{{ emr_approvals }}"
  register: plan
"""

RETURN = r"""
chosen:
  description: Whether a step would do something, so that there is a plan.
  returned: success
  type: bool
  sample: true
line:
  description: The newest line of the journal.
  returned: success
  type: int
  sample: 7
digest:
  description: Digest of the plan.
  returned: when O(ignore:chosen) is true
  type: str
  sample: 0f2c88d1-9be41c20-5f8e0b6d9f1c4ab2a0f4c6f3d1e2b7a9
path:
  description: Path of the plan.
  returned: when there is a plan
  type: str
  sample: .runs/INC-20261122-013000-9f3a/20261122-013000-77c1/plan.json
msg:
  description: The plan, and how to have it approved.
  returned: always
  type: str
  sample: The plan 0f2c88d1-9be41c20-5f8e0b6d9f1c4ab2a0f4c6f3d1e2b7a9 needs nobody's approval here.
"""

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._break_glass import (
    LEASE_TABLE,
    BreakGlass,
    how_to_break,
    lifted_rules,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._calendars import closed_calendars
from ansible_collections.daily_emr.ops.plugins.module_utils._code import code_digest
from ansible_collections.daily_emr.ops.plugins.module_utils._contract import PLAN, write_plan
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused, Unanswered
from ansible_collections.daily_emr.ops.plugins.module_utils._halts import resting
from ansible_collections.daily_emr.ops.plugins.module_utils._inputs import CONTROLLER_NAMES
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session, utc_now
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore, aws_time
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    COMMON_SPEC,
    Context,
    Entry,
    Params,
    connect,
    failure,
    run_module,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import StepOutcome
from ansible_collections.daily_emr.ops.plugins.module_utils._plan import (
    accepted_loss,
    digest_of_plan,
    inputs_given,
    looked_at,
    make_plan,
    needs,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._plan_approvals import (
    APPROVALS_SPEC,
    Request,
    agree,
    read_table,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._preflight import look_ahead
from ansible_collections.daily_emr.ops.plugins.module_utils._record import last
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import parse_utc
from ansible_collections.daily_emr.ops.plugins.module_utils._without_table import HALTS, break_glass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

ARGUMENT_SPEC: dict[str, Any] = {
    "since": {"type": "int", "default": 0},
    "approve": {"type": "str", "default": ""},
    "approvals": {"type": "dict", "options": APPROVALS_SPEC, "default": {}, "apply_defaults": True},
    "calendars": {"type": "list", "elements": "str", "default": []},
    "cooldown_minutes": {"type": "int", "default": 15},
    "acknowledge": {"type": "str", "default": ""},
    "break_glass": {"type": "list", "elements": "str", "default": []},
    **COMMON_SPEC,
}


def run(params: Params, context: Context) -> dict[str, Any]:
    """Make the plan of what was looked at since the decision, and see that it may be carried out."""
    clients, session = connect(params)
    if session is None:
        raise Refused("There is no open incident that a plan could belong to: run the runbook from its start.")
    journal = Journal.of(session)
    lines = journal.read()
    decided = last(lines, "decided")
    looked = looked_at(lines, max(params["since"], int(decided.get("seq", 0))))
    newest = int(lines[-1]["seq"]) if lines else 0
    if not any(line["outcome"] == StepOutcome.PLANNED for line in looked):
        return {"changed": False, "chosen": False, "line": newest, "msg": "Nothing of it is to be done."}
    try:
        return _contract(params, context, clients, session, lines, looked)
    except OpsError as error:
        journal.append("refused", msg=error.sentence)
        return failure(error)


def _contract(
    params: Params,
    context: Context,
    clients: Clients,
    session: Session,
    lines: Sequence[Mapping[str, Any]],
    looked: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    identity, environment, rules = clients.prove(), clients.environment, params["approvals"]
    contracts = [line["contract"] for line in looked if line.get("contract")]  # a wait has none
    head = {
        "runbook": str(last(lines, "opened").get("runbook") or ""),
        "code": code_digest(context.project),
        "environment": environment.name,
        "account": environment.account_id,
        "region": environment.region,
        "component": session.component,
        "cause": str(last(lines, "decided").get("cause") or ""),
        "inputs": inputs_given(context.inputs, CONTROLLER_NAMES),
    }
    plan = make_plan(head, contracts)
    digest, wanted = digest_of_plan(plan), needs(plan, rules)
    calls = sum({_key(one): int(one["calls"]) for one in contracts}.values())
    path = write_plan(session.folder, digest, plan, calls, utc_now())
    how = _how(environment.name, str(path), digest, accepted_loss(plan))
    sentence = f"The plan {digest} needs {_people(wanted)} here."
    # What it would ask of whom does not depend on what was looked at first: a plan and its run are judged alike.
    Journal.of(session).append("planned", plan=digest, calls=calls, approvals=wanted, approved=params["approve"])
    result = {
        "changed": False,
        "chosen": True,
        "line": int(looked[-1]["seq"]) + 1,
        "digest": digest,
        "path": str(path),
        "msg": f"{sentence} {how}" if wanted else sentence,
    }
    if context.check_mode:
        # A workflow of AWX hands it on to the job that runs what was approved.
        handed_on = {"data": {"approve": digest}, "per_host": False, "aggregate": False}
        return {**result, "ansible_stats": handed_on} if wanted else result
    glass = BreakGlass(lifted_rules(params["break_glass"]), environment.name)
    silence, changed = _asked(clients, session, glass)
    allowed = look_ahead(clients, contracts)
    reasons = [*filter(None, [allowed.refusal]), *_halts(params, clients, session, glass, changed)]
    if wanted:
        approved, alone = params["approve"], how_to_break("approvals")
        try:
            if not approved:
                raise Refused(f"{sentence} {how}")
            request = Request(plan, digest, approved, identity.operator, rules, session, how)
            agree(request, read_table(clients, approved))
        except Refused as refused:
            if not glass.lifts("approvals"):
                reasons += [refused.sentence, alone]
    if reasons:
        raise Refused(*reasons)
    planned = replace(session, plan=digest)
    warnings = [allowed.doubt] if allowed.doubt else []
    warnings += [break_glass(planned, glass, silence, identity.operator, HALTS)] if silence else []
    for rule, reason in glass.broken.items():
        if rule == LEASE_TABLE:
            continue  # written down already, with what was not checked
        Journal.of(session).append("break_glass", rule=rule, reason=reason, operator=identity.operator, plan=digest)
        warnings.append(f"Broken glass: {rule} ({reason}).")
    return {**result, "warnings": warnings} if warnings else result


def _asked(clients: Clients, session: Session, glass: BreakGlass) -> tuple[Unanswered | None, Mapping[str, Any]]:
    """The silence of the table, where glass is broken for it, and what it says of the last change of the component.

    Raises Refused while all changes are stopped, and without glass the silence.
    """
    store = LeaseStore(clients, clients.environment.table)
    try:
        store.refuse_when_stopped()
        return None, store.last_change(session.component)
    except Unanswered as silence:
        if not glass.lifts(LEASE_TABLE):
            raise
        return silence, {}


def _halts(
    params: Params, clients: Clients, session: Session, glass: BreakGlass, changed: Mapping[str, Any]
) -> Iterator[str]:
    """What speaks against any change now, whatever the plan is: sentences. changed: see LeaseStore.last_change."""
    for closed in closed_calendars(clients, params["calendars"]):
        rule = f"freeze/{closed.calendar}"
        if not glass.lifts(rule):
            yield f"Changes are frozen by {closed.calendar}: {closed.why}. {how_to_break(rule)}"
    now = parse_utc(aws_time(clients.proven_at))
    rest = timedelta(seconds=clients.environment.seconds(params["cooldown_minutes"] * 60))
    why = resting(changed, session.component, session.id, params["acknowledge"], now, rest)
    if why and not glass.lifts("cooldown"):
        yield why


def _how(environment: str, path: str, digest: str, loss: str) -> str:
    typed = f" -e 'approval_accepted_loss={loss}'" if loss else ""
    return (
        f"Have others approve {PLAN} within 15 minutes of the run, each under their own name: ansible-playbook "
        f"-i inventories/{environment} playbooks/approve.yml -e approval_plan={path}{typed}; then run again with "
        f"--approve {digest} (ansible-playbook: -e approve={digest})."
    )


def _people(number: int) -> str:
    return {0: "nobody's approval", 1: "the approval of another person"}.get(
        number, f"the approval of {number} other people"
    )


def _key(contract: Mapping[str, Any]) -> str:
    return json.dumps([contract[key] for key in ("step", "target", "before", "after")], sort_keys=True)


ENTRY = Entry(ARGUMENT_SPEC, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
