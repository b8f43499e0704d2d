"""IAM: the simulation of what a role may do, by the policies that it really has here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.iam.exceptions import NotFoundException
from moto.iam.responses import IamResponse

from ..session_policies import EVERYTHING, decided

if TYPE_CHECKING:
    from ..server import AwsServer

Json = dict[str, Any]


def _policies(response: Any, arn: str) -> list[Json]:
    """The documents of a role. A role that only sessions were handed out for may do everything here, as they may."""
    try:
        role = response.backend.get_role_by_arn(arn)
    except NotFoundException:
        from moto.sts.models import sts_backends

        account, name = arn.split(":")[4], arn.rpartition("/")[2]
        handed_out = sts_backends[account]["aws"].assumed_roles
        if any(session.role_arn.rpartition("/")[2] == name for session in handed_out):
            return [EVERYTHING]
        raise
    attached = [
        version.document
        for policy in role.managed_policies.values()
        for version in policy.versions
        if version.version_id == policy.default_version_id
    ]
    return [json.loads(text) if isinstance(text, str) else text for text in (*role.policies.values(), *attached)]


def simulate_principal_policy(self: Any) -> ActionResult:
    documents = _policies(self, self._get_param("PolicySourceArn"))
    context = {one["ContextKeyName"]: one["ContextKeyValues"] for one in self._get_param("ContextEntries") or []}
    results = []
    for action in self._get_param("ActionNames"):
        for arn in self._get_param("ResourceArns") or ["*"]:
            decision, unknown = decided(documents, action, arn, context)
            results.append(
                {
                    "EvalActionName": action,
                    "EvalResourceName": arn,
                    "EvalDecision": decision,
                    "MatchedStatements": [],
                    "MissingContextValues": sorted(unknown),
                }
            )
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def install(_aws: AwsServer | None) -> None:
    """Put the overlay on moto's IAM. Harmless when done twice."""
    IamResponse.simulate_principal_policy = simulate_principal_policy
