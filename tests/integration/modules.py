"""Modules run in this process, against the sandbox."""

from __future__ import annotations

import importlib
import secrets
from typing import TYPE_CHECKING, Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context

if TYPE_CHECKING:
    from pathlib import Path

    from daily_emr_sandbox.client import Sandbox

Json = dict[str, Any]
PREFIX = "daily-emr-sandbox"
COMPONENT = "emr-web"


def environment_of(sandbox: Sandbox, **more: Any) -> Json:
    """The environment as the sandbox's inventory describes it, apart from what is named."""
    here = sandbox.description
    return {
        "name": "sandbox",
        "account_id": here["account_id"],
        "region": here["region"],
        "role_pattern": f"{PREFIX}-runbook-(act|diagnose)",
        "table": f"{PREFIX}-runbooks",
        "fingerprint_parameter": "/daily-emr/sandbox/fingerprint",
        "endpoint_url": here["endpoint_url"],
        "credentials_file": here["credentials_file"],
        "time_factor": here["time_factor"],
        **more,
    }


def database_of(sandbox: Sandbox, **more: Any) -> Json:
    """The option ``database``, apart from what is named."""
    return {
        "component": "emr-db",
        "instance": f"{PREFIX}-db",
        "secret": "daily-emr/sandbox/DATABASE_URL",
        "name": "emr",
        "application_role": "emr_application",
        "login": {
            "user": "emr_runbook",
            "method": "passfile",
            "sslmode": "disable",
            "passfile": sandbox.description["database"]["passfile"],
        },
        "read_only_flag": "read-only",
        **more,
    }


class Runner:
    """Runs a module in this process, under a lease that is really held."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        here = sandbox.description
        self.sandbox = sandbox
        self.environment = environment_of(sandbox)
        self.service = {
            "component": COMPONENT,
            "cluster": PREFIX,
            "service": f"{PREFIX}-web",
            "load_balancer": PREFIX,
            "target_group": f"{PREFIX}-web",
            "port": here["task_port"],
            "repository": f"{PREFIX}-web",
            "web_acl": {"name": PREFIX, "scope": "REGIONAL"},
            "database": f"{PREFIX}-db",
            "cache": f"{PREFIX}-sessions",
            "secrets": ["daily-emr/sandbox/DATABASE_URL", "daily-emr/sandbox/SESSION_PASSWORD"],
            "probes": {"timeout_s": 3},
            "feature_flags": {"api_url": here["launchdarkly_url"], "project": "daily-emr", "environment": "sandbox"},
        }
        # The journal of an earlier test is in the same table.
        run = f"run-{secrets.token_hex(4)}"
        store = LeaseStore(Clients(Environment.from_params(self.environment)), self.environment["table"])
        fence = store.peek(COMPONENT).fence
        self.lease = store.acquire(COMPONENT, "test@here", "INC-test", run, fence, 600)
        self.release = lambda: store.release(self.lease)
        self.incident = {"id": "INC-test", "run": run, "folder": str(folder), "component": COMPONENT}
        self.incident |= {"fence": self.lease.fence, "owner": "test@here", "lease_seconds": 600, "plan": "planned_work"}

    def __call__(self, module: str, args: Json, *, check: bool = False) -> Json:
        entry = importlib.import_module(f"ansible_collections.daily_emr.ops.plugins.modules.{module}").ENTRY
        known = {"environment": self.environment, "incident": self.incident, "service": self.service}
        options = {name: value for name, value in known.items() if name in entry.argument_spec} | args
        checked = ArgumentSpecValidator(entry.argument_spec).validate(options)
        assert not checked.error_messages, checked.error_messages
        result: Json = entry.run(checked.validated_parameters, Context(check_mode=check))
        return result
