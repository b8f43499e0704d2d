# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: approvals of plans. May change without notice.

"""Whether a plan is approved: by enough others, lately, for exactly this plan, and not for an earlier run.

An approval stands under the digest of the plan, with the plan itself, so that a refusal can say what has moved since.
Approvers write there; who acts may only read there, and notes under "used#" which run an approval was used by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import (
    PREFIX,
    Approval,
    approval_of,
    controller_of,
    judged,
    person_of,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling, error_code
from ansible_collections.daily_emr.ops.plugins.module_utils._contract import read_plan
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import utc_now
from ansible_collections.daily_emr.ops.plugins.module_utils._plan import (
    DIGEST,
    Plan,
    accepted_loss,
    checked_plan,
    differences,
    digest_of_plan,
    needs,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._record import last
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import answered_at

if TYPE_CHECKING:
    from datetime import datetime

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Session

VALID = timedelta(minutes=15)
USED = "used#"
CONDITION_FAILED = "ConditionalCheckFailedException"

APPROVALS_SPEC: dict[str, Any] = {
    # Without a word of the inventory it is as strict as in production.
    "reversible": {"type": "int", "default": 1},
    "irreversible": {"type": "int", "default": 2},
    "controllers": {"type": "list", "elements": "str", "choices": ["awx", "semaphore"], "default": []},
}


@dataclass(frozen=True)
class Request:
    """Who wants to carry out which plan, and the digest that was given as approved."""

    plan: Plan
    digest: str
    approved: str
    operator: str
    rules: Mapping[str, Any]
    session: Session
    how: str
    """How to have the plan approved, and to run again: a sentence."""

    @property
    def wanted(self) -> int:
        return needs(self.plan, self.rules)


@dataclass(frozen=True)
class Table:
    """What the table says of one digest: the approvals, the plan that was approved, its use, and when that was read."""

    approvals: Sequence[Approval]
    plan: Plan | None
    used: Mapping[str, str]
    now: datetime


def read_table(clients: Clients, digest: str) -> Table:
    """Raises Refused when the table cannot be read."""
    table = clients.environment.table
    client = clients.read("dynamodb")
    try:
        with calling("dynamodb:Query"):
            reply = client.query(
                TableName=table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": f"{PREFIX}{digest}"}},
                ConsistentRead=True,
            )
        with calling("dynamodb:GetItem"):
            used = client.get_item(TableName=table, Key=_used_key(digest), ConsistentRead=True).get("Item", {})
    except Refused:
        raise
    except OpsError as error:
        raise Refused(
            f"The approvals in {table} cannot be read, and nothing is changed without them: {error.sentence}"
        ) from error
    items = reply.get("Items", [])
    plans = [plan for item in items if (plan := _plan_of(item, digest))]
    return Table(
        [approval_of(item) for item in items],
        plans[-1] if plans else None,
        {name: value["S"] for name, value in used.items() if "S" in value},
        answered_at(reply),
    )


def agree(request: Request, table: Table) -> None:
    """Raise Refused, with what is wrong and what to do, unless the plan may be carried out; pure."""
    if request.approved != request.digest:
        if not _goes_on(request, table):
            raise Refused(f"{_another(request, table)} {request.how}")
        return
    if table.used and table.used.get("incident") != request.session.id:
        raise Refused(
            f"The approval {request.approved} was used already, by run {table.used.get('run')} of incident "
            f"{table.used.get('incident')} at {table.used.get('at')}: an approval is for one run. {request.how}"
        )
    _enough(request, table)


def _enough(request: Request, table: Table) -> None:
    requester, wanted = person_of(request.operator), request.wanted
    controller = controller_of(request.operator)
    trusted = controller in request.rules["controllers"]
    if not requester and not trusted:
        raise Refused(
            f"Your session is called {request.operator}, which names nobody, so nobody can say whether others approved "
            "the plan: assume the role with your own name (role_session_name of the profile), and run again."
        )
    valid, spoiled = judged(
        table.approvals, table.now, digest=request.digest, requester=request.operator, valid_for=VALID
    )
    # Its workflow has waited for a person, whose name it does not tell: enough for what can be taken back.
    counted = len(valid) + (trusted and not accepted_loss(request.plan))
    if counted >= wanted:
        return
    but = f" ({'; '.join(spoiled)})" if spoiled else ""
    raise Refused(f"{counted} of {wanted} people have approved the plan {request.digest}{but}. {request.how}")


def use_approval(clients: Clients, session: Session, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write down that this run uses the approval of its plan, where it needs one; once, for whichever incident comes
    first. Raises Refused otherwise.
    """
    planned = last(lines, "planned")
    # What goes on under an approval that its incident has used leaves what was approved as it is written.
    if not planned.get("approvals") or planned.get("approved") != session.plan:
        return
    approved, (plan, _calls) = session.plan, read_plan(session)
    item = {
        **_used_key(approved),
        "incident": {"S": session.id},
        "run": {"S": session.run},
        "at": {"S": utc_now()},
        "plan": {"S": json.dumps(plan, sort_keys=True)},
    }
    try:
        client = clients.write("dynamodb", "PutItem")
        with calling("dynamodb:PutItem"):
            client.put_item(
                TableName=clients.environment.table,
                Item=item,
                ConditionExpression="attribute_not_exists(pk) OR incident = :incident",
                ExpressionAttributeValues={":incident": {"S": session.id}},
            )
    except Refused:
        raise
    except OpsError as error:
        if error_code(error) == CONDITION_FAILED:
            raise Refused(
                f"The approval {approved} was used by another run in this moment: have the plan approved anew."
            ) from error
        raise Refused(
            f"Nobody can say whether the use of the approval {approved} was written down, so nothing was changed: "
            f"run again with the same incident, {session.id}."
        ) from error


