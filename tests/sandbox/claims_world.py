"""The claims handler of the worker against a real database and the stand-in of the payer, without a queue."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from daily_emr_sandbox.launchdarkly import LaunchDarkly
from daily_emr_sandbox.postgres import DatabasePair
from daily_emr_sandbox.queues.producer import node
from daily_emr_sandbox.settings import Settings
from daily_emr_sandbox.sha import Sha

APPLICATION = "postgresql://emr_application:right-password@database:5432/emr"
"""The value of DATABASE_URL."""
CANARY = "Wanjiku-Canary-29481733"
TIMEOUT_MS = 300
"""What the handler waits for the payer."""


class Worker:
    """One process that runs the handler."""

    def __init__(self, settings: Settings, database: DatabasePair, key: str, log: Path) -> None:
        address, port = database.path(settings.zones[0])
        environ = {
            "PATH": os.environ["PATH"],
            "DATABASE": APPLICATION.replace("database:5432", f"{address}:{port}"),
            "CLAIMS_API_URL": settings.sha_url,
            "CLAIMS_API_CA_FILE": str(settings.sha_ca_file),
            "CLAIMS_API_TIMEOUT_MS": str(TIMEOUT_MS),
            "SHA_API_KEY": key,
            "LAUNCHDARKLY_URL": settings.launchdarkly_url,
        }
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [*node(), str(Path(__file__).with_name("claims_worker.mjs"))],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def begin(self, claims: list[int], **how: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"claims": claims, **how}) + "\n")
        self.process.stdin.flush()

    def end(self) -> dict[str, int]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the worker ended: {self.log.read_text()[-2000:]}"
        return dict(json.loads(line))

    def work(self, claims: list[int], **how: int) -> dict[str, int]:
        """Handle these claims; how often each outcome came."""
        self.begin(claims, **how)
        return self.end()

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)


@dataclass
class Claims:
    """Database, payer, flags and the books of both sides."""

    settings: Settings
    database: DatabasePair
    sha: Sha
    flags: LaunchDarkly
    folder: Path

    @contextmanager
    def worker(self, key: str | None = None) -> Iterator[Worker]:
        made = Worker(self.settings, self.database, key or self.sha.key, self.folder / "worker.log")
        try:
            yield made
        finally:
            made.stop()

    def application(self) -> psycopg.Connection[tuple[Any, ...]]:
        return self.database.primary.connect()

    def runbook(self) -> psycopg.Connection[tuple[Any, ...]]:
        """As the runbooks log in: through the endpoint, with their own role."""
        return psycopg.connect(
            host=self.settings.database_address, port=self.settings.database_port,
            user="emr_runbook", passfile=str(self.settings.database_passfile), dbname="emr", autocommit=True,
        )  # fmt: skip

    def new(self, count: int, state: str = "ready", **columns: Any) -> list[int]:
        """So many claims, each with the planted value in it; their numbers."""
        row = {"class": "rest", "claim_type": "claim"} | columns
        content = json.dumps({"patient": CANARY, "diagnosis": "1A00", "intervention": "SHA-08-004"})
        with self.application() as session:
            return [
                number
                for (number,) in session.execute(
                    "INSERT INTO claims (payer, facility, encounter, claim_type, class, deadline, content, state)"
                    " SELECT 'SHA', 'FID-27-104211-1', gen_random_uuid(), %s, %s, now() + interval '30 days', %s, %s"
                    " FROM generate_series(1, %s) RETURNING id",
                    (row["claim_type"], row["class"], content, state, count),
                ).fetchall()
            ]

    def states(self, claims: list[int]) -> dict[str, int]:
        with self.application() as session:
            found = session.execute(
                "SELECT state, count(*) FROM claims WHERE id = ANY(%s) GROUP BY state", (claims,)
            ).fetchall()
        return dict(found)

    def known(self, claims: list[int]) -> list[int]:
        """How often the payer took each of these claims."""
        with self.application() as session:
            rows = session.execute("SELECT identifier FROM claims WHERE id = ANY(%s)", (claims,)).fetchall()
        return [len(self.sha.ledger.of(identifier)) for (identifier,) in rows]
