"""Sessions that may do less than their role: the policy that AssumeRole was given, enforced as AWS does it.

moto keeps the policy and looks at it nowhere. Here a call of such a session needs a statement that allows its action,
on what it is about, in its region, at this moment by the clock of this AWS. Of what a call is about, only what stands
in the request itself is known; a call of which nobody here can tell it is bounded by the rest.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from operator import eq
from typing import Any

from .errors import AwsError
from .wire import Call

Json = dict[str, Any]
LONGEST = 2048
"""Characters of a session policy."""
LONGEST_CHAINED_S = 3600
"""A session of a role that a session of a role asks for."""
PREFIXES = {"elbv2": "elasticloadbalancing", "sesv2": "ses", "opensearch": "es"}
"""Services whose actions begin with another word than the service's name in boto3."""
REFUSALS: dict[str, tuple[str, int]] = {
    "ec2": ("UnauthorizedOperation", 403),
    "rds": ("AccessDenied", 403),
    "s3": ("AccessDenied", 403),
    "sns": ("AuthorizationError", 403),
    "sqs": ("AccessDeniedException", 403),
}
REFUSALS_BY_PROTOCOL = {
    "json": ("AccessDeniedException", 400),
    "query": ("AccessDenied", 403),
    "rest-json": ("AccessDeniedException", 403),
    "rest-xml": ("AccessDenied", 403),
}
RESOURCES: dict[str, Callable[[Json, Callable[[str, str], str]], str]] = {
    "application-autoscaling:RegisterScalableTarget": lambda p, arn: arn(
        "application-autoscaling", f"scalable-target/{p['ResourceId']}"
    ),
    "arc-zonal-shift:StartZonalShift": lambda p, _arn: p["resourceIdentifier"],
    "dynamodb:PutItem": lambda p, arn: arn("dynamodb", f"table/{p['TableName']}"),
    "dynamodb:UpdateItem": lambda p, arn: arn("dynamodb", f"table/{p['TableName']}"),
    "ecs:StopServiceDeployment": lambda p, _arn: p["serviceDeploymentArn"],
    "ecs:StopTask": lambda p, arn: _named(p["task"], lambda name: arn("ecs", f"task/{_last(p['cluster'])}/{name}")),
    "ecs:UpdateService": lambda p, arn: _named(
        p["service"], lambda name: arn("ecs", f"service/{_last(p['cluster'])}/{name}")
    ),
    "elasticloadbalancing:ModifyListener": lambda p, _arn: p["ListenerArn"],
    "elasticloadbalancing:ModifyRule": lambda p, _arn: p["RuleArn"],
    "rds:ModifyDBInstance": lambda p, arn: arn("rds", f"db:{p['DBInstanceIdentifier']}"),
    "rds:PromoteReadReplica": lambda p, arn: arn("rds", f"db:{p['DBInstanceIdentifier']}"),
    "rds:RebootDBInstance": lambda p, arn: arn("rds", f"db:{p['DBInstanceIdentifier']}"),
    "s3:PutObject": lambda p, _arn: f"arn:aws:s3:::{p['Bucket']}/{p['Key']}",
    "secretsmanager:CreateSecret": lambda p, arn: _secret(p["Name"], arn),
    "secretsmanager:PutSecretValue": lambda p, arn: _secret(p["SecretId"], arn),
    "secretsmanager:ReplicateSecretToRegions": lambda p, arn: _secret(p["SecretId"], arn),
    "secretsmanager:UpdateSecretVersionStage": lambda p, arn: _secret(p["SecretId"], arn),
    "sns:Publish": lambda p, _arn: p["TopicArn"],
    "sqs:StartMessageMoveTask": lambda p, _arn: p["SourceArn"],
    "ssm:PutParameter": lambda p, arn: arn("ssm", f"parameter/{p['Name'].lstrip('/')}"),
    "wafv2:UpdateWebACL": lambda p, arn: arn("wafv2", f"{p['Scope'].lower()}/webacl/{p['Name']}/{p['Id']}"),
}
"""What a call is about, by its action: ARN, from the parameters of the request."""
EVERYTHING: Json = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def refuse_session(call: Call, is_session: bool) -> None:
    """What STS refuses of an AssumeRole with a policy of its own.

    Args:
        is_session: whether a session of a role asks.

    Raises:
        AwsError: the policy is none or too long, or the session would last too long.
    """
    if is_session and int(call.params.get("DurationSeconds") or 0) > LONGEST_CHAINED_S:
        raise AwsError("ValidationError", "A role that was assumed by a role lasts an hour at most.", 400)
    policy = call.params.get("Policy")
    if policy is None:
        return
    if len(policy) > LONGEST:
        raise AwsError("ValidationError", f"The policy has more than {LONGEST} characters.", 400)
    try:
        statements = json.loads(policy)["Statement"]
    except (ValueError, KeyError, TypeError):
        statements = None
    if not isinstance(statements, list):
        raise AwsError("MalformedPolicyDocument", "Syntax errors in policy.", 400)


