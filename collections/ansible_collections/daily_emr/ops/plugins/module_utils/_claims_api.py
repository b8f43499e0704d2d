# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: requests to the claims API. May change without notice.

"""The claims API as a runbook may ask it: how far a connection gets, a token, our own facility, and what became of a
claim of ours by its identifier. Nothing is ever submitted from here.

Of an answer the status, the time and a few allow-listed fields leave this module. The body of an error is not read: an
OperationOutcome repeats what was sent to it (incident domain, A5.8).
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Secret
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

try:
    import urllib3
except ImportError:  # only where modules are imported without boto3, as ansible-test does; Clients refuses to start
    urllib3 = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment

TOKEN_PATH = "/v1/oauth2/token"  # noqa: S105  # a path
FACILITY_PATH = "/v1/facility-search"
STATUS_PATH = "/fhir/ClaimResponse"

_BODY_BYTES = 64_000
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
# https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
_CERTIFICATE_WORDS = {9: "not valid yet", 10: "expired", 62: "made out for another name"}
_RESPONSE_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
# What can stand behind "Bearer" (RFC 6750, 2.1).
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True)
class Reach:
    """How far a connection gets. stage: where it ends (name, tcp or tls), empty when it does not."""

    stage: str
    trouble: str
    ms: int
    certificate_days: float | None = None

    @property
    def seen(self) -> str:
        return f"{self.trouble} after {self.ms} ms" if self.stage else f"connected in {self.ms} ms"


@dataclass(frozen=True)
class Reply:
    """One answer. status is the HTTP status; without one, failure says why: timeout, refused, tls or error.

    usable: whether the body of a 200 says what was asked for; a page of a proxy does not.
    """

    status: int | None
    failure: str
    ms: int
    usable: bool = True
    skew_s: float | None = None
    retry_after_s: float | None = None
    body: Json = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        return self.status == HTTPStatus.OK and self.usable

    @property
    def refused(self) -> bool:
        return self.status in _REFUSED

    @property
    def throttled(self) -> bool:
        return self.status == HTTPStatus.TOO_MANY_REQUESTS

    @property
    def failing(self) -> bool:
        """No answer, or one of 5xx: neither who asks nor what for is the reason."""
        return self.status is None or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def odd(self) -> bool:
        """Neither served nor any of the reasons that we know."""
        return not (self.ok or self.refused or self.throttled or self.failing)

    @property
    def seen(self) -> str:
        """The answer in a word, for a record: nothing of its body."""
        if not self.status:
            return f"{self.failure} after {self.ms} ms"
        return f"{self.status}{'' if self.usable else ' without what was asked for'} in {self.ms} ms"


@dataclass(frozen=True)
class Fate:
    """What became of a claim, by the payer's own word. answer: acked, rejected, absent, or empty without one."""

    answer: str
    response: str = ""
    copies: int = 0
    throttled: bool = False
    seen: str = ""


