"""The routes beside the charts: appointments, reports, and eligibility, which the claims service decides."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import psycopg

from . import database
from .database import Session
from .journal import dependency
from .pool import Pool

CLAIMS_TIMEOUT_S = 1.5
"""Shorter than what the load balancer waits, so that the application can say who was slow."""

Answer = tuple[int, dict[str, Any]]
Settings = dict[str, Any] | None
"""Settings of a facility; None where there are none, as for a request without a tenant."""


class ClaimsFailed(Exception):
    """The claims service answered with an error."""


def check_settings(settings: Settings) -> None:
    """Every view of a facility shows its local time.

    Raises:
        KeyError: the settings have no time zone.
    """
    if settings is not None:
        settings["timezone"]


def appointments(charts: Pool[Session], tenant: str) -> Answer:
    with charts.connection() as session:
        row = session.execute(
            "SELECT (SELECT settings FROM facilities WHERE tenant = %s),"
            " (SELECT count(*) FROM appointments WHERE tenant = %s)",
            (tenant, tenant),
        ).fetchone()
    settings, open_slots = row or (None, 0)
    check_settings(settings)
    return 200, {"open": open_slots}


def report(charts: Pool[Session], tenant: str) -> Answer:
    """Visits of a day in the newest month."""
    with charts.connection() as session:
        row = session.execute(
            "SELECT visits, days, (SELECT settings FROM facilities WHERE tenant = %s)"
            " FROM reports ORDER BY month DESC LIMIT 1",
            (tenant,),
        ).fetchone()
    visits, days, settings = row or (0, 1, None)
    check_settings(settings)
    return 200, {"visits_a_day": visits // days}


def eligibility(charts: Pool[Session], tenant: str, claims_url: str, cut_off: Callable[[], bool]) -> Answer:
    """Whether the insurer pays; 504 or 502 when it cannot be asked, and the facility asks again later.

    cut_off: whether the circuit breaker is open. Then nobody is asked: care goes on with "unverified" (A5.4, M4).
    """
    with charts.connection() as session:
        row = session.execute("SELECT settings FROM facilities WHERE tenant = %s", (tenant,)).fetchone()
    check_settings(row[0] if row else None)
    if cut_off():
        return 200, {"eligible": None, "status": "unverified"}
    try:
        with dependency("claims"):
            return 200, {"eligible": _ask_claims(claims_url)}
    except TimeoutError:
        return 504, {"error": "claims timed out"}
    except (OSError, http.client.HTTPException, ValueError, KeyError, ClaimsFailed):
        return 502, {"error": "claims unavailable"}


def save_claim(charts: Pool[Session], body: bytes, *, queue_only: bool) -> Answer:
    """Keep a claim in the outbox. It is never sent from here: care does not wait for the insurer.

    queue_only: whether the circuit breaker of submissions is open.
    """
    try:
        claim = json.loads(body)
        content = {name: claim[name] for name in ("patient", "diagnosis", "intervention")}
        with charts.connection() as session:
            identifier = database.save_claim(session, claim, content, "deferred" if queue_only else "ready")
    except (ValueError, KeyError, TypeError, psycopg.errors.IntegrityError):
        return 400, {"error": "not a claim"}
    return 202, {"claim": identifier, "status": "saved, will be sent"}


def _ask_claims(url: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=CLAIMS_TIMEOUT_S)
    try:
        connection.request("POST", "/eligibility", b"{}", {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise ClaimsFailed(f"status {answer.status}")
    return bool(json.loads(body)["eligible"])
