"""One fault for each of the six runbooks, broken so that its mitigation makes one mutating call, and mended again."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, without_context
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import METRIC_WINDOW, PATIENT_S, TIME_FACTOR, trouble_is_older
from tests.integration.modules import PREFIX

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Witness

Json = dict[str, Any]
MODULES = "ansible_collections.daily_emr.ops.plugins.modules"


def no_tasks(sandbox: Sandbox) -> None:
    sandbox.boto("ecs").update_service(cluster=PREFIX, service=f"{PREFIX}-web", desiredCount=0)


@dataclass(frozen=True)
class Scene:
    """A runbook and what it is called for.

    alarm: whether its traces have to be seen before somebody comes. clean: whether errors of before would be blamed.
    again: brings back, without a runbook, what the step changed; None where the step says how by its inverse.
    """

    runbook: str
    fault: str
    step: str
    limit: str = ""
    alarm: bool = False
    clean: bool = False
    again: Callable[[Sandbox], None] | None = None

    def break_(self, sandbox: Sandbox) -> None:
        sandbox.clear_faults()
        sandbox.mend()
        if self.clean:
            wait_until(lambda: trouble_is_older(sandbox, METRIC_WINDOW), "users have seen no trouble lately", PATIENT_S)
        sandbox.break_(self.fault)
        if self.alarm:
            sandbox.await_alarm(self.fault)


# Those of one sandbox, with its parts.
CORE = (
    Scene("app_outage", "scaled_to_zero", "ecs_service_count", again=no_tasks),
    Scene("error_spike", "canary_fails", "listener_weights", alarm=True, clean=True),
    Scene("database_failover", "connection_storm", "ecs_service_scaling"),
)
PARTS = (
    Scene("queue_backlog", "queue_paused", "queue_state", limit="notifications", alarm=True),
    # A setting that may go there and back; the provider may not, because it would flap.
    Scene("telehealth_degradation", "telehealth_udp_blocked", "telehealth_setting", alarm=True),
    Scene("claims_api_outage", "sha_schema_refused", "feature_flag", alarm=True),
)
SANDBOXES: dict[tuple[str, ...], tuple[Scene, ...]] = {(): CORE, ("queues", "claims", "telehealth"): PARTS}


@contextmanager
def sandbox_with(parts: tuple[str, ...], place: Path) -> Iterator[Sandbox]:
    """A sandbox with these parts, in a folder."""
    box = Sandbox(place / "state")
    box.up(time_factor=TIME_FACTOR, parts=parts)
    try:
        yield box
    finally:
        box.down()


@dataclass(frozen=True)
class Step:
    """A change as a whole run made it: enough to make it again alone, and to look at what it is about."""

    name: str
    params: Json

    @classmethod
    def kept_in(cls, path: Path, name: str) -> Step:
        """From what tests/chaos/crash/points.py kept of a run."""
        kept = [json.loads(line) for line in path.read_text().splitlines()]
        return next(cls(name, one["params"]) for one in kept if one["step"] == name)

    @property
    def module(self) -> Any:
        return importlib.import_module(f"{MODULES}.{self.name}")

    def state(self) -> Json:
        """The live state of the target, read as the change itself reads it."""
        kinds = (kind for kind in vars(self.module).values() if isinstance(kind, type) and issubclass(kind, Change))
        change = next(kind for kind in kinds if getattr(kind, "name", "") == self.name)
        return without_context(
            change(self.params, Clients(Environment.from_params(self.params["environment"]))).observe()
        )


def sent(witness: Witness) -> Counter[str]:
    """How often each operation that changes something was called, without the bookkeeping of the runbooks."""
    return Counter(f"{call['service']}:{call['operation']}" for call in witness.changes())


def more(found: Counter[str], allowed: Counter[str]) -> str:
    """What was called more often than in an uninterrupted run; empty when nothing was."""
    return ", ".join(f"{name} {count} times" for name, count in sorted((found - allowed).items()))
