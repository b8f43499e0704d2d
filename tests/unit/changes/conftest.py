"""Runs the changes against the small world, and serves what they ask over HTTP."""

from __future__ import annotations

import importlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils import _clients, _postgres
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, execute_change
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import connect

from .database import DatabaseWorld, Postgres
from .launchdarkly import Provider
from .world import ACCOUNT, REGION, Json, P, Spoil, Wire, World


class Runner:
    """Runs a module as Ansible would: options through its spec, then the change, with a clock that never waits."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.service: Json = {
            "component": "emr-web",
            "cluster": P,
            "service": f"{P}-web",
            "load_balancer": P,
            "target_group": f"{P}-web",
            "repository": f"{P}-web",
            "web_acl": {"name": P, "scope": "REGIONAL"},
            "database": f"{P}-db",
            "cache": f"{P}-sessions",
            "secrets": ["daily-emr/sandbox/DATABASE_URL", "daily-emr/sandbox/SESSION_PASSWORD"],
            "probes": {"timeout_s": 10.0},
            "feature_flags": {"api_url": "http://127.0.0.1:1", "project": "daily-emr", "environment": "sandbox"},
        }
        self.database: Json = {
            "component": "emr-db",
            "instance": f"{P}-db",
            "secret": "daily-emr/sandbox/DATABASE_URL",
            "name": "emr",
            "application_role": "emr_application",
            "login": {"user": "emr_runbook", "method": "passfile", "passfile": "none", "sslmode": "disable"},
            "slots": ["warehouse"],
            "read_only_flag": "read-only",
        }
        # Of a queue, where a test has one.
        self.queue: Json = {}
        self.environment = {
            "name": "sandbox",
            "account_id": ACCOUNT,
            "region": REGION,
            "role_pattern": f"{P}-runbook-(diagnose|act)",
            "table": f"{P}-runbooks",
            "fingerprint_parameter": "/daily-emr/sandbox/fingerprint",
            "endpoint_url": "http://127.0.0.1:1",
            "credentials_file": str(folder / "credentials"),
        }
        (folder / "credentials").write_text("[default]\naws_access_key_id = x\naws_secret_access_key = x\n")
        (folder / "launchdarkly_token").write_text("api-token")

    def change(self, module: str, args: Json, incident: bool = True) -> Change:
        found = importlib.import_module(f"ansible_collections.daily_emr.ops.plugins.modules.{module}")
        session = {"id": "INC-1", "run": "r1", "folder": str(self.folder), "component": "emr-web"}
        session |= {"fence": 1, "owner": "someone@here", "lease_seconds": 600, "plan": "planned_work"}
        ours = {"service": self.service, "database": self.database, "environment": self.environment}
        ours |= {"queue": self.queue} if self.queue else {}
        options = {name: value for name, value in ours.items() if name in found.ENTRY.argument_spec} | args
        checked = ArgumentSpecValidator(found.ENTRY.argument_spec).validate(
            {**options, **({"incident": session} if incident else {})}
        )
        assert not checked.error_messages, checked.error_messages
        own = [item for item in vars(found).values() if getattr(item, "__module__", "") == found.__name__]
        kind = next(item for item in own if isinstance(item, type) and issubclass(item, Change))
        clients, self.session = connect(checked.validated_parameters)
        change: Change = kind(checked.validated_parameters, clients)
        return change

    def __call__(self, module: str, check: bool = False, **args: Any) -> Json:
        change = self.change(module, args)
        time = [0.0]

        def sleep(seconds: float) -> None:
            time[0] += seconds

        return execute_change(
            change, change.clients, self.session, check_mode=check, clock=lambda: time[0], sleep=sleep
        )

    def plan(self, module: str, args: Json) -> Json:
        """The result in check mode, in which nothing may arrive."""
        result: Json = self(module, check=True, **args)
        assert self.world.mutations == []
        return result

    def refusals(self, serve: Serve, module: str, args: Json, spoil: Spoil) -> list[str]:
        """The refusals of the spoilt world; in the world before it was spoilt the change is planned."""
        self.service["port"] = serve.port or 8080
        control = self.plan(module, args)
        assert control["outcome"] == "planned", control["msg"]
        spoil(self.world, serve)
        result = self.plan(module, args)
        assert result["outcome"] == "refused", result
        refusals: list[str] = result["refusals"]
        return refusals


@pytest.fixture(scope="session")
def wire() -> Wire:
    """One botocore session for all tests: a new one reads every service model again."""
    return Wire(botocore.session.Session())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, wire: Wire) -> World:
    """The world, behind every client that the real factory makes."""
    made = wire.world = World()
    monkeypatch.setattr(_clients, "session", lambda: wire.session)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.fixture
def run(world: World, tmp_path: Path) -> Runner:
    return Runner(world, tmp_path)


@pytest.fixture
def instance(world: World, wire: Wire, run: Runner) -> DatabaseWorld:  # noqa: ARG001  # it takes the place of the world
    """The world with a whole RDS instance in it."""
    made = run.world = wire.world = DatabaseWorld()
    return made


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """The server behind its endpoint."""
    made = Postgres()
    monkeypatch.setattr(_postgres.psycopg, "connect", made.connect)
    return made


class Serve:
    """Loopback HTTP servers, all on the same port of different addresses. The answer of each can be changed later."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: dict[str, tuple[int, Json]] = {}
        self._servers: list[ThreadingHTTPServer] = []

    def on(self, address: str, status: int, body: Json) -> None:
        fresh = address not in self.answers
        self.answers[address] = (status, body)
        if fresh:
            self.handle(address, _answering(self.answers, address))

    def handle(self, address: str, handler: type[BaseHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer((address, self.port), handler)
        self.port = self.port or server.server_port
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self._servers.append(server)
        return f"http://{address}:{server.server_port}"

    def ready(self, address: str, **reasons: str | None) -> None:
        """A task whose /readyz gives a reason for each check that fails, None for one that is ok."""
        checks = {name: {"status": "fail" if reason else "ok", "reason": reason} for name, reason in reasons.items()}
        self.on(address, 503 if any(reasons.values()) else 200, {"status": "", "checks": checks})

    def stop(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


def _answering(answers: dict[str, tuple[int, Json]], address: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[address]
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_args: Any) -> None:
            """Quiet."""

    return Handler


@pytest.fixture
def serve() -> Iterator[Serve]:
    made = Serve()
    yield made
    made.stop()


@pytest.fixture
def listening() -> Iterator[tuple[str, int]]:
    """An address that accepts TCP connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[:2]


@pytest.fixture
def provider(run: Runner, serve: Serve) -> Provider:
    """LaunchDarkly, where the service looks for its flags."""
    made = Provider()
    run.service["feature_flags"]["api_url"] = serve.handle("127.0.0.1", made.handler())
    return made
