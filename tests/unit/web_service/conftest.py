"""A live service, healthy until a test breaks it, and the modules that read it."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils import _clients
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, connect, perform

from tests.unit.changes.conftest import Runner, Serve
from tests.unit.changes.world import Json
from tests.unit.web_service.live import BALANCER, EDGE, TASKS, Answers, LiveWire, LiveWorld, flag, flags_handler
from tests.unit.web_service.readings import THRESHOLDS


class Live:
    """The service with everything around it."""

    def __init__(self, world: LiveWorld, folder: Path, serve: Serve) -> None:
        self.world, self.answers = world, Answers()
        self.answers.healthy()
        runner = Runner(world, folder)
        self.folder, self.environment, self.service = folder, runner.environment, runner.service
        self.thresholds: Json = {**THRESHOLDS, "probe_timeout_s": 5}
        self.flags: Json = {"items": [flag()], "totalCount": 1}
        places = {
            place: serve.handle(place, self.answers.handler(place)) for place in (*TASKS.values(), EDGE, BALANCER)
        }
        self.service |= {"port": serve.port, "container": "web"}
        self.service["probes"] = {"edge_url": places[EDGE], "balancer_url": places[BALANCER], "host": "app.test"}
        self.service["feature_flags"]["api_url"] = serve.handle("127.0.0.6", flags_handler(self.flags))

    def alternate(self) -> None:
        """After an odd number of releases with a canary the other target group has the tasks."""
        name = f"{self.service['target_group']}-alt"
        self.service["alternate_target_group"] = name
        self.world.groups[name] = self.world.serving = "arn:alternate"

    def params(self, module: str, **more: Any) -> Json:
        entry = _module(module).ENTRY
        known = {"environment": self.environment, "service": self.service, "thresholds": self.thresholds}
        known |= {
            name: self.thresholds[name] for name in ("min_healthy_targets", "min_zones") if name in self.thresholds
        }
        given = {name: value for name, value in known.items() if name in entry.argument_spec} | more
        checked = ArgumentSpecValidator(entry.argument_spec).validate(given)
        assert not checked.error_messages, checked.error_messages
        params: Json = checked.validated_parameters
        return params

    @property
    def clients(self) -> Clients:
        return connect(self.params("web_service_health"))[0]

    def run(self, module: str, check: bool = False, **more: Any) -> Json:
        """The result of the module, as a task would have it. Its progress is in ``said``."""
        self.said: list[str] = []
        context = Context(check_mode=check, progress=self.said.append)
        return perform(module, _module(module).ENTRY, self.params(module, **more), context)


def _module(name: str) -> Any:
    return importlib.import_module(f"ansible_collections.daily_emr.ops.plugins.modules.{name}")


class Clock:
    """Time that passes only when somebody sleeps. ``when`` happens then, at the time it names."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.plan: list[tuple[float, Callable[[], object]]] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds
        self.slept.append(seconds)
        for moment, happen in [item for item in self.plan if item[0] <= self.now]:
            self.plan.remove((moment, happen))
            happen()

    def after(self, seconds: float, happen: Callable[[], object]) -> None:
        self.plan.append((1000.0 + seconds, happen))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for name in ("web_service_settled", "web_service_verified"):
        monkeypatch.setattr(_module(name), "monotonic", made.monotonic)
        monkeypatch.setattr(_module(name), "sleep", made.sleep)
    return made


@pytest.fixture(scope="session")
def wire() -> LiveWire:
    """One botocore session for all tests: a new one reads every service model again."""
    return LiveWire(botocore.session.Session())


@pytest.fixture
def serve() -> Iterator[Serve]:
    made = Serve()
    yield made
    made.stop()


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch, wire: LiveWire, serve: Serve, tmp_path: Path) -> Iterator[Live]:
    world = wire.world = LiveWorld()
    monkeypatch.setattr(_clients, "session", lambda: wire.session)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as dependency:
        world.database["port"] = dependency.getsockname()[1]
        yield Live(world, tmp_path, serve)
