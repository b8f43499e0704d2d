"""The identity guard and the two kinds of clients. The wire is the witness, not the core's own word."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path
from typing import Any

import boto3
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _clients
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import (
    Clients,
    ambient_refusals,
    gather,
    identify,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, CallUnknown, Refused
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError
from botocore.stub import Stubber

from .conftest import ENVIRONMENT, FINGERPRINT, REGION, Wire, assume, stamp

GUARD = {"GetCallerIdentity", "GetParameter"}
SANDBOX = {**ENVIRONMENT, "name": "sandbox", "endpoint_url": "http://127.0.0.1:9", "credentials_file": "/nowhere"}


def clients_of(changes: dict[str, Any] | None = None, environ: dict[str, str] | None = None) -> Clients:
    return Clients(Environment.from_params({**ENVIRONMENT, **(changes or {})}), environ=environ or {})


def test_the_right_role_in_the_right_account_is_proven_with_two_calls_and_only_once(wire: Wire) -> None:
    clients = clients_of()

    identity = clients.prove()
    clients.prove()
    clients.read("ssm").describe_parameters()

    assert (identity.operator, identity.role) == ("wanjiru", "daily-emr-staging-runbook-act")
    assert sorted(wire.sent) == ["DescribeParameters", "GetCallerIdentity", "GetParameter"]


def test_the_two_calls_of_the_guard_are_made_at_the_same_time(wire: Wire) -> None:
    both_there = threading.Barrier(2, timeout=20)

    def meet(operation: str) -> None:
        if operation in GUARD:
            both_there.wait()

    wire.watchers.append(meet)

    clients_of().prove()  # one after the other, the barrier would break and the test fail

    assert sorted(wire.sent) == sorted(GUARD)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"account_id": "999999999999"}, "belong to account 123456789012, but environment staging is account 99999999"),
        ({"role_pattern": "^another-role$"}, "those of role daily-emr-staging-runbook-act, but only"),
        ({"role_pattern": "daily-emr-staging"}, "those of role daily-emr-staging-runbook-act, but only"),
        ({"fingerprint_parameter": "/nobody/home"}, "has no fingerprint /nobody/home"),
        ({"name": "production"}, "says environment 'staging', but the inventory says 'production'"),
    ],
)
@pytest.mark.parametrize("use", ["read", "write", "prove"])
def test_who_is_not_where_the_inventory_says_is_refused_before_any_other_call(
    wire: Wire, changes: dict[str, Any], says: str, use: str
) -> None:
    clients = clients_of(changes)

    uses = {
        "read": lambda: clients.read("ssm").describe_parameters(),
        "write": lambda: clients.write("ssm", "DeleteParameter").delete_parameter(Name=FINGERPRINT),
        "prove": clients.prove,
    }

    with pytest.raises(Refused) as refusal:
        uses[use]()

    assert says in refusal.value.sentence
    assert len(refusal.value.reasons) == 1
    assert set(wire.sent) <= GUARD


def test_without_the_guard_the_same_call_goes_through(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above: it would notice a guard that guards nothing."""
    monkeypatch.setattr(Clients, "prove", lambda *_args: None)

    clients_of({"account_id": "999999999999"}).write("ssm", "DeleteParameter").delete_parameter(Name=FINGERPRINT)

    assert wire.sent == ["DeleteParameter"]


@pytest.mark.usefixtures("wire")
def test_another_region_in_the_fingerprint_is_refused() -> None:
    stamp({"environment": "staging", "account_id": "123456789012", "region": "eu-west-1"})

    with pytest.raises(Refused, match="says region 'eu-west-1', but the inventory says 'af-south-1'"):
        clients_of().prove()


@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize("text", ["not json", "[]", '"text"'])
def test_a_fingerprint_that_is_not_one_is_refused(text: str) -> None:
    stamp(text)

    with pytest.raises(Refused, match="is not a JSON object"):
        clients_of().prove()


@pytest.mark.usefixtures("wire")
def test_another_role_of_the_same_account_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assume(monkeypatch, "administrator")

    with pytest.raises(Refused, match="those of role administrator, but only"):
        clients_of().prove()


@pytest.mark.parametrize("arn", ["arn:aws:iam::123456789012:user/admin", "arn:aws:iam::123456789012:root"])
def test_who_is_not_a_role_is_refused(arn: str) -> None:
    _identity, reasons = identify(Environment.from_params(ENVIRONMENT), {"Account": "123456789012", "Arn": arn})

    assert len(reasons) == 1
    assert "which is not a role" in reasons[0]


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"AWS_REGION": "eu-west-1"}, "AWS_REGION is eu-west-1, but environment staging is in af-south-1"),
        ({"AWS_DEFAULT_REGION": "us-east-1"}, "AWS_DEFAULT_REGION is us-east-1"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "AWS_ENDPOINT_URL is set"),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "https://evil.example"}, "AWS_ENDPOINT_URL_DYNAMODB is set"),
    ],
)
def test_an_ambient_variable_that_points_elsewhere_is_refused_without_any_call(
    wire: Wire, environ: dict[str, str], says: str
) -> None:
    with pytest.raises(Refused) as refusal:
        clients_of(environ=environ)

    assert says in refusal.value.sentence
    assert wire.sent == []


