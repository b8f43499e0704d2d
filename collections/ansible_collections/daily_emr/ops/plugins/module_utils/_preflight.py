# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: whether the role may do what a plan needs. May change without notice.

"""All that a plan needs of IAM, asked at once before its first change: what the role lacks is named in one refusal.

A run that is denied in its third step leaves two done. IAM is asked with its own simulation, for exactly what the
sessions of the single calls are given (_scope.py). It is a forecast and not the guard, which is AWS itself at the call.
So what cannot be simulated, because that is not permitted, not answered, or rests on something that only the real
request tells, is said to be not checked. It is never taken for permitted; and it blocks nothing by itself: a system
would stay down for a question that no change depends on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients, gather
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._scope import Need, needs_of

# The bookkeeping of every change: its intent, its outcome, its credentials.
BOOKKEEPING = ("TransactWriteItems", "PutItem", "UpdateItem")
# More than any plan has of pairs of action and resource; what does not fit is not checked.
MOST_ITEMS = 1000


@dataclass(frozen=True)
class Permissions:
    """What was found: actions that the role lacks, with what on; and what was not checked, with why."""

    role: str
    missing: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def refusal(self) -> str:
        """Every missing action in one sentence; empty when none is known to be missing."""
        if not self.missing:
            return ""
        return (
            f"Role {self.role} may not do what the plan needs: {'; '.join(self.missing)}. Nothing was changed: run "
            "playbooks/bootstrap.yml, which gives the role its policies, or use a role that may."
        )

    @property
    def doubt(self) -> str:
        """What nobody checked, as a sentence; empty when all was."""
        if not self.unchecked:
            return ""
        return f"Whether role {self.role} may do all of the plan was not checked: {'; '.join(self.unchecked)}."


def look_ahead(clients: Clients, contracts: Iterable[Mapping[str, Any]]) -> Permissions:
    """Ask IAM whether our own role may do what the steps of a plan need. Changes nothing.

    contracts: what the steps said when they were looked at (Change.aws_call, Change.resources). Raises Refused when the
    caller cannot be proven.
    """
    steps = [needs for contract in contracts if (needs := contract.get("needs"))]
    identity, wanted = clients.prove(), _wanted(clients, steps)
    answers = gather(**{str(number): partial(_simulate, clients, need) for number, need in enumerate(wanted)})
    missing = dict[str, None]()
    unchecked = {f"{needs['call']} names no resource": None for needs in steps if not needs["resources"]}
    for number, need in enumerate(wanted):
        answer = answers[str(number)]
        if isinstance(answer, OpsError):
            unchecked[answer.sentence.rstrip(".")] = None
            continue
        for name in need.actions:
            lacks, doubt = _judged(name, need, answer)
            missing |= dict.fromkeys(lacks)
            unchecked |= dict.fromkeys(doubt)
    return Permissions(identity.role, tuple(missing), tuple(unchecked))


def _wanted(clients: Clients, steps: Iterable[Mapping[str, Any]]) -> list[Need]:
    """What the steps need, with what is about the same put together; nothing where none of them calls AWS."""
    environment = clients.environment
    found = list[Need]()
    for needs in steps:
        if not needs["resources"]:
            continue
        service, operation = str(needs["call"]).split(":", 1)
        found += needs_of(service, operation, needs["resources"], environment.region, environment.account_id)
    if not found:
        return []
    table = [environment.arn("dynamodb", f"table/{environment.table}")]
    for operation in BOOKKEEPING:
        found += needs_of("dynamodb", operation, table, environment.region, environment.account_id)
    own = clients.prove().role_arn
    found += needs_of("sts", "AssumeRole", [own], environment.region, environment.account_id)
    together = dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], set[str]]()
    for need in found:
        together.setdefault((need.arns, tuple(need.request.items())), set()).update(need.actions)
    return [Need(tuple(sorted(names)), arns, dict(request)) for (arns, request), names in together.items()]


def _simulate(clients: Clients, need: Need) -> list[dict[str, Any]]:
    """Raises OpsError, and what botocore raises, which gather() turns into one."""
    # The tags that everything of the environment has: whether a resource really has them, the call itself will tell.
    known = {
        "aws:ResourceTag/app": "daily-emr",
        "aws:ResourceTag/Environment": clients.environment.name,
        **need.request,
    }
    with calling("iam:SimulatePrincipalPolicy"):
        reply = clients.read("iam").simulate_principal_policy(
            PolicySourceArn=clients.prove().role_arn,
            ActionNames=list(need.actions),
            ResourceArns=list(need.arns),
            ContextEntries=[
                {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
                for key, value in sorted(known.items())
            ],
            MaxItems=MOST_ITEMS,
        )
    return list(reply.get("EvaluationResults") or [])


def _judged(name: str, need: Need, results: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """What the role lacks of one action, and what of it nobody can say: texts. Pure."""
    lacks, doubt = list[str](), list[str]()
    decisions = _decisions(name, results)
    for arn in _about(name, need.arns):
        decision, missing_keys = decisions.get(arn, ("", []))
        if decision == "allowed":
            continue
        if not decision:
            doubt.append(f"IAM did not say whether {name} on {arn} is allowed")
        elif missing_keys and decision != "explicitDeny":
            doubt.append(f"{name} on {arn} rests on {', '.join(sorted(missing_keys))}, which only the call tells")
        else:
            lacks.append(f"{name} on {arn}")
    return lacks, doubt


def _decisions(name: str, results: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, list[str]]]:
    """ARN -> decision, and the keys that the simulation missed; both ways in which IAM says it."""
    found = dict[str, tuple[str, list[str]]]()
    for result in results:
        if str(result.get("EvalActionName", "")).casefold() != name.casefold():
            continue
        parts = result.get("ResourceSpecificResults") or []
        for part in parts:
            keys = list(part.get("MissingContextValues") or [])
            found[str(part.get("EvalResourceName"))] = (str(part.get("EvalResourceDecision")), keys)
        if not parts:
            keys = list(result.get("MissingContextValues") or [])
            found[str(result.get("EvalResourceName"))] = (str(result.get("EvalDecision")), keys)
    return found


def _about(name: str, arns: tuple[str, ...]) -> list[str]:
    """The ARNs that an action is asked about: those of its own service, where the call has some, else all of them.

    A call that checks several services, such as a scalable target of ECS, is about resources of each.
    """
    service = name.partition(":")[0]
    return [arn for arn in arns if arn.startswith(f"arn:aws:{service}:")] or list(arns)