def _goes_on(request: Request, table: Table) -> bool:
    """Whether this is what is left of a plan that the same incident has begun under this approval."""
    if table.used.get("incident") != request.session.id:
        return False
    try:
        begun = checked_plan(json.loads(table.used.get("plan", "")))
    except ValueError:
        return False
    head = ("runbook", "code", "environment", "account", "region", "component")
    if digest_of_plan(begun) != request.approved or any(begun[key] != request.plan[key] for key in head):
        return False
    return all(any(step == other or _done(step, other) for other in begun["steps"]) for step in request.plan["steps"])


def _done(step: Mapping[str, Any], planned: Mapping[str, Any]) -> bool:
    same = all(step[key] == planned[key] for key in ("step", "module", "target", "after"))
    return same and step["before"] == planned["after"]


def _another(request: Request, table: Table) -> str:
    """Why the digest that was given is not that of this plan: a sentence."""
    given, digest = request.approved, request.digest
    if not DIGEST.fullmatch(given):
        return "The value of approve is not the digest of a plan."
    code, targets, _whole = given.split("-")
    code_now, targets_now, _whole_now = digest.split("-")
    if code != code_now:
        return f"The code changed since the plan {given} was made, so it is the plan {digest} now."
    approved = table.plan
    about = ("runbook", "environment", "component", "cause", "inputs")
    if approved and (others := [key for key in about if approved[key] != request.plan[key]]):
        return (
            f"What was approved, {given}, is another plan (it differs in {', '.join(others)}) than the one that was "
            f"made now, {digest}."
        )
    if targets != targets_now:
        return f"The targets are not those of the plan {given} that was approved; those of now are in {digest}."
    if approved and (said := differences(approved, request.plan)):
        at = max((one.at for one in table.approvals), default="then")
        return f"What is live has moved since {given} was approved at {at}: {'; '.join(said)}. Now it is {digest}."
    return f"What was approved, {given}, is another plan than the one that was made now, {digest}."


def _plan_of(item: Mapping[str, Any], digest: str) -> Plan | None:
    try:
        plan = checked_plan(json.loads(item["plan"]["S"]))
    except (KeyError, ValueError):
        return None
    return plan if digest_of_plan(plan) == digest else None


def _used_key(digest: str) -> dict[str, Any]:
    return {"pk": {"S": f"{USED}{digest}"}, "sk": {"S": "used"}}