def refuse_call(call: Call, policy: str, account_id: str, now: dt.datetime) -> None:
    """Let a call of a session with a policy pass, or not.

    Args:
        account_id: of the session.
        now: this AWS's clock.

    Raises:
        AwsError: no statement of the policy allows it.
    """
    name = f"{PREFIXES.get(call.service, call.service)}:{call.operation}"
    about = _resource(name, call, account_id)
    for statement in json.loads(policy)["Statement"]:
        if (
            statement["Effect"] == "Allow"
            and _is_about(statement, name, about)
            and _holds(statement.get("Condition", {}), call.region, now)
        ):
            return
    code, status = REFUSALS.get(call.service) or REFUSALS_BY_PROTOCOL.get(call.protocol, ("AccessDenied", 403))
    raise AwsError(code, f"No session policy allows the {name} action.", status)


def decided(documents: list[Json], name: str, about: str, context: Mapping[str, list[str]]) -> tuple[str, set[str]]:
    """What the policies of a role say of one action on one resource, in the words of IAM's simulation; pure.

    Args:
        context: keys of conditions, with their values, as far as whoever asks knows them.

    Returns:
        The decision, and the keys that a statement which might have decided otherwise was missing.
    """
    allowed, unknown = False, set[str]()
    for statement in (one for document in documents for one in _list(document["Statement"])):
        if not _is_about(statement, name, about):
            continue
        holds, missing = _would_hold(statement.get("Condition", {}), context)
        unknown |= missing
        if holds and statement["Effect"] == "Deny":
            return "explicitDeny", set()
        allowed = allowed or holds
    return ("allowed", set()) if allowed else ("implicitDeny", unknown)


def _is_about(statement: Json, name: str, about: str | None) -> bool:
    """Whether a statement speaks of an action, and of a resource as far as that is known."""
    actions = (pattern.casefold() for pattern in _list(statement["Action"]))
    return any(fnmatchcase(name.casefold(), pattern) for pattern in actions) and (
        about is None or any(fnmatchcase(about, pattern) for pattern in _list(statement["Resource"]))
    )


def _would_hold(conditions: Json, context: Mapping[str, list[str]]) -> tuple[bool, set[str]]:
    """Whether conditions hold with what is known of a request, and the keys that they ask for and nobody gave."""
    holds, missing = True, set[str]()
    for operator, wanted in conditions.items():
        kind, _, test = operator.rpartition(":")
        if_exists, test = test.endswith("IfExists"), test.removesuffix("IfExists")
        for key, value in wanted.items():
            given = context.get(key)
            if test == "Null":
                holds &= (given is None) == (str(value).casefold() == "true")
            elif given is None:
                # A set without members is within every other, and has no member in any.
                holds &= if_exists or kind == "ForAllValues"
                missing |= set() if if_exists or kind else {key}
            else:
                patterns = [str(one) for one in _list(value)]
                match = fnmatchcase if test in ("StringLike", "ArnLike", "ArnEquals") else eq
                every = all if kind == "ForAllValues" else any
                holds &= every(any(match(one, pattern) for pattern in patterns) for one in given)
    return holds, missing


def _resource(name: str, call: Call, account_id: str) -> str | None:
    def arn(service: str, what: str) -> str:
        return f"arn:aws:{service}:{call.region}:{account_id}:{what}"

    try:
        return RESOURCES[name](call.params, arn)
    except KeyError:
        return None


def _holds(conditions: Json, region: str, now: dt.datetime) -> bool:
    """Whether all conditions hold. One that is not known here does not, as AWS's do when a key is missing."""
    known: dict[tuple[str, str], Callable[[Any], bool]] = {
        ("StringEquals", "aws:RequestedRegion"): lambda value: region in _list(value),
        ("DateLessThan", "aws:CurrentTime"): lambda value: now < dt.datetime.fromisoformat(value),
    }
    return all(
        (operator, key) in known and known[operator, key](value)
        for operator, wanted in conditions.items()
        for key, value in wanted.items()
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _last(arn: str) -> str:
    return arn.rpartition("/")[2]


def _named(given: str, arn: Callable[[str], str]) -> str:
    return given if given.startswith("arn:") else arn(given)


def _secret(given: str, arn: Callable[[str, str], str]) -> str:
    # Policies end the name of a secret with six signs of any kind, which AWS adds.
    return given if given.startswith("arn:") else arn("secretsmanager", f"secret:{given}-??????")
