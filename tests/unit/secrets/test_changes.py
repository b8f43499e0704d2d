"""Each change of a secret: check, apply, check again, apply again; its refusals; and no value in anything it returns.

The witness of what was changed is the call log of the sandbox's AWS.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, execute_change
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, connect

from .conftest import World
from .stores import PREFIX

Json = dict[str, Any]

BEFORE_ALL = "2020-01-01T00:00:00Z"
OLD, NEW = "the-old-value-Kanari-1111", "the-new-value-Kanari-2222"
MUTATIONS = {"CreateSecret", "PutSecretValue", "UpdateSecretVersionStage", "ReplicateSecretToRegions", "UpdateSecret"}


class Fences:
    """A lease that lasts."""

    def record_intent(self, _lease: Any, _entry: Any) -> float:
        return 1.0

    def left(self, _until: float) -> float:
        return 60.0

    def record(self, _entry: Any) -> None:
        """Nothing is mirrored."""


@dataclass
class Runner:
    """Runs a change as Ansible would, with a clock that never waits, and keeps all that it said."""

    world: World
    folder: Path
    name: str
    said: str = ""

    def __post_init__(self) -> None:
        self.client = self.world.aws.client("secretsmanager")
        self.since = self.world.aws.server.calls.since()[-1]["seq"]

    def params(self, module: Any, entry: Json, **options: Any) -> Json:
        store = {"component": "emr-secrets", "prefix": PREFIX, "copy_region": "eu-west-1"}
        store |= {"kms_key": "alias/secrets", "copy_kms_key": "alias/copy", "tags": {"app": "daily-emr"}}
        incident = {"id": "INC-1", "run": "r1", "folder": str(self.folder), "component": "emr-secrets"}
        incident |= {"fence": 1, "owner": "someone@here", "lease_seconds": 600, "plan": "planned_work"}
        asked = {"name": self.name, **entry}
        about: Json = {"entries": [asked]} if "entries" in module.ENTRY.argument_spec else {"entry": asked}
        given = {"store": store, "environment": self.world.environment, **about}
        checked = ArgumentSpecValidator(module.ENTRY.argument_spec).validate({**given, "incident": incident, **options})
        assert not checked.error_messages, checked.error_messages
        return dict(checked.validated_parameters)

    def __call__(self, name: str, entry: Json | None = None, check: bool = False, **options: Any) -> Json:
        module = importlib.import_module(f"ansible_collections.daily_emr.ops.plugins.modules.{name}")
        own = [item for item in vars(module).values() if getattr(item, "__module__", "") == module.__name__]
        kind = next(item for item in own if isinstance(item, type) and issubclass(item, Change))
        params = self.params(module, entry or {}, **options)
        clients, session = connect(params)
        time = [0.0]

        def sleep(seconds: float) -> None:
            time[0] += seconds

        store: Any = Fences()
        result = execute_change(
            kind(params, clients), clients, session, check_mode=check, store=store, clock=lambda: time[0], sleep=sleep
        )
        self.said += json.dumps(result, default=str)
        return result

    def mutations(self) -> list[str]:
        calls = self.world.aws.server.calls.since(self.since)
        return [call["operation"] for call in calls if call["operation"] in MUTATIONS]

    def exists(self, *values: str, stages: tuple[str, ...] = ()) -> None:
        """Make the secret, with its values one after the other; the last ones with a label of their own."""
        full = f"{PREFIX}/{self.name}"
        self.client.create_secret(Name=full)
        for value in values:
            more = {"VersionStages": [stages[values.index(value)]]} if stages else {}
            self.client.put_secret_value(SecretId=full, SecretString=value, **more)
        self.since = self.world.aws.server.calls.since()[-1]["seq"]

    def value(self, stage: str = "AWSCURRENT") -> str:
        return str(self.client.get_secret_value(SecretId=f"{PREFIX}/{self.name}", VersionStage=stage)["SecretString"])

    def describe(self) -> Json:
        return dict(self.client.describe_secret(SecretId=f"{PREFIX}/{self.name}"))


@pytest.fixture
def run(stores: World, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Runner]:
    """A runner for a secret of its own. At the end nothing that was said or written holds a value."""
    made = Runner(stores, tmp_path, f"KEY_{abs(hash(request.node.nodeid)) % 10**12}")
    yield made
    everything = made.said + "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "Kanari" not in everything


def four_steps(run: Runner, operation: str, module: str, **options: Any) -> Json:
    plan = run(module, check=True, **options)
    assert (plan["outcome"], plan["changed"]) == ("planned", True), plan
    assert run.mutations() == []
    done = run(module, **options)
    assert (done["outcome"], done["changed"]) == ("ok", True), done
    assert run.mutations() == [operation]
    for check in (True, False):
        again = run(module, check=check, **options)
        assert (again["outcome"], again["changed"]) == ("noop", False), again
    assert run.mutations() == [operation]
    return done


def refused(run: Runner, module: str, **options: Any) -> str:
    result = run(module, **options)
    assert result["outcome"] == "refused", result
    assert run.mutations() == []
    return " ".join(result["refusals"])


def test_a_placeholder_has_key_tags_and_replica_and_no_value(run: Runner) -> None:
    four_steps(run, "CreateSecret", "secret", entry={"about": "A key of a test."})

    about = run.describe()
    assert (about["KmsKeyId"], about["Description"]) == ("alias/secrets", "A key of a test.")
    assert {"Key": "app", "Value": "daily-emr"} in about["Tags"]
    # Which key the replica gets is not kept by moto.
    assert [(item["Region"], item["Status"]) for item in about["ReplicationStatus"]] == [("eu-west-1", "InSync")]
    assert not about.get("VersionIdsToStages")


def test_a_placeholder_without_a_replica(run: Runner) -> None:
    four_steps(run, "CreateSecret", "secret", entry={"replicated": False})
    assert not run.describe().get("ReplicationStatus")
    assert run("secret_replication", entry={"replicated": False})["outcome"] == "noop"


def test_a_secret_that_has_a_value_keeps_it(run: Runner) -> None:
    run.exists(OLD)

    assert run("secret")["outcome"] == "noop"
    assert run.mutations() == []
    assert run.value() == OLD


def test_a_secret_that_is_being_deleted_is_not_made_again(run: Runner) -> None:
    run.exists(OLD)
    run.client.delete_secret(SecretId=f"{PREFIX}/{run.name}", RecoveryWindowInDays=30)

    assert "is scheduled for deletion" in refused(run, "secret")


def test_a_replica_is_added_to_a_secret_that_has_none(run: Runner) -> None:
    run.exists(OLD)

    four_steps(run, "ReplicateSecretToRegions", "secret_replication")
    assert run.describe()["ReplicationStatus"][0]["Status"] == "InSync"


def test_a_replica_of_nothing_is_refused(run: Runner) -> None:
    assert "does not exist" in refused(run, "secret_replication")


def yesterday() -> str:
    return (datetime.now(UTC) - timedelta(days=1)).isoformat()


def test_a_generated_value_waits_and_is_used_by_nobody(run: Runner) -> None:
    run.exists(OLD)
    after = datetime.now(UTC).isoformat()

    entry = {"source": "generated", "used_by": ["emr-web"], "effect": "Every user has to log in again."}
    done = four_steps(run, "PutSecretValue", "secret_pending_version", entry=entry, made_after=after)
    said = " ".join(done["prediction"])
    assert "it is tried: shape. After that the tasks of emr-web are to be replaced. Every user has to log in" in said

    assert run.value() == OLD
    assert len(run.value("AWSPENDING")) == 64
    assert run.value("AWSPENDING") not in run.said


def test_an_issued_value_comes_from_the_environment_alone(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    run.exists(OLD)
    options = {"made_after": datetime.now(UTC).isoformat()}
    assert "is issued by somebody else" in refused(run, "secret_pending_version", **options)
    assert "is not set or is empty" in refused(run, "secret_pending_version", **options, value_variable="NEW_VALUE")
    monkeypatch.setenv("NEW_VALUE", f"{NEW}\n")
    assert "has white space at an end" in refused(run, "secret_pending_version", **options, value_variable="NEW_VALUE")
    monkeypatch.setenv("NEW_VALUE", NEW)

    four_steps(run, "PutSecretValue", "secret_pending_version", **options, value_variable="NEW_VALUE")

    assert (run.value(), run.value("AWSPENDING")) == (OLD, NEW)


def test_a_young_value_is_not_replaced(run: Runner) -> None:
    run.exists(OLD)
    assert run("secret_pending_version", entry={"source": "generated"}, made_after=yesterday())["outcome"] == "noop"


def test_the_first_value_of_an_empty_secret_is_current_at_once(run: Runner) -> None:
    run.exists()
    options = {"entry": {"source": "generated"}, "made_after": BEFORE_ALL}

    plan = run("secret_pending_version", check=True, **options)
    assert "it is current at once" in plan["prediction"][0]
    four_steps(run, "PutSecretValue", "secret_pending_version", **options)
    assert len(run.value()) == 64
    assert run("secret_current_version", made_after=BEFORE_ALL)["outcome"] == "noop"


def test_a_lost_reply_is_looked_up_and_never_sent_again(run: Runner, stores: World) -> None:
    run.exists(OLD)
    stores.aws.server.faults.add("secretsmanager", "PutSecretValue", "drop_after")
    options = {"entry": {"source": "generated"}, "made_after": datetime.now(UTC).isoformat()}

    assert run("secret_pending_version", **options)["outcome"] == "ok"
    assert run.mutations() == ["PutSecretValue"]


def test_a_value_that_waits_is_made_current_and_can_be_gone_back_from(run: Runner) -> None:
    run.exists(OLD, NEW, stages=("AWSCURRENT", "AWSPENDING"))

    done = four_steps(run, "UpdateSecretVersionStage", "secret_current_version")

    assert (run.value(), run.value("AWSPREVIOUS")) == (NEW, OLD)
    undo = done["undo"]
    assert undo["module"] == "daily_emr.ops.secret_current_version"
    run.since = run.world.aws.server.calls.since()[-1]["seq"]
    four_steps(run, "UpdateSecretVersionStage", "secret_current_version", version=undo["args"]["version"])
    assert run.value() == OLD


class TestRefusals:
    """What is not promoted."""

    def test_nothing_waits(self, run: Runner) -> None:
        run.exists(OLD)
        after = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        assert "No version" in refused(run, "secret_current_version", made_after=after)

    def test_no_secret(self, run: Runner) -> None:
        assert "does not exist" in refused(run, "secret_current_version")

    def test_the_same_value(self, run: Runner) -> None:
        run.exists(OLD)
        run.client.put_secret_value(SecretId=f"{PREFIX}/{run.name}", SecretString=OLD, VersionStages=["AWSPENDING"])
        run.since = run.world.aws.server.calls.since()[-1]["seq"]
        assert "holds the value that is current already" in refused(run, "secret_current_version")

    def test_another_shape(self, run: Runner) -> None:
        run.exists(OLD, NEW, stages=("AWSCURRENT", "AWSPENDING"))
        entry = {"shape": {"kind": "json", "fields": ["key"]}}
        assert "is not JSON" in refused(run, "secret_current_version", entry=entry)

    def test_a_leftover(self, run: Runner) -> None:
        run.exists(OLD, NEW, stages=("AWSCURRENT", "AWSPENDING"))
        run.client.put_secret_value(SecretId=f"{PREFIX}/{run.name}", SecretString="the-third-Kanari-3333")
        run.since = run.world.aws.server.calls.since()[-1]["seq"]
        assert "is older than the current one" in refused(run, "secret_current_version")

    def test_a_version_that_is_gone(self, run: Runner) -> None:
        run.exists(OLD)
        assert "that still has a label" in refused(run, "secret_current_version", version="0" * 32)

    def test_a_value_that_cannot_be_read(self, run: Runner, stores: World) -> None:
        run.exists(OLD, NEW, stages=("AWSCURRENT", "AWSPENDING"))
        stores.aws.server.faults.add(
            "secretsmanager", "GetSecretValue", "error", count=None, code="AccessDeniedException", status=400
        )
        try:
            assert "Could not read the new value" in refused(run, "secret_current_version")
        finally:
            stores.aws.server.faults.remove()


@contextmanager
def other_side(answer: Callable[[str], int]) -> Iterator[str]:
    """Somebody who says with a status whether a key is accepted."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer(self.headers.get("Authorization", "")))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/me"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "said"), [(200, ""), (401, "does not accept it (401"), (503, "does not say whether it does (503")]
)
def test_a_value_is_tried_before_it_is_promoted(run: Runner, status: int, said: str) -> None:
    run.exists(OLD, NEW, stages=("AWSCURRENT", "AWSPENDING"))
    with other_side(lambda header: status if header == f"Bearer {NEW}" else 418) as url:
        entry = {"test": {"kind": "http", "url": url}}
        if said:
            assert said in refused(run, "secret_current_version", entry=entry)
            assert run.value() == OLD
        else:
            four_steps(run, "UpdateSecretVersionStage", "secret_current_version", entry=entry)


