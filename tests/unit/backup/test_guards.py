"""The clients of dumps: what they let through, and how a program gets its log-in."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import login_environment

IAM = {"user": "emr_backup", "method": "iam", "sslmode": "verify-full", "sslrootcert": "/etc/ssl/rds.pem"}
PLACE = ("replica.internal", 5432)


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Clients:
    """Clients of staging with keys that nobody knows; nothing here reaches a network."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ):
        monkeypatch.setenv(name, value)
    environment = {
        "name": "staging", "account_id": "123456789012", "region": "af-south-1", "role_pattern": "r", "table": "t",
        "fingerprint_parameter": "/f",
    }  # fmt: skip
    made = Clients(Environment.from_params(environment), environ={})
    monkeypatch.setattr(made, "prove", lambda: None)
    return made


@pytest.mark.parametrize(
    ("operation", "args"),
    [
        ("get_object", {"Bucket": "patients", "Key": "k"}),
        ("head_object", {"Bucket": "dumps", "Key": "k"}),
        ("put_object", {"Bucket": "dumps", "Key": "k", "Body": b""}),
        ("delete_object", {"Bucket": "dumps", "Key": "k"}),
    ],
)
def test_the_client_of_objects_reads_objects_of_its_bucket_and_nothing_else(
    clients: Clients, operation: str, args: dict[str, Any]
) -> None:
    with pytest.raises(Refused, match="this client only reads objects of dumps"):
        getattr(clients.objects("dumps"), operation)(**args)


@pytest.mark.parametrize("operation", ["get_object", "get_object_torrent", "get_object_attributes"])
def test_the_client_of_reads_reads_no_object(clients: Clients, operation: str) -> None:
    more = {"ObjectAttributes": ["ETag"]} if operation == "get_object_attributes" else {}
    with pytest.raises(Refused, match="is not a read"):
        getattr(clients.read("s3"), operation)(Bucket="dumps", Key="k", **more)


def test_a_program_logs_in_with_a_token_of_its_own_over_tls_that_proves_the_server(clients: Clients) -> None:
    made = login_environment(clients, {"login": IAM}, PLACE)

    assert made.pop("PGPASSWORD").startswith("replica.internal:5432/?Action=connect&DBUser=emr_backup&")
    assert made == {
        "PGHOST": "replica.internal", "PGPORT": "5432", "PGUSER": "emr_backup", "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/etc/ssl/rds.pem", "PGAPPNAME": "daily_emr_runbook", "PGCONNECT_TIMEOUT": "3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("login", "says"),
    [
        ({**IAM, "sslmode": "disable"}, "must be verify-full"),
        ({**IAM, "method": "passfile", "passfile": "/x"}, "only the sandbox may use"),
    ],
)
def test_a_program_gets_no_weaker_log_in_than_a_session(clients: Clients, login: dict[str, str], says: str) -> None:
    with pytest.raises(Refused, match=says):
        login_environment(clients, {"login": login}, PLACE)
