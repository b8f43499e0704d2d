"""How the runbook proves itself to the server of the queues."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import botocore.session
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _queue_program
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused

from tests.unit.changes.world import Json
from tests.unit.queue.readings import QUEUE

USER = "daily-emr-staging-runbook"
IAM: Json = {"user": USER, "method": "iam", "tls": True}
GROUP: Json = {"clustered": False, "address": "master.queues.use1.cache.amazonaws.com", "port": 6379}


def clients(*, sandbox: bool = False) -> Json:
    client = botocore.session.Session().create_client(
        "elasticache", region_name="af-south-1", aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret"
    )
    environment = SimpleNamespace(sandbox=sandbox, region="af-south-1")
    found: Json = SimpleNamespace(environment=environment, read=lambda _service: client)  # type: ignore[assignment]
    return found


def place(login: Json, *, sandbox: bool = False, **group: object) -> Json:
    return _queue_program.place_of(clients(sandbox=sandbox), {**QUEUE, "login": login}, GROUP | group)


def test_a_token_is_a_signed_request_to_connect() -> None:
    found = place(IAM)
    assert (found["host"], found["port"], found["user"], found["tls"]) == (
        GROUP["address"],
        6379,
        USER,
        True,
    )
    parts = urlsplit(f"http://{found['password']}")
    assert (parts.netloc, parts.path) == ("daily-emr-staging-queues", "/")
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert (query["Action"], query["User"], query["X-Amz-Expires"]) == ("connect", USER, "900")
    assert query["X-Amz-Credential"].endswith("/af-south-1/elasticache/aws4_request")
    assert query["X-Amz-SignedHeaders"] == "host"
    assert query["X-Amz-Signature"]


@pytest.mark.parametrize(
    ("login", "words"),
    [
        ({**IAM, "tls": False}, "login.tls must be true"),
        ({**IAM, "method": "passfile", "passfile": "/none"}, "only the sandbox may use"),
    ],
)
def test_a_login_that_proves_nothing_is_refused(login: Json, words: str) -> None:
    with pytest.raises(Refused, match=words):
        place(login)


def test_a_password_file_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(Refused, match=r"cannot be read \(FileNotFoundError\)"):
        place({**IAM, "method": "passfile", "passfile": "/none"}, sandbox=True)


def test_a_group_without_an_endpoint_or_in_cluster_mode() -> None:
    with pytest.raises(OpsError, match="has no endpoint now"):
        place(IAM, address=None)
    with pytest.raises(Refused, match="cluster mode"):
        place(IAM, clustered=True)


@pytest.mark.parametrize("missing", ["program", "node"])
def test_what_is_not_installed_is_one_sentence(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing == "program":
        monkeypatch.setattr(_queue_program, "PROGRAM", _queue_program.PROGRAM.with_name("none.mjs"))
    else:
        monkeypatch.setattr(_queue_program.importlib.util, "find_spec", lambda _name: None)
        monkeypatch.setenv("PATH", "/none")
    with pytest.raises(Refused, match=r"local connection|make setup"):
        _queue_program.runtime()