@pytest.mark.parametrize(
    ("value", "refused"), [("http://127.0.0.1:26000", False), ("http://127.0.0.1:1", True), ("https://sts.aws", True)]
)
def test_the_sandbox_has_one_endpoint(value: str, refused: bool) -> None:
    sandbox = Environment.from_params(
        {**ENVIRONMENT, "name": "sandbox", "endpoint_url": "http://127.0.0.1:26000", "credentials_file": "/x"}
    )

    reasons = ambient_refusals(sandbox, {"AWS_ENDPOINT_URL_ECS": value})

    assert any("AWS_ENDPOINT_URL_ECS is set" in reason for reason in reasons) is refused


@pytest.mark.usefixtures("wire")
def test_ambient_variables_that_agree_are_accepted() -> None:
    assert clients_of(environ={"AWS_REGION": REGION, "AWS_ENDPOINT_URL": ""}).prove().role


@pytest.mark.parametrize(
    "endpoint", ["https://sts.amazonaws.com", "http://10.0.0.1", "http://localhost:5000", "ftp://127.0.0.1"]
)
def test_a_sandbox_that_is_not_on_a_loopback_address_is_refused(endpoint: str) -> None:
    with pytest.raises(Refused, match="not a loopback address"):
        Clients(Environment.from_params({**SANDBOX, "endpoint_url": endpoint}), environ={})


@pytest.mark.usefixtures("aws")
def test_the_sandbox_uses_its_own_credentials_and_never_those_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AMBIENT")
    missing = Clients(Environment.from_params({**SANDBOX, "credentials_file": str(tmp_path / "none")}), environ={})
    with pytest.raises(Refused, match="has no credentials in"):
        missing.read("ssm")

    (tmp_path / "own").write_text("[default]\naws_access_key_id = OWN\naws_secret_access_key = x\n")
    client = Clients(Environment.from_params({**SANDBOX, "credentials_file": str(tmp_path / "own")}), environ={}).read(
        "ssm"
    )

    assert client._request_signer._credentials.access_key == "OWN"
    assert client.meta.endpoint_url == "http://127.0.0.1:9"


@pytest.mark.usefixtures("aws")
def test_an_endpoint_in_the_profile_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = https://evil.example\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    _clients.session.cache_clear()

    assert clients_of().read("ssm").meta.endpoint_url == f"https://ssm.{REGION}.amazonaws.com"
    assert boto3.Session().client("ssm", REGION).meta.endpoint_url == "https://evil.example"  # the control


@pytest.mark.parametrize(
    ("service", "method", "arguments"),
    [
        ("ssm", "delete_parameter", {"Name": FINGERPRINT}),
        ("ssm", "get_parameter", {"Name": FINGERPRINT, "WithDecryption": True}),
        ("ecs", "update_service", {"service": "web", "desiredCount": 0}),
        ("secretsmanager", "get_secret_value", {"SecretId": "x"}),
        ("secretsmanager", "batch_get_secret_value", {"SecretIdList": ["x"]}),
        ("sts", "get_session_token", {}),
        ("sts", "assume_role", {"RoleArn": "arn:aws:iam::123456789012:role/other", "RoleSessionName": "x1"}),
        ("ecr", "get_authorization_token", {}),
        ("logs", "get_log_events", {"logGroupName": "g", "logStreamName": "s"}),
        ("dynamodb", "put_item", {"TableName": "t", "Item": {"pk": {"S": "x"}}}),
    ],
)
def test_a_client_for_reads_sends_nothing_that_changes_something_or_reveals_a_secret(
    clients: Clients, wire: Wire, service: str, method: str, arguments: dict[str, Any]
) -> None:
    client = clients.read(service)

    with pytest.raises(Refused, match="is not a read"):
        getattr(client, method)(**arguments)

    assert wire.sent == []


def test_a_client_for_a_write_lets_only_its_own_operation_through_and_only_once(clients: Clients, wire: Wire) -> None:
    client = clients.write("ssm", "PutParameter")

    with pytest.raises(Refused, match="DeleteParameter was not declared"):
        client.delete_parameter(Name=FINGERPRINT)
    client.put_parameter(Name="/a", Value="1", Type="String")
    with pytest.raises(Refused, match="was already called"):
        client.put_parameter(Name="/a", Value="2", Type="String", Overwrite=True)

    assert [name for name in wire.sent if name not in GUARD] == ["PutParameter"]
    assert clients.sent == ["ssm:PutParameter"]