class ClaimsApi:
    """The API of one environment. Raises Refused when its address is not one that may be called from here."""

    def __init__(self, environment: Environment, settings: Json, timeout_s: float) -> None:
        self._settings, self._timeout_s = settings, timeout_s
        self._url = str(settings["base_url"]).rstrip("/")
        parts = urlsplit(self._url)
        if parts.scheme != "https" or not parts.hostname:
            raise Refused(f"claims_api.base_url of {environment.name} is not an https address: correct it.")
        if environment.sandbox and not _is_loopback(parts.hostname):
            raise Refused("claims_api.base_url of the sandbox is not a loopback address: it never leaves this machine.")
        self._host, self._port = parts.hostname, parts.port or 443
        self._authorities = str(settings["ca_file"]) if settings.get("ca_file") else None

    def reach(self) -> Reach:
        """Resolve, connect, and shake hands with our own bundle of authorities; nothing is asked."""
        began = time.monotonic()
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError:
            return Reach("name", "no address", _ms(began))
        try:
            context = ssl.create_default_context(cafile=self._authorities)
        except (OSError, ssl.SSLError) as error:
            raise OpsError("The file claims_api.ca_file holds no certificates that can be read.") from error
        stage = "tcp"
        try:
            address = str(found[0][4][0])
            with socket.create_connection((address, self._port), timeout=self._timeout_s) as plain:
                stage = "tls"
                with context.wrap_socket(plain, server_hostname=self._host) as secured:
                    return Reach("", "", _ms(began), _days_left(secured.getpeercert()))
        except ssl.SSLCertVerificationError as error:
            return Reach(stage, f"certificate {_CERTIFICATE_WORDS.get(error.verify_code, 'not trusted')}", _ms(began))
        except TimeoutError:
            return Reach(stage, "timeout", _ms(began))
        except ConnectionRefusedError:
            return Reach(stage, "refused", _ms(began))
        except OSError:
            return Reach(stage, "broken off", _ms(began))

    def token(self, value: Secret) -> tuple[Reply, Secret]:
        """Ask for a token with the key of a secret. The token is empty when none was given.

        Raises OpsError when the secret has not the form of one.
        """
        basic = b64encode(":".join(_key_of(value)).encode()).decode()
        reply = self._send(
            "POST",
            TOKEN_PATH,
            {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"},
            urlencode({"grant_type": "client_credentials"}).encode(),
            usable=lambda body: bool(_token_in(body)),
        )
        return reply, Secret(_token_in(reply.body))

    def facility(self, token: Secret) -> Reply:
        """The harmless read: our own facility, by its own id."""
        ours = str(self._settings["facility_id"])
        path = f"{FACILITY_PATH}?{urlencode({'id': ours})}"
        return self._send("GET", path, _bearer(token), usable=lambda body: _names(body, ours))

    def fate(self, token: Secret, identifier: str) -> Fate:
        """What became of the claim with this identifier of ours. What is not clearly told is not an answer."""
        asked_for = f"{self._settings['identifier_system']}|{identifier}"
        # A server that does not know the parameter must say so instead of leaving it out (FHIR R4, search).
        headers = {**_bearer(token), "Prefer": "handling=strict"}
        reply = self._send("GET", f"{STATUS_PATH}?{urlencode({'request.identifier': asked_for})}", headers)
        if not reply.ok:
            return Fate("", throttled=reply.throttled, seen=reply.seen)
        return fate_of(reply.body, asked_for)

    def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None = None,
        usable: Callable[[Json], bool] = bool,
    ) -> Reply:
        """One request, following no redirect and retrying nothing."""
        sent = {"User-Agent": "daily-emr-runbook", "Accept": "application/json, application/fhir+json", **headers}
        pool_settings: Json = {"cert_reqs": "CERT_REQUIRED", "retries": False}
        if self._authorities:
            pool_settings["ca_certs"] = self._authorities
        status, failure, found, told = None, "", {}, {}
        began = time.monotonic()
        try:
            with urllib3.PoolManager(timeout=urllib3.Timeout(total=self._timeout_s), **pool_settings) as pool:
                answer = pool.request(
                    method, self._url + path, headers=sent, body=body, redirect=False, preload_content=False
                )
                status, told = answer.status, dict(answer.headers)
                if status == HTTPStatus.OK:
                    found = _object(answer.read(_BODY_BYTES))
        except urllib3.exceptions.NewConnectionError:  # before timeouts: to urllib3 it is one of them
            failure = "refused"
        except (urllib3.exceptions.TimeoutError, TimeoutError):
            status, failure = None, "timeout"
        except urllib3.exceptions.SSLError:
            failure = "tls"
        except (urllib3.exceptions.HTTPError, OSError):
            status, failure = None, "error"
        headers_seen = {name.lower(): value for name, value in told.items()}
        return Reply(
            status,
            failure,
            _ms(began),
            usable=status != HTTPStatus.OK or usable(found),
            skew_s=_skew(headers_seen.get("date", "")),
            retry_after_s=_seconds(headers_seen.get("retry-after", "")),
            body=found,
        )


def log_in(clients: Clients, api: ClaimsApi, settings: Json) -> tuple[Reply, Secret]:
    """Ask for a token with the current key."""
    return api.token(clients.secret_value(settings["secret"], stage="AWSCURRENT"))


