# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What an exception says about a call: not done, or maybe done. And how to say it without the provider's own words.

Free text of AWS or a provider never gets into a sentence: it can quote names, values and patient data. What is kept
is the operation, the error code and the HTTP status.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, CallUnknown, OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import CallOutcome

try:
    import botocore.exceptions as aws
    import urllib3.exceptions as http3
except ImportError:  # only where modules are imported without boto3, as ansible-test does; Clients refuses to start
    aws = http3 = None  # type: ignore[assignment]

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
# Codes that say "something broke on our side" whatever the HTTP status: the call may have been done.
BROKEN = frozenset(
    {"InternalError", "InternalFailure", "InternalServerError", "InternalServerException", "RequestTimeout"}
    | {"RequestTimeoutException", "ServerException", "ServiceException", "ServiceUnavailable"}
)
# Raised before a byte was sent, or when the connection could not be made.
NEVER_SENT = (
    "CapacityNotAvailableError",
    "ConnectTimeoutError",
    "CredentialRetrievalError",
    "DataNotFoundError",
    "EndpointConnectionError",
    "EndpointProviderError",
    "InvalidEndpointConfigurationError",
    "InvalidRegionError",
    "NoAuthTokenError",
    "NoCredentialsError",
    "NoRegionError",
    "ParamValidationError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "ProxyConnectionError",
    "SSOError",
    "TokenRetrievalError",
    "UnknownServiceError",
)


def classify(error: BaseException) -> CallOutcome:
    """Say whether the call behind an exception is known not to have been done; when in doubt it is unknown."""
    if isinstance(error, CallUnknown):
        return CallOutcome.UNKNOWN
    if isinstance(error, OpsError):
        return CallOutcome.FAILED
    if isinstance(error, urllib.error.HTTPError):
        return _by_status(error.code)
    if any(_surely_unsent(cause) for cause in _causes(error)):
        return CallOutcome.FAILED
    if aws is not None and isinstance(error, aws.ClientError):
        code, status, _operation = _reply(error)
        if code in THROTTLED or code in EXPIRED:
            return CallOutcome.FAILED
        return CallOutcome.UNKNOWN if code in BROKEN else _by_status(status)
    return CallOutcome.UNKNOWN


def sentence(error: BaseException, call: str = "") -> str:
    """One sentence about a failed call, from allow-listed fields only. call: "ecs:UpdateService", for example."""
    if isinstance(error, OpsError):
        return error.sentence
    if isinstance(error, urllib.error.HTTPError):
        return f"{call or 'The HTTP request'} was answered with status {error.code}."
    if aws is not None and isinstance(error, aws.ClientError):
        code, status, operation = _reply(error)
        named = call or operation
        if code in EXPIRED:
            return f"{named} was refused because the credentials have expired: log in again and run again."
        if code in THROTTLED:
            return f"{named} was throttled by AWS ({code}) and not done: run again in a minute."
        return f"{named} was answered with {code} (HTTP {status or 'status unknown'})."
    if aws is not None and isinstance(error, aws.ParamValidationError):
        return f"{call or 'The call'} was not sent: its parameters do not fit the API."
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"):
        return "There are no usable AWS credentials: log in, or set AWS_PROFILE."
    if type(error).__name__ in ("SSOTokenLoadError", "TokenRetrievalError", "UnauthorizedSSOTokenError"):
        return "The AWS login has expired: log in again and run again."
    if classify(error) is CallOutcome.FAILED:
        return f"{call or 'The call'} was not sent: no connection could be made ({type(error).__name__})."
    return f"{call or 'The call'} got no usable answer ({type(error).__name__})."


def as_call_error(error: BaseException, call: str = "") -> OpsError:
    """Turn any exception of a call into CallFailed or CallUnknown; an OpsError stays what it is."""
    if isinstance(error, OpsError):
        return error
    kind = CallFailed if classify(error) is CallOutcome.FAILED else CallUnknown
    return kind(sentence(error, call))


@contextmanager
def calling(call: str = "") -> Iterator[None]:
    """Run calls and let only OpsErrors out for what the network, AWS or a provider did.

    Faults of our own code (KeyError, TypeError, ...) pass through untouched.
    """
    try:
        yield
    except OpsError:
        raise
    except CALL_ERRORS as error:
        raise as_call_error(error, call) from error


def error_code(error: BaseException) -> str:
    """The AWS error code of an exception or of what it was made from; empty when there is none."""
    for cause in _causes(error):
        if aws is not None and isinstance(cause, aws.ClientError):
            return _reply(cause)[0]
    return ""


def unanswered(error: BaseException) -> bool:
    """Whether a service surely gave no answer: out of reach, too slow, throttled, or broken on its own side.

    A refusal (access denied, no such table, credentials that ended) is an answer, and a certificate that is not theirs
    is somebody else's. What is not known to be silence is none.
    """
    for cause in _causes(error):
        if aws is not None and isinstance(cause, aws.ClientError):
            code, status, _operation = _reply(cause)
            return code in THROTTLED or code in BROKEN or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        if aws is not None and isinstance(cause, (aws.HTTPClientError, aws.ConnectionError)):
            return not isinstance(cause, aws.SSLError)
    return False


def failed_operation(error: BaseException) -> str:
    """The AWS operation that an exception, or what it was made from, is about, as "DeleteVpc"; empty when none is."""
    for cause in _causes(error):
        if aws is not None and isinstance(cause, aws.ClientError):
            return _reply(cause)[2]
    return ""


def _by_status(status: int) -> CallOutcome:
    # 408 says that the server gave up waiting, not that it did nothing.
    not_done = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return CallOutcome.FAILED if not_done and status != HTTPStatus.REQUEST_TIMEOUT else CallOutcome.UNKNOWN


def _surely_unsent(error: BaseException) -> bool:
    if isinstance(error, (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError, Refused)):
        return True
    if http3 is not None and isinstance(error, (http3.NewConnectionError, http3.ConnectTimeoutError)):
        return True
    return aws is not None and isinstance(error, _never_sent())


def _never_sent() -> tuple[type[BaseException], ...]:
    return tuple(getattr(aws, name) for name in NEVER_SENT if hasattr(aws, name))


def _reply(error: Any) -> tuple[str, int, str]:
    """Code, HTTP status (0 when there is none) and operation of a ClientError; the message is left behind."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    if not re.fullmatch(r"[A-Za-z0-9._:#-]{1,120}", code):
        code = "an unreadable error code"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code.rpartition("#")[2], int(status or 0), str(error.operation_name)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what it wraps: a read that timed out never has a refused connection below it."""
    seen: set[int] = set()
    current: object = error
    while isinstance(current, BaseException) and id(current) not in seen:
        seen.add(id(current))
        yield current
        wrapped = getattr(current, "reason", None) or getattr(current, "kwargs", {}).get("error")
        current = wrapped if isinstance(wrapped, BaseException) else current.__cause__


_FOREIGN: tuple[type[BaseException], ...] = (OSError, http.client.HTTPException)
CALL_ERRORS: tuple[type[BaseException], ...] = (
    _FOREIGN if aws is None else (*_FOREIGN, aws.ClientError, aws.BotoCoreError, aws.HTTPClientError, http3.HTTPError)
)
