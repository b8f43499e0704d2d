"""Three places where secrets are kept: an AWS of the sandbox, a stand-in for Vault, and files of the real SOPS and
age.

No server of Vault can be had from a package registry. The stand-in answers what its HTTP API answers to reading a
secret of the KV engine, version 2: the values, 403 without a policy, 404 with or without metadata, 503 when it is
sealed. https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
AGE_KEYGEN = ROOT / ".cache/age/usr/bin/age-keygen"
PREFIX = "daily-emr/sandbox"
MADE_AT = "2026-10-01T08:00:00.123456789Z"


class Vault(ThreadingHTTPServer):
    """Holds path -> value, for whoever has the token."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.token, self.values, self.state = "hvs.CAESIA-token-of-the-test", dict[str, Any](), "unsealed"
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Vault

    def do_GET(self) -> None:
        vault, path = self.server, self.path.split("?")[0]
        vault.asked.append(path)
        if vault.state == "sealed":
            return self.answer(503, {"errors": ["Vault is sealed"]})
        if self.headers.get("X-Vault-Token") != vault.token:
            return self.answer(403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]})
        name = path.removeprefix(f"/v1/secret/data/{PREFIX}/")
        if name not in vault.values:
            return self.answer(404, {"errors": []})
        about = {"created_time": MADE_AT, "deletion_time": "", "destroyed": False, "version": 3}
        value = vault.values[name]
        if value is None:
            gone = {"data": None, "metadata": {**about, "deletion_time": MADE_AT}}
            return self.answer(404, {"data": gone})
        return self.answer(200, {"data": {"data": {"value": value}, "metadata": about}})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@contextmanager
def running_vault() -> Iterator[Vault]:
    vault = Vault()
    thread = threading.Thread(target=vault.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield vault
    finally:
        vault.shutdown()
        thread.join()
        vault.server_close()


class Sops:
    """A file of the real SOPS for the real age: made, opened and damaged by their own programs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "secrets.yaml"
        self.identities = folder / "identities.txt"
        self.recipients = [self.identity(self.identities), self.identity(folder / "ci.txt")]
        self.recipients.append(self.identity(folder / "second_person.txt"))

    @staticmethod
    def there() -> bool:
        return AGE_KEYGEN.exists() and shutil.which("sops") is not None

    def identity(self, file: Path) -> str:
        """Make an identity of age and return its recipient."""
        subprocess.run([AGE_KEYGEN, "-o", file], check=True, capture_output=True)
        return next(line for line in file.read_text().splitlines() if line.startswith("# public key:")).split()[-1]

    def encrypt(self, values: dict[str, str], recipients: list[str] | None = None) -> None:
        done = subprocess.run(
            ["sops", "encrypt", "--age", ",".join(recipients or self.recipients), "--input-type", "json",
             "--output-type", "yaml", "--filename-override", "secrets.yaml", "/dev/stdin"],
            input=json.dumps(values), capture_output=True, text=True, check=True, cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
        )  # fmt: skip
        self.file.write_text(done.stdout)
