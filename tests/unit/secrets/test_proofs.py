"""A new value is tried against whom it is for: a real PostgreSQL, and a claims API with an authority of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Secret
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_proofs import prove
from daily_emr_sandbox.children import hand_over, run
from daily_emr_sandbox.daemon import free_network
from daily_emr_sandbox.postgres_node import HBA, Node, binary
from psycopg import sql

from tests.unit.claims.sha import FACILITY, GOOD_KEY, OLD_KEY, Server, Sha

Json = dict[str, Any]

CLIENTS: Any = SimpleNamespace(
    environment=Environment("sandbox", "123456789012", "af-south-1", ".*", "table", "/fingerprint")
)
PASSWORD = "a-password-Kanari/1"


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """Address of a server that asks for passwords, as host:port."""
    with TemporaryDirectory(prefix="proofs-") as name, free_network() as network:
        folder = Path(name)
        # The server runs as another account where this process is root.
        folder.chmod(0o755)
        (folder / "postgres").mkdir(mode=0o700)
        hand_over(folder / "postgres")
        node = Node("alone", folder / "postgres/data", f"{network}.7", 26101, folder / "log")
        run([binary("initdb"), "-D", node.data, "-U", "postgres", "-A", "trust", "--no-sync"], folder / "log")
        (node.data / "pg_hba.conf").write_text(HBA)
        node.start()
        try:
            with psycopg.connect(host=node.address, port=node.port, user="postgres", autocommit=True) as session:
                session.execute(sql.SQL("CREATE ROLE emr LOGIN PASSWORD {}").format(PASSWORD))
            yield f"{node.address}:{node.port}"
        finally:
            node.stop()


def log_in(place: str, password: str = PASSWORD, user: str = "emr") -> tuple[bool | None, str]:
    url = f"postgresql://{user}:{quote(password, safe='')}@{place}/postgres"
    proof = prove(CLIENTS, {"name": "DATABASE_URL", "test": {"kind": "postgresql"}}, Secret(url), None)
    assert "Kanari" not in proof.seen
    return proof.accepted, proof.seen


def test_a_url_is_tried_by_logging_in(database: str) -> None:
    assert log_in(database) == (True, "logged in")
    assert log_in(database, "another-password-Kanari") == (False, "log-in refused")
    assert log_in(database, user="nobody_we_know") == (False, "log-in refused")
    assert log_in("127.0.0.1:9") == (None, "no log-in could be tried")


@pytest.fixture
def payer(tmp_path: Path) -> Iterator[tuple[Sha, Json]]:
    sha = Sha()
    server = Server(tmp_path, sha)
    yield sha, {"base_url": server.url, "ca_file": str(server.ca_file), "facility_id": FACILITY}
    server.stop()


def try_key(settings: Json | None, key: Json) -> bool | None:
    entry = {"name": "SHA_API_KEY", "test": {"kind": "claims_api"}}
    proof = prove(CLIENTS, entry, Secret(json.dumps(key)), settings)
    assert key["secret"] not in proof.seen
    return proof.accepted


def test_a_key_of_the_payer_is_tried_at_the_payer(payer: tuple[Sha, Json]) -> None:
    sha, settings = payer
    assert try_key(settings, GOOD_KEY) is True
    assert try_key(settings, OLD_KEY) is False
    sha.statuses["facility"] = 503
    assert try_key(settings, GOOD_KEY) is None
    with pytest.raises(Refused, match="pass claims_api"):
        try_key(None, GOOD_KEY)


def test_what_nobody_can_be_asked_about_says_so() -> None:
    proof = prove(CLIENTS, {"name": "A", "test": {"kind": "shape"}}, Secret("x"), None)
    assert (proof.accepted, proof.seen) == (True, "its shape was looked at, nobody can be asked")
