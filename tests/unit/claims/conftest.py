"""The payer, the outbox and the application around them, healthy until a test breaks something."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils import _clients, _postgres, _request_log
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform

from tests.unit.changes.conftest import Runner, Serve
from tests.unit.changes.database import DatabaseWorld
from tests.unit.changes.launchdarkly import Provider
from tests.unit.changes.world import LOG_GROUP, AwsError, Json, Wire, ago
from tests.unit.claims.outbox import Outbox
from tests.unit.claims.sha import FACILITY, GOOD_KEY, OLD_KEY, PATIENT, SYSTEM, Server, Sha

SECRET = "daily-emr/sandbox/SHA_API_KEY"
CIRCUIT, CACHED = "claims-submit-queue-only", "claims-eligibility-cached"
THRESHOLDS: Json = {
    "failing_ratio": 0.2,
    "refused_ratio": 0.05,
    "min_calls": 20,
    "submission_slow_ms": 10000,
    "read_slow_ms": 3000,
    "waiting_minutes": 15,
    "due_hours": 24,
    "window_minutes": 5,
    "settle_after_s": 120,
    "certificate_days": 14,
    "clock_s": 120,
    "probe_timeout_s": 10,
}
# Nothing of these may ever be seen: keys, tokens, and what claims and errors say of patients.
CANARIES = (GOOD_KEY["secret"], OLD_KEY["secret"], "token-canary-3", PATIENT, "CR9912345", "Wanjiku")


class ClaimsWorld(DatabaseWorld):
    """With the versions of the secret: stage -> id, value and date."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[str, tuple[str, Json, datetime]] = {"AWSCURRENT": ("v1" * 16, GOOD_KEY, ago(days=30))}

    def secretsmanager_ListSecretVersionIds(self, params: Json) -> Json:
        if params["SecretId"] != SECRET:
            return super().secretsmanager_ListSecretVersionIds(params)
        found: dict[str, Json] = {}
        for stage, (name, _value, at) in self.versions.items():
            entry = found.setdefault(name, {"VersionId": name, "VersionStages": [], "CreatedDate": at})
            entry["VersionStages"].append(stage)
        return {"Versions": list(found.values())}

    def secretsmanager_GetSecretValue(self, params: Json) -> Json:
        assert params["SecretId"] == SECRET
        for stage, (version, value, _at) in self.versions.items():
            if params.get("VersionId") == version or params.get("VersionStage") == stage:
                return {"SecretString": json.dumps(value)}
        raise AwsError("ResourceNotFoundException")

    def secretsmanager_UpdateSecretVersionStage(self, params: Json) -> Json:
        assert (params["SecretId"], params["VersionStage"]) == (SECRET, "AWSCURRENT")
        before = self.versions["AWSCURRENT"]
        assert params["RemoveFromVersionId"] == before[0]
        self.versions["AWSPREVIOUS"] = before
        moved = next(item for item in self.versions.values() if item[0] == params["MoveToVersionId"])
        self.versions["AWSCURRENT"] = moved
        return {}