def test_a_value_is_not_sent_in_the_open(run: Runner) -> None:
    run.exists(OLD, NEW, stages=("AWSCURRENT", "AWSPENDING"))
    entry = {"test": {"kind": "http", "url": "http://register.example.org/me"}}
    assert "never travels in the open" in run("secret_current_version", entry=entry)["msg"]
    assert run.mutations() == []


def test_a_log_in_that_cannot_be_tried_is_no_proof(run: Runner) -> None:
    url = "postgresql://emr:a-password-Kanari-1@127.0.0.1:9/emr"
    run.exists(url.replace("-1@", "-0@"), url, stages=("AWSCURRENT", "AWSPENDING"))
    entry = {"shape": {"kind": "postgresql_url"}, "test": {"kind": "postgresql"}}
    assert "no log-in could be tried" in refused(run, "secret_current_version", entry=entry)


def test_health_of_a_real_secret(run: Runner) -> None:
    """The readings fit what AWS answers; what IAM of this AWS cannot say is unknown."""
    module = importlib.import_module("ansible_collections.daily_emr.ops.plugins.modules.secrets_health")
    run("secret")
    run.client.put_secret_value(SecretId=f"{PREFIX}/{run.name}", SecretString=NEW)
    params = run.params(module, {"readers": ["daily-emr-sandbox-web-execution"]})
    result = module.ENTRY.run(params, Context())
    run.said += json.dumps(result, default=str)

    assert {item["name"]: item["status"] for item in result["observations"]} == {
        "present": "ok", "value": "ok", "encrypted": "ok", "shape": "ok", "age": "ok", "rotation": "ok",
        "replica": "ok", "policy": "ok", "readers": "unknown",
    }, result  # fmt: skip
    assert result["healthy"] is None
