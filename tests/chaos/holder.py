"""A holder that stops at one point of its change, as a frozen machine does: `python -m tests.chaos.holder`.

A line on its input is one change: {"point", "guards", "target", "fence", "lease_s"}; a line on its output says how the
change ended. At the point it sends SIGSTOP to itself, and goes on when somebody lets it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils import _lease
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, execute_change
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._contract import PLANNED_WORK
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._scope import Scope

POINTS = ("after the intent", "after the credentials", "before the check", "after the check")
GUARDS = ("all", "no scope", "none")
OWNER = "ouma@desk"
LEASE_S, MARGIN_S = 6, 0.5
"""A lease in real seconds, and what is never used of it: AWS's clock counts whole seconds."""


class Paused:
    """Where this process stops; each point once."""

    point = ""

    def at(self, point: str) -> None:
        if self.point == point:
            self.point = ""
            os.kill(os.getpid(), signal.SIGSTOP)


PAUSED = Paused()


class Count(Change):
    """Sets the desired count of a service of its own to its fence number, so that the write says who made it."""

    name: ClassVar[str] = "count"
    spec: ClassVar[dict[str, Any]] = {}
    wrote = False

    @property
    def target(self) -> str:
        return str(self.params["target"])

    def observe(self) -> dict[str, Any]:
        return {"wrote": self.wrote}

    def wanted(self, before: dict[str, Any]) -> dict[str, Any]:
        return {"wrote": True}

    def refusals(self, before: dict[str, Any]) -> list[str]:
        return []

    def resources(self, before: dict[str, Any]) -> list[str]:
        return [self.clients.environment.arn("ecs", f"service/c/{self.target}")]

    def apply(self, before: dict[str, Any]) -> None:
        client = self.clients.write("ecs", "UpdateService")
        PAUSED.at("after the credentials")
        client.meta.events.register_first("before-send.*.*", lambda **_event: PAUSED.at("before the check"))
        client.meta.events.register_last("before-send.*.*", lambda **_event: PAUSED.at("after the check"))
        client.update_service(cluster="c", service=self.target, desiredCount=self.params["fence"])
        self.wrote = True

    def inverse(self, before: dict[str, Any]) -> str:
        return "None."


class Store(LeaseStore):
    """The store, with a point behind the intent."""

    def record_intent(self, lease: Any, entry: Any) -> float:
        until = super().record_intent(lease, entry)
        PAUSED.at("after the intent")
        return until


class Unscoped(Count):
    """The same with the run's own credentials."""

    scoped: ClassVar[bool] = False


def main() -> None:
    environment, folder = Environment.from_params(json.loads(sys.argv[1])), Path(sys.argv[2])
    clients = Clients(environment, environ={})
    clients.prove()
    _lease.MARGIN_SECONDS = MARGIN_S
    check = Scope.check
    for number, text in enumerate(sys.stdin):
        said = json.loads(text)
        place = folder / f"{number}"
        session = Session("INC-1", said["run"], place, said["target"], said["fence"], OWNER, LEASE_S, PLANNED_WORK)
        Journal.of(session).create()
        kind = Count if said["guards"] == "all" else Unscoped
        Scope.check = (lambda _scope: None) if said["guards"] == "none" else check  # type: ignore[method-assign]
        PAUSED.point = said["point"]
        change = kind({"target": said["target"], "fence": said["fence"]}, clients)
        clients.sent.clear()
        result = execute_change(change, clients, session, check_mode=False, store=Store(clients, environment.table))
        print(json.dumps({"outcome": result["outcome"], "msg": result["msg"]}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
