# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Credentials for one planned call: one action, on the resources of the change, in one region, until the lease ends.

A check of the lease in this process cannot stop a call of a process that was paused behind the check, and no API of AWS
takes a fence number. So the call is signed with a session of our own role that has a session policy: AWS itself
refuses it when it is late, or is not the one that was planned.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._actions import CHECKED, KEYS, action
from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused

# The shortest session that STS gives; what ends it earlier is the time in its policy. A chained session is let last an
# hour at most.
SESSION_SECONDS = 900
# AssumeRole, "Policy": the characters of a session policy.
LONGEST_POLICY = 2048


@dataclass(frozen=True)
class Scope:
    """What the one call of a change may be.

    narrows: whether its credentials do nothing else; without, they are the run's own. target: what is changed, for
    sentences. resources: asks for the ARNs, when a call of AWS is made. left: seconds for
    which the lease surely lasts, on a clock that also counts the time for which this process was paused.
    """

    clients: Clients
    narrows: bool
    target: str
    resources: Callable[[], Iterable[str]]
    left: Callable[[], float]

    def check(self) -> None:
        """Raise Refused when the lease may have ended: asked right before the call is sent."""
        if self.left() <= 0:
            raise Refused(f"The lease on {self.target} ran out before the call was sent: run again.")

    def credentials(self, service: str, operation: str, region: str) -> dict[str, str]:
        """Keys for a client that can make this call and no other. Raises Refused when there are none."""
        self.check()
        if not self.narrows:
            return {}
        arns = sorted(set(self.resources()))
        if not arns:
            raise Refused(
                f"{service}:{operation} on {self.target} has no resource that AWS could be told, so nothing was sent: "
                "declare it in the change (resources)."
            )
        policy = session_policy(service, operation, arns, region, self.clients.environment.account_id, self._ends_at())
        if len(policy) > LONGEST_POLICY:
            raise Refused(
                f"{service}:{operation} is about {len(arns)} resources, too many for one call of {self.target}: "
                "change fewer at once."
            )
        return self._assume(f"{service}:{operation}", policy)

    def _ends_at(self) -> datetime:
        """When the lease ends, by AWS's clock; rather too early.

        AWS's time is asked first: what passes between the two questions then shortens what is left.
        """
        now = self.clients.aws_time()
        return now + timedelta(seconds=min(self.left(), SESSION_SECONDS))

    def _assume(self, call: str, policy: str) -> dict[str, str]:
        identity = self.clients.prove()
        try:
            with calling("sts:AssumeRole"):
                given: dict[str, Any] = self.clients.own_role().assume_role(
                    RoleArn=identity.role_arn,
                    # The same name: CloudTrail says who it was.
                    RoleSessionName=identity.operator,
                    Policy=policy,
                    DurationSeconds=SESSION_SECONDS,
                )
        except OpsError as error:
            raise Refused(
                f"There are no credentials for {call} on {self.target} alone, so nothing was sent: {error.sentence} "
                f"Role {identity.role} has to be allowed, and trusted, to assume itself: run playbooks/bootstrap.yml."
            ) from error
        keys = given["Credentials"]
        return {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        }


def session_policy(service: str, operation: str, arns: list[str], region: str, account: str, ends_at: datetime) -> str:
    """The session policy of one call, as JSON without spaces; pure. Times are cut to the second, so never too late."""
    ends = {"DateLessThan": {"aws:CurrentTime": f"{ends_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}}
    statements = [
        {
            "Effect": "Allow",
            "Action": list(need.actions),
            "Resource": list(need.arns),
            "Condition": {"StringEquals": dict(need.request), **ends},
        }
        for need in needs_of(service, operation, arns, region, account)
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


@dataclass(frozen=True)
class Need:
    """Actions that one call needs, on what, and what AWS knows of the request: keys of conditions and their values."""

    actions: tuple[str, ...]
    arns: tuple[str, ...]
    request: Mapping[str, str]


def needs_of(service: str, operation: str, arns: Iterable[str], region: str, account: str) -> list[Need]:
    """What one call needs, pure. What a session of one call is given, and what a plan is looked at for, is the same."""
    names = action(service, operation)
    checked = {one for name in names for one in CHECKED.get(name, ())}
    keys = {one for name in names for one in KEYS.get(name, ())}
    here = {"aws:RequestedRegion": region}
    found = [Need(tuple(sorted({*names, *checked})), tuple(arns), here)]
    if keys:
        through = {**here, "kms:ViaService": f"{service}.{region}.amazonaws.com"}
        found.append(Need(tuple(sorted(keys)), (f"arn:aws:kms:{region}:{account}:key/*",), through))
    return found