def fate_of(bundle: Json, asked_for: str) -> Fate:
    """What a searchset says of the claim that was asked for by its identifier, ``system|value``.

    It counts only where it is tied to this claim, because a claim that is taken for absent is sent again: a response by
    the identifier that it repeats, nothing at all by the search that the server says it made.
    """
    if (bundle.get("resourceType"), bundle.get("type")) != ("Bundle", "searchset"):
        return Fate("", seen="not a searchset")
    entries, total = bundle.get("entry") or [], bundle.get("total")
    if not isinstance(entries, list) or not isinstance(total, int) or isinstance(total, bool) or total != len(entries):
        return Fate("", seen="a searchset that is not whole")
    if not entries:
        told = _searched_for(bundle, asked_for)
        return Fate("absent", seen="no response") if told else Fate("", seen="no response to another question")
    responses: list[Any] = [entry.get("resource") if isinstance(entry, dict) else None for entry in entries]
    if not all(_is_response_to(response, asked_for) for response in responses):
        return Fate("", seen="something that is no valid response to this claim")
    outcomes = {str(response.get("outcome")) for response in responses}
    response_id = str(responses[0].get("id"))
    if not _RESPONSE_ID.fullmatch(response_id):
        return Fate("", seen="a response without a usable id")
    if outcomes <= {"complete", "partial", "queued"}:
        return Fate("acked", response_id, total, seen="accepted")
    if outcomes == {"error"}:
        return Fate("rejected", response_id, total, seen="rejected")
    return Fate("", seen="responses that contradict each other")


def _is_response_to(response: Any, asked_for: str) -> bool:
    """Whether it is a response that stands, and to this claim. One that was cancelled says nothing of a claim."""
    if not isinstance(response, dict):
        return False
    if (response.get("resourceType"), response.get("status")) != ("ClaimResponse", "active"):
        return False
    request = response.get("request")
    identifier = request.get("identifier") if isinstance(request, dict) else None
    return isinstance(identifier, dict) and f"{identifier.get('system')}|{identifier.get('value')}" == asked_for


def _searched_for(bundle: Json, asked_for: str) -> bool:
    """Whether the server says that it looked for this: its self link holds what it used (FHIR R4, search)."""
    links = bundle.get("link")
    urls = [
        str(link.get("url"))
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, dict) and link.get("relation") == "self"
    ]
    try:
        return any(value == asked_for for url in urls for _name, value in parse_qsl(urlsplit(url).query))
    except ValueError:
        return False


def _token_in(body: Json) -> str:
    found = body.get("access_token")
    return found if isinstance(found, str) and _TOKEN.fullmatch(found) else ""


def _names(found: Any, text: str) -> bool:
    """Whether this text is one of the values, however deep: what stands around it is not public (A5.0)."""
    if isinstance(found, dict):
        return any(_names(value, text) for value in found.values())
    if isinstance(found, list):
        return any(_names(value, text) for value in found)
    return bool(found == text)


def _key_of(value: Secret) -> tuple[str, str]:
    try:
        found = json.loads(value.reveal())
        return str(found["key"]), str(found["secret"])
    except (ValueError, KeyError, TypeError):
        pass
    # Not chained: the error of the parser repeats the text.
    raise OpsError('The secret of the claims API is not JSON with "key" and "secret": put it right.')


def _bearer(token: Secret) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.reveal()}"}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _days_left(certificate: Json | None) -> float | None:
    ends = str((certificate or {}).get("notAfter") or "")
    return None if not ends else (ssl.cert_time_to_seconds(ends) - time.time()) / 86_400


def _skew(text: str) -> float | None:
    """Our clock minus theirs, in seconds; None when they do not say."""
    try:
        return (datetime.now(UTC) - parsedate_to_datetime(text).astimezone(UTC)).total_seconds()
    except ValueError:
        return None


def _seconds(text: str) -> float | None:
    """Retry-After, as seconds or as a date (RFC 9110, 10.2.3)."""
    if text.isdigit():
        return float(text)
    skew = _skew(text)
    return None if skew is None else max(-skew, 0.0)


def _object(text: bytes) -> Json:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _ms(since: float) -> int:
    return round((time.monotonic() - since) * 1000)