@pytest.mark.parametrize("lost", ["lose_request", "lose_reply"])
def test_a_lost_write_is_not_sent_again_but_a_lost_read_is(clients: Clients, wire: Wire, lost: str) -> None:
    getattr(wire, lost)("PutParameter")
    getattr(wire, lost)("DescribeParameters")

    with pytest.raises(Exception, match=r"(?i)time|clos"):
        clients.write("ssm", "PutParameter").put_parameter(Name="/a", Value="1", Type="String")
    clients.read("ssm").describe_parameters()

    assert wire.count("PutParameter") == 1
    assert wire.count("DescribeParameters") == 2


def test_a_write_is_not_sent_twice_even_where_botocore_would(
    clients: Clients, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attempts of a client for writes are one; should somebody raise them, the second request stays here."""
    create = clients._create
    monkeypatch.setattr(clients, "_create", lambda service, attempts, **more: create(service, max(attempts, 3), **more))
    wire.lose_reply("PutParameter")

    with pytest.raises(Refused, match="it is never sent twice"):
        clients.write("ssm", "PutParameter").put_parameter(Name="/a", Value="1", Type="String")

    assert clients.sent == ["ssm:PutParameter"]


def test_sixteen_threads_share_one_client_and_one_proof(clients: Clients, wire: Wire) -> None:
    found = gather(**{f"t{n}": clients.read("ssm").describe_parameters for n in range(16)})

    assert all("Parameters" in value for value in found.values())
    assert (wire.count("GetCallerIdentity"), wire.count("DescribeParameters")) == (1, 16)


def test_gather_keeps_what_each_call_ended_with() -> None:
    def refused() -> None:
        raise EndpointConnectionError(endpoint_url="https://x")

    def lost() -> None:
        raise ConnectionClosedError(endpoint_url="https://x")

    found = gather(good=lambda: 7, refused=refused, lost=lost)

    assert found["good"] == 7
    assert isinstance(found["refused"], CallFailed)
    assert isinstance(found["lost"], CallUnknown)


@pytest.mark.parametrize("error", [Refused("no"), KeyError("our own fault")])
def test_gather_does_not_hide_a_guard_or_a_fault_of_our_own(error: Exception) -> None:
    def broken() -> None:
        raise error

    with pytest.raises(type(error)):
        gather(good=lambda: 7, broken=broken)


@pytest.mark.usefixtures("aws")
def test_the_fingerprint_is_read_as_botocore_models_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same guard against canned replies that botocore checks against the service's own model."""
    clients = clients_of()
    real = clients._create

    def stubbed(service: str, attempts: int) -> Any:
        client = real(service, attempts)
        stub = Stubber(client)
        if service == "sts":
            arn = "arn:aws:sts::123456789012:assumed-role/daily-emr-staging-runbook-diagnose/otieno"
            stub.add_response("get_caller_identity", {"Account": "123456789012", "Arn": arn}, {})
        else:
            value = json.dumps({"environment": "staging", "account_id": "123456789012", "region": REGION})
            stub.add_response("get_parameter", {"Parameter": {"Value": value}}, {"Name": FINGERPRINT})
        stub.activate()
        return client

    monkeypatch.setattr(clients, "_create", stubbed)

    assert clients.prove().operator == "otieno"


def test_the_value_of_a_secret_is_used_and_never_shown(clients: Clients) -> None:
    clients.write("secretsmanager", "CreateSecret").create_secret(Name="emr/key", SecretString="canary-of-a-key")

    found = clients.secret_value("emr/key", stage="AWSCURRENT")

    assert found.reveal() == "canary-of-a-key"
    shown = [repr(found), str(found), f"{found}", f"{found!r}", json.dumps({"key": found}, default=str), repr([found])]
    assert not [text for text in shown if "canary" in text]
    assert clients.sent == ["secretsmanager:CreateSecret"], "to read a value changes nothing"


def test_a_version_is_read_by_its_own_name_wherever_the_label_is(clients: Clients) -> None:
    made = clients.write("secretsmanager", "CreateSecret").create_secret(Name="emr/key", SecretString="first")
    put = clients.write("secretsmanager", "PutSecretValue").put_secret_value(SecretId="emr/key", SecretString="second")

    assert clients.secret_value("emr/key", version=made["VersionId"]).reveal() == "first"
    assert clients.secret_value("emr/key", version=put["VersionId"]).reveal() == "second"
    assert clients.secret_value("emr/key", stage="AWSCURRENT").reveal() == "second"


def test_a_value_that_is_not_there_is_a_call_that_failed(clients: Clients) -> None:
    with pytest.raises(CallFailed, match="ResourceNotFoundException"):
        clients.secret_value("emr/none", stage="AWSPENDING")


def test_the_value_of_a_secret_is_not_read_before_the_guard_has_agreed(clients: Clients, wire: Wire) -> None:
    clients.environment = dataclasses.replace(clients.environment, account_id="999999999999")

    with pytest.raises(Refused, match="account"):
        clients.secret_value("emr/key", stage="AWSCURRENT")

    assert wire.count("GetSecretValue") == 0
