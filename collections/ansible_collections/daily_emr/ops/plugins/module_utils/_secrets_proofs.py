# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: how a new value is tried before it is made the current one. May change without notice.

"""A value tried against whom it is for, with something that only reads. No sentence holds a part of a value."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ansible_collections.daily_emr.ops.plugins.module_utils._claims_api import ClaimsApi
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import is_loopback
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._http import request
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

try:
    import psycopg
except ImportError:  # only where modules are imported without it, as ansible-test does; the proof says so
    psycopg = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients, Secret

TIMEOUT_S = 10
# What PostgreSQL calls a log-in that it refuses: https://www.postgresql.org/docs/current/errcodes-appendix.html
_REFUSED_CLASS = "28"


@dataclass(frozen=True)
class Proof:
    """Whether the other side accepts a value; None when it did not say."""

    accepted: bool | None
    seen: str


def prove(clients: Clients, entry: Json, secret: Secret, claims_api: Json | None) -> Proof:
    """Try a value by the test of its entry."""
    test = entry["test"]
    if test["kind"] == "http":
        return _by_http(clients, test, secret)
    if test["kind"] == "postgresql":
        return _by_login(secret)
    if test["kind"] == "claims_api":
        if claims_api is None:
            raise Refused(f"{entry['name']} is tried at the claims API: pass claims_api.")
        return _by_claims_api(clients, claims_api, secret)
    return Proof(True, "its shape was looked at, nobody can be asked")


def _by_http(clients: Clients, test: Json, secret: Secret) -> Proof:
    url = str(test.get("url") or "")
    if urlsplit(url).scheme != "https" and not (clients.environment.sandbox and is_loopback(url)):
        raise Refused("The url of a test must be an https address: a value never travels in the open.")
    answer = request("GET", url, timeout_s=TIMEOUT_S, headers={test["header"]: f"{test['prefix']}{secret.reveal()}"})
    if answer.ok:
        return Proof(True, answer.seen)
    refused = answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    return Proof(False if refused else None, answer.seen)


def _by_login(secret: Secret) -> Proof:
    if psycopg is None:
        raise OpsError("psycopg is not installed in the Python that runs Ansible: install the project's lock file.")
    read_only = f"-c default_transaction_read_only=on -c statement_timeout={TIMEOUT_S * 1000}"
    try:
        with psycopg.connect(
            secret.reveal(), connect_timeout=TIMEOUT_S, application_name="daily_emr_runbook", options=read_only
        ) as session:
            session.execute("SELECT 1")
    except psycopg.Error as error:
        # libpq names no SQLSTATE where the connection was never made; its words are matched and dropped.
        refused = (error.sqlstate or "").startswith(_REFUSED_CLASS) or "authentication failed" in str(error)
        return Proof(False if refused else None, "log-in refused" if refused else "no log-in could be tried")
    return Proof(True, "logged in")


def _by_claims_api(clients: Clients, claims_api: Json, secret: Secret) -> Proof:
    api = ClaimsApi(clients.environment, claims_api, TIMEOUT_S)
    reply, token = api.token(secret)
    if reply.ok:
        reply = api.facility(token)
    return Proof(True if reply.ok else False if reply.refused else None, reply.seen)
