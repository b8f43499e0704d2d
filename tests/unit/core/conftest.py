"""An AWS account in memory, and the wire in front of it: it logs every request and can lose replies."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import moto.core.models
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _clients
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from botocore.loaders import create_loader
from moto import mock_aws

ACCOUNT, REGION, TABLE = "123456789012", "af-south-1", "daily-emr-staging-runbooks"
FINGERPRINT = "/daily-emr/staging/fingerprint"
ROLE = "daily-emr-staging-runbook-act"
ENVIRONMENT: dict[str, Any] = {
    "name": "staging",
    "account_id": ACCOUNT,
    "region": REGION,
    "role_pattern": "^daily-emr-staging-runbook-(act|diagnose)$",
    "table": TABLE,
    "fingerprint_parameter": FINGERPRINT,
}

# The service models, read once for all tests.
MODELS = create_loader()


@cache
def account(service: str) -> Any:
    """A client of the account itself, beside the core: for what a test prepares and looks at."""
    session = botocore.session.Session()
    session.register_component("data_loader", MODELS)
    return session.create_client(service, REGION, aws_access_key_id="x", aws_secret_access_key="x")


class Wire:
    """Every request of the core's clients, in order. A fault of an operation is used up one request at a time."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.bodies: list[tuple[str, Any]] = []
        self.faults: dict[str, list[Callable[[Any], Any]]] = {}
        self.watchers: list[Callable[[str], None]] = []

    def count(self, operation: str) -> int:
        return self.sent.count(operation)

    def lose_request(self, operation: str, times: int = 1) -> None:
        """The request never reaches AWS, and nobody can tell."""
        self._add(operation, times, _raises(ConnectionClosedError))

    def lose_reply(self, operation: str, times: int = 1) -> None:
        """AWS does it; the reply is lost."""

        def fault(request: Any) -> None:
            moto.core.models.botocore_stubber(_name(operation), request)
            raise ReadTimeoutError(endpoint_url=request.url)

        self._add(operation, times, fault)

    def unreachable(self, operation: str, times: int = 100) -> None:
        self._add(operation, times, _raises(EndpointConnectionError))

    def _add(self, operation: str, times: int, fault: Callable[[Any], Any]) -> None:
        self.faults.setdefault(operation, []).extend([fault] * times)

    def __call__(self, request: Any, event_name: str, **_kwargs: Any) -> Any:
        operation = event_name.rpartition(".")[2]
        self.sent.append(operation)
        self.bodies.append((operation, request.body))
        for watch in self.watchers:
            watch(operation)
        waiting = self.faults.get(operation)
        return waiting.pop(0)(request) if waiting else None


def _name(operation: str) -> str:
    return f"before-send.any.{operation}"


def _raises(kind: Callable[..., Exception]) -> Callable[[Any], Any]:
    def fault(request: Any) -> None:
        raise kind(endpoint_url=request.url, error=None)

    return fault


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A staging account with its table, its fingerprint, and the credentials of the role that may act, on a machine
    that nobody else works on.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("machine")))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with mock_aws():
        assume(monkeypatch, ROLE)
        account("dynamodb").create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        )
        stamp({"environment": "staging", "account_id": ACCOUNT, "region": REGION})
        yield
    _clients.session.cache_clear()


def assume(monkeypatch: pytest.MonkeyPatch, role: str, session: str = "wanjiru") -> None:
    """Make the ambient credentials those of a role, as `aws sso login` would."""
    given = account("sts").assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}", RoleSessionName=session)
    keys = given["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
    _clients.session.cache_clear()


def stamp(fingerprint: dict[str, str] | str) -> None:
    text = fingerprint if isinstance(fingerprint, str) else json.dumps(fingerprint)
    account("ssm").put_parameter(Name=FINGERPRINT, Value=text, Type="String", Overwrite=True)


@pytest.fixture
def wire(aws: None, monkeypatch: pytest.MonkeyPatch) -> Wire:  # noqa: ARG001  # for its effect
    """The wire of every client that the core makes in this test, and of no other."""
    made, original = Wire(), _clients.session

    def wired() -> Any:
        session = original()
        if not getattr(session, "wired", False):
            session.register_component("data_loader", MODELS)
            # Not first: what the core itself looks at before it sends comes before the wire.
            session.get_component("event_emitter").register("before-send.*.*", made)
            session.wired = True
        return session

    wired.cache_clear = original.cache_clear  # type: ignore[attr-defined]
    monkeypatch.setattr(_clients, "session", wired)
    return made


@pytest.fixture
def clients(wire: Wire) -> Clients:  # noqa: ARG001  # for its effect
    return Clients(Environment.from_params(ENVIRONMENT), environ={})


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """An open incident, not yet with a lease."""
    made = Session("INC-1", "run-1", tmp_path / "run-1", "emr-web")
    Journal.of(made).create()
    return made


@pytest.fixture
def leased(clients: Clients, session: Session, wire: Wire) -> Session:
    """The same incident, with the lease taken."""
    owner = f"wanjiru@{socket.gethostname()}"
    lease = LeaseStore(clients, TABLE).acquire("emr-web", owner, session.id, session.run, 0, 120)
    wire.sent.clear()
    return Session(
        session.id, session.run, session.folder, session.component, lease.fence, owner, lease.lease_s, "planned_work"
    )
