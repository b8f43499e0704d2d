"""What an exception says about a call. When in doubt it is unknown: "failed" means known not done."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.error
from email.message import Message
from typing import Any

import pytest
import urllib3.exceptions as http3
from ansible_collections.daily_emr.ops.plugins.module_utils._calls import as_call_error, calling, classify, sentence
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, CallUnknown, OpsError, Refused
from botocore import exceptions as aws

SECRET = "patient Achieng, 12345678"  # planted: it must never get into a sentence


def reply(code: str, status: int | None) -> aws.ClientError:
    metadata: dict[str, Any] = {} if status is None else {"HTTPStatusCode": status}
    return aws.ClientError(
        {"Error": {"Code": code, "Message": f"failed for {SECRET}"}, "ResponseMetadata": metadata},  # type: ignore[typeddict-item]
        "UpdateService",
    )


def answered(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("https://x", status, SECRET, Message(), None)


FAILED = [
    reply("AccessDeniedException", 403),
    reply("InvalidParameterException", 400),
    reply("ServiceNotFoundException", 404),
    reply("ConditionalCheckFailedException", 400),
    reply("ThrottlingException", 400),
    reply("Throttling", 429),
    reply("RequestLimitExceeded", 503),
    reply("SlowDown", 503),
    reply("ExpiredToken", 403),
    reply("ExpiredTokenException", 400),
    aws.EndpointConnectionError(endpoint_url="https://x"),
    aws.ConnectTimeoutError(endpoint_url="https://x"),
    aws.ProxyConnectionError(proxy_url="https://x"),
    aws.NoCredentialsError(),
    aws.PartialCredentialsError(provider="env", cred_var="x"),
    aws.UnauthorizedSSOTokenError(),
    aws.ParamValidationError(report=SECRET),
    aws.NoRegionError(),
    aws.SSLError(endpoint_url="https://x", error=ssl.SSLCertVerificationError(1, "bad certificate")),
    ConnectionRefusedError(),
    socket.gaierror(-2, "Name or service not known"),
    urllib.error.URLError(ConnectionRefusedError()),
    answered(403),
    answered(405),
    answered(429),
    http3.ConnectTimeoutError(),
    Refused("no"),
    CallFailed("no"),
]
UNKNOWN = [
    reply("InternalFailure", 500),
    reply("InternalError", 400),
    reply("ServiceUnavailable", 503),
    reply("ServerException", 400),
    reply("RequestTimeout", 400),
    reply("Anything", 502),
    reply("Anything", 504),
    reply("Anything", 408),
    reply("Anything", None),
    aws.ReadTimeoutError(endpoint_url="https://x"),
    aws.ConnectionClosedError(endpoint_url="https://x"),
    aws.HTTPClientError(error="x"),
    aws.ResponseStreamingError(error="x"),
    aws.SSLError(endpoint_url="https://x", error=ssl.SSLError(1, "decryption failed")),
    aws.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    TimeoutError(),
    ConnectionResetError(),
    BrokenPipeError(),
    http.client.RemoteDisconnected(""),
    http.client.IncompleteRead(b""),
    urllib.error.URLError(TimeoutError()),
    answered(500),
    answered(408),
    http3.ProtocolError(),
    http3.ReadTimeoutError(None, "u", "m"),  # type: ignore[arg-type]
    CallUnknown("maybe"),
    ValueError("our own fault, in the middle of a call"),
]


def name(error: BaseException) -> str:
    code = error.response["Error"]["Code"] if isinstance(error, aws.ClientError) else ""
    return f"{type(error).__name__}-{code}"


@pytest.mark.parametrize("error", FAILED, ids=name)
def test_it_is_known_not_to_have_been_done(error: BaseException) -> None:
    assert classify(error) == "failed"


@pytest.mark.parametrize("error", UNKNOWN, ids=name)
def test_it_may_have_been_done(error: BaseException) -> None:
    assert classify(error) == "unknown"


def test_the_error_below_another_one_counts() -> None:
    above = aws.HTTPClientError(error=aws.EndpointConnectionError(endpoint_url="https://x"))

    assert classify(above) == "failed"


@pytest.mark.parametrize("error", [*FAILED, *UNKNOWN], ids=name)
def test_a_sentence_never_quotes_what_the_provider_said(error: BaseException) -> None:
    said = sentence(error, "ecs:UpdateService")

    assert SECRET not in said
    assert "Achieng" not in said
    assert said.strip()


def test_a_sentence_names_the_call_the_code_and_the_status() -> None:
    assert (
        sentence(reply("AccessDeniedException", 403))
        == "UpdateService was answered with AccessDeniedException (HTTP 403)."
    )
    assert "log in again" in sentence(reply("ExpiredToken", 403))


def test_a_code_that_is_free_text_is_not_repeated() -> None:
    assert SECRET not in sentence(reply(SECRET, 400))


def test_an_error_keeps_its_kind_when_it_is_made_a_call_error() -> None:
    assert type(as_call_error(reply("X", 400))) is CallFailed
    assert type(as_call_error(reply("X", 500))) is CallUnknown
    refused = Refused("no")
    assert as_call_error(refused) is refused


def test_calling_translates_what_the_network_did_and_lets_our_own_faults_through() -> None:
    with pytest.raises(CallUnknown), calling("x"):
        raise aws.ReadTimeoutError(endpoint_url="https://x")
    with pytest.raises(OpsError), calling("x"):
        raise reply("X", 400)
    with pytest.raises(KeyError), calling("x"):
        raise KeyError("our own")
