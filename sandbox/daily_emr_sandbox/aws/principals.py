"""Who calls: the sessions of assumed roles that this AWS knows, and the credentials file that hands them out."""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..settings import Settings

OTHER_ACCOUNT = "222222222222"
SESSION = "on-call"
SESSION_S = 12 * 3600
UNKNOWN_KEY: dict[str, tuple[str, int]] = {
    "ec2": ("AuthFailure", 401),
    "s3": ("InvalidAccessKeyId", 403),
    "query": ("InvalidClientTokenId", 403),
    "json": ("UnrecognizedClientException", 400),
    "rest-json": ("UnrecognizedClientException", 403),
}


@dataclass(frozen=True)
class Principal:
    """The session behind an access key."""

    arn: str
    session: str
    account_id: str
    access_key: str
    policy: str = ""
    """What the session may do less than its role: the policy that AssumeRole was given. Empty without one."""
    is_role: bool = True


class Principals:
    """Sessions of assumed roles, held by moto's STS, so that GetCallerIdentity and AssumeRole agree with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def assume(self, role: str, account_id: str | None = None, session: str = SESSION) -> Any:
        """A new session of a role; it has access_key_id, secret_access_key, session_token."""
        from moto.sts.models import sts_backends

        account = account_id or self._settings.account_id
        return sts_backends[account]["aws"].assume_role(
            region_name=self._settings.region,
            role_session_name=session,
            role_arn=f"arn:aws:iam::{account}:role/{role}",
            policy="",
            duration=SESSION_S,
            external_id="",
        )

    def find(self, access_key: str) -> Principal | None:
        """Who owns an access key. Hold the mutex."""
        from moto.iam.models import iam_backends
        from moto.sts.models import sts_backends

        for account_id in list(sts_backends):
            role = sts_backends[account_id]["aws"].get_assumed_role_from_access_key(access_key)
            if role is not None:
                return Principal(role.arn, role.session_name, role.account_id, access_key, role.policy or "")
        for account_id in list(iam_backends):
            user = iam_backends[account_id]["aws"].get_user_from_access_key_id(access_key)
            if user is not None:
                return Principal(user.arn, user.name, account_id, access_key, is_role=False)
        return None

    def write_file(self) -> None:
        """Credentials for the operator and, in profiles of their own, for those who must be refused."""
        prefix = self._settings.prefix
        profiles = {
            "default": self.assume(f"{prefix}-runbook-act"),
            "act": self.assume(f"{prefix}-runbook-act"),
            "diagnose": self.assume(f"{prefix}-runbook-diagnose"),
            "other_account": self.assume(f"{prefix}-runbook-act", OTHER_ACCOUNT),
            "other_role": self.assume(f"{prefix}-developer"),
        }
        write_profiles(self._settings.credentials_file, profiles)


def write_profiles(target: Path, profiles: Mapping[str, Any]) -> None:
    """Write sessions into a file of credentials, each as a profile; others that stand there are kept."""
    file = configparser.ConfigParser(interpolation=None)
    file.read(target)
    for name, role in profiles.items():
        file[name] = {
            "aws_access_key_id": role.access_key_id,
            "aws_secret_access_key": role.secret_access_key,
            "aws_session_token": role.session_token,
        }
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = target.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        file.write(out)
    draft.rename(target)


def unknown(protocol: str, service: str, access_key: str) -> AwsError:
    """The error for a caller that AWS does not know."""
    if not access_key:
        return AwsError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    code, status = UNKNOWN_KEY.get(service) or UNKNOWN_KEY.get(protocol, ("InvalidClientTokenId", 403))
    return AwsError(code, "The security token included in the request is invalid.", status)
