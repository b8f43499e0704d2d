"""Charts in PostgreSQL. Every function is one statement, so one round trip."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg.types.json import Jsonb

CONNECT_TIMEOUT_S = 5
Session = psycopg.Connection[tuple[Any, ...]]


def connector(url: str, path: str, application_name: str = "emr-web") -> Callable[[], Session]:
    """How to reach the database: account from DATABASE_URL, address from the path of the task's zone (host:port)."""
    parts = urlsplit(url)
    host, port = path.rsplit(":", 1)

    def connect() -> Session:
        return psycopg.connect(
            host=host,
            port=int(port),
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            dbname=parts.path.lstrip("/"),
            application_name=application_name,
            connect_timeout=CONNECT_TIMEOUT_S,
            autocommit=True,
        )

    return connect


def interrupt(session: Session) -> None:
    """End a statement of another thread that waits for a silent server: that thread sees the connection break."""
    with socket.socket(fileno=os.dup(session.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


def reason(error: Exception) -> str:
    """Why the database failed, in the words of /readyz."""
    text = str(error).lower()
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return "timeout"
    if "authentication failed" in text:
        return "auth"
    if "refused" in text or "reset by peer" in text or "server closed the connection" in text:
        return "refused"
    return "error"


@dataclass(frozen=True)
class Chart:
    """What an answer may contain of a chart: never the note."""

    id: str
    tenant: str
    updated_at: str
    settings: dict[str, Any] | None
    """Of the facility that reads it."""


def read_chart(session: Session, chart_id: str, tenant: str) -> Chart | None:
    row = session.execute(
        "SELECT id, tenant, updated_at, (SELECT settings FROM facilities WHERE tenant = %s) FROM charts WHERE id = %s",
        (tenant, chart_id),
    ).fetchone()
    return None if row is None else Chart(row[0], row[1], row[2].isoformat(), row[3])


def save_claim(session: Session, claim: dict[str, Any], content: dict[str, Any], state: str) -> str:
    """Insert a claim and return its identifier; the same one a second time inserts nothing."""
    [(identifier,)] = session.execute(
        "INSERT INTO claims (payer, facility, encounter, claim_type, class, deadline, content, state)"
        " VALUES ('SHA', %s, %s, %s, %s, now() + make_interval(days => %s), %s, %s)"
        " ON CONFLICT (identifier) DO UPDATE SET identifier = excluded.identifier RETURNING identifier",
        (
            claim["facility"],
            claim["encounter"],
            claim["type"],
            claim["class"],
            int(claim["days"]),
            Jsonb(content),
            state,
        ),
    ).fetchall()
    return str(identifier)


def write_chart(session: Session, tenant: str, note: str, key: str) -> str:
    """Insert a chart and return its id; the same key a second time inserts nothing and returns the same id."""
    [(chart_id,)] = session.execute(
        "INSERT INTO charts (tenant, note, idempotency_key) VALUES (%s, %s, %s)"
        " ON CONFLICT (idempotency_key) DO UPDATE SET idempotency_key = excluded.idempotency_key RETURNING id",
        (tenant, note, key),
    ).fetchall()
    return str(chart_id)
