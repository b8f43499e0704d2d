"""Kinds of account_resource against an empty account: what each step says, and what it sends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context
from ansible_collections.daily_emr.ops.plugins.modules.account_resource import run
from daily_emr_sandbox.account import let_build

from tests.sandbox.aws_only import Aws, running_aws

NAME = "daily-emr-sandbox"
TAGS = {"app": "daily-emr", "Environment": "sandbox"}


@dataclass(frozen=True)
class Builder:
    """Who builds in an account."""

    aws: Aws

    def have(
        self, kind: str, name: str, *, check: bool = False, state: str = "present", **settings: Any
    ) -> tuple[str, dict[str, Any], list[str]]:
        """Outcome, result, and the mutating calls that it took, by the log of the account."""
        since = len(self.aws.server.calls.since(0))
        settings_ = self.aws.settings
        environment = {
            "name": "sandbox", "account_id": settings_.account_id, "region": settings_.region, "role_pattern": "^-$",
            "table": f"{NAME}-runbooks", "fingerprint_parameter": "/daily-emr/sandbox/fingerprint",
            "domain": "app.daily-emr.test", "endpoint_url": settings_.endpoint_url,
            "credentials_file": str(settings_.credentials_file), "time_factor": settings_.time_factor,
        }  # fmt: skip
        params = {
            "environment": environment, "builder_role_pattern": f"^{NAME}-bootstrap$", "kind": kind, "name": name,
            "settings": settings, "tags": TAGS, "state": state,
        }  # fmt: skip
        result = run(params, Context(check_mode=check))
        sent = [call["operation"] for call in self.aws.server.calls.since(0)[since:] if call["mutating"]]
        return result["outcome"], result, sent

    def four_steps(self, kind: str, name: str, operation: str, **settings: Any) -> dict[str, Any]:
        """Check, apply, check again, apply again; then what somebody else owns is as wanted. Result of the apply."""
        assert self.steps(kind, name, **settings) == [
            ("planned", []), ("ok", [operation]), ("noop", []), ("noop", []), ("noop", []),
        ]  # fmt: skip
        return self.have(kind, name, check=True, **settings)[1]

    def steps(self, kind: str, name: str, **settings: Any) -> list[tuple[str, list[str]]]:
        ways: tuple[dict[str, Any], ...] = ({"check": True}, {}, {"check": True}, {}, {"state": "adopted"})
        answers = [self.have(kind, name, **way, **settings) for way in ways]
        return [(outcome, sent) for outcome, _result, sent in answers]


@contextlib.contextmanager
def building(state_dir: Path) -> Iterator[Builder]:
    """Who builds in a started, empty account."""
    with running_aws(state_dir) as aws:
        let_build(aws.server)
        yield Builder(aws)