class Claims:
    """Everything of one claims API, and ways to run the modules against it."""

    def __init__(self, world: ClaimsWorld, run: Runner, sha: Sha, outbox: Outbox, provider: Provider) -> None:
        self.world, self.run_change, self.sha, self.outbox, self.provider = world, run, sha, outbox, provider
        self.said: list[str] = []
        self.settings: Json = {
            "component": "sha",
            "secret": SECRET,
            "base_url": "https://127.0.0.1:1",
            "ca_file": None,
            "facility_id": FACILITY,
            "identifier_system": SYSTEM,
            "circuit_flag": CIRCUIT,
            "cached_flag": CACHED,
            "normal_per_minute": 60.0,
            "normal_p95_ms": 1000,
        }
        self.folder = run.folder

    def serve(self, server: Server) -> None:
        self.settings |= {"base_url": server.url, "ca_file": str(server.ca_file)}

    def change(self, module: str, check: bool = False, **args: Any) -> Json:
        """Run a module that changes something, and look for canaries in all that it says and keeps."""
        result: Json = self.run_change(module, check=check, claims_api=dict(self.settings), **args)
        self.clean(result)
        return result

    def read(self, module: str, *, check: bool = False, **more: Any) -> Json:
        entry = importlib.import_module(f"ansible_collections.daily_emr.ops.plugins.modules.{module}").ENTRY
        session = {"id": "INC-1", "run": "r1", "folder": str(self.folder), "component": "sha"}
        known = {
            "environment": self.run_change.environment,
            "incident": session,
            "claims_api": dict(self.settings),
            "database": self.run_change.database,
            "service": self.run_change.service,
            "thresholds": THRESHOLDS,
        }
        options = {name: value for name, value in known.items() if name in entry.argument_spec} | more
        checked = ArgumentSpecValidator(entry.argument_spec).validate(options)
        assert not checked.error_messages, checked.error_messages
        result = perform(
            module, entry, checked.validated_parameters, Context(check_mode=check, progress=self.said.append)
        )
        self.clean(result)
        return result

    def clean(self, result: Json) -> None:
        """Nothing that was planted is in a result, in what was said, or in a file of the run."""
        texts = [json.dumps(result, default=repr), "\n".join(self.said)]
        texts += [path.read_text() for path in self.folder.rglob("*") if path.suffix in (".jsonl", ".log", ".json")]
        for text in texts:
            for canary in CANARIES:
                assert canary not in text

    def status(self, result: Json, wanted: str) -> set[str]:
        return {item["name"] for item in result["observations"] if item["status"] == wanted}


@pytest.fixture(scope="session")
def wire() -> Wire:
    return Wire(botocore.session.Session())


@pytest.fixture
def serve() -> Iterator[Serve]:
    made = Serve()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Server, Sha]]]:
    """One server for each kind of certificate: making an authority costs more than a test."""
    folder = tmp_path_factory.mktemp("authorities")
    made: dict[str, tuple[Server, Sha]] = {}
    for tls in ("good", "expired", "foreign"):
        sha = Sha()
        made[tls] = (Server(folder, sha, tls), sha)
    yield made
    for server, _sha in made.values():
        server.stop()


@pytest.fixture
def claims(
    monkeypatch: pytest.MonkeyPatch,
    wire: Wire,
    serve: Serve,
    servers: dict[str, tuple[Server, Sha]],
    tmp_path: Path,
) -> Claims:
    world = wire.world = ClaimsWorld()
    monkeypatch.setattr(_clients, "session", lambda: wire.session)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    run = Runner(world, tmp_path)
    run.service["log_group"] = LOG_GROUP
    outbox = Outbox()
    monkeypatch.setattr(_postgres.psycopg, "connect", outbox.connect)
    monkeypatch.setattr(_request_log, "_POLLS", (0.01,))
    server, sha = servers["good"]
    vars(sha).update(vars(Sha()))
    provider = Provider()
    provider.flag(CIRCUIT, on=False, tags=("circuit:sha",))
    provider.flag(CACHED, on=False, tags=("mode",))
    run.service["feature_flags"]["api_url"] = serve.handle("127.0.0.1", listing(provider))
    made = Claims(world, run, sha, outbox, provider)
    made.serve(server)
    made.outbox.add("acked", 40)
    made.outbox.tried("acked", 40)
    return made


def listing(provider: Provider) -> type:
    """LaunchDarkly that also answers with all its flags."""

    class Handler(provider.handler()):  # type: ignore[misc]
        def do_GET(self) -> None:
            if self.path.split("?")[0].endswith("/flags/daily-emr"):
                items = list(provider.flags.values())
                self._reply(200, {"items": items, "totalCount": len(items)})
            else:
                super().do_GET()

    return Handler


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between questions are noted and not made."""
    from ansible_collections.daily_emr.ops.plugins.modules import claim_reconciliation, claim_redrive_settled

    slept: list[float] = []
    for module in (claim_reconciliation, claim_redrive_settled):
        clock = [0.0]

        def sleep(seconds: float, clock: list[float] = clock) -> None:
            slept.append(seconds)
            clock[0] += seconds

        monkeypatch.setattr(module, "monotonic", lambda clock=clock: clock[0])
        monkeypatch.setattr(module, "sleep", sleep)
    return slept
