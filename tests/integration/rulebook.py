"""A real ansible-rulebook with one of our rulebooks, and an internet in which SNS shows its certificate."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import shutil
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from daily_emr_sandbox.loop import wait_until

from tests.alert_messages import SNS_HOST, TOKENS
from tests.integration.conftest import ROOT, Operator

EXTENSION = ROOT / "collections/ansible_collections/daily_emr/ops/extensions/eda"
UNPACKED = ROOT / ".cache/java/usr/lib/jvm"
OLDEST_JAVA = 17
STARTS_S = 120.0


def java_home() -> Path | None:
    """Where a Java is that ansible-rulebook runs on: of the machine, else unpacked by `make java`."""
    own = [Path(os.environ["JAVA_HOME"], "bin/java")] if "JAVA_HOME" in os.environ else []
    for program in [*own, Path(shutil.which("java") or "/"), *UNPACKED.glob("java-17-*/bin/java")]:
        if program.is_file():
            said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
            version = re.search(r'version "(\d+)', said)
            if version and int(version[1]) >= OLDEST_JAVA:
                return program.resolve().parents[1]
    return None


class Internet:
    """A proxy that leads every CONNECT to one HTTPS server of its own, which has the certificate of SNS."""

    def __init__(self, folder: Path, certificate: bytes) -> None:
        authority = trustme.CA()
        self.trusted = folder / "trusted.pem"
        authority.cert_pem.write_to_path(self.trusted)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(SNS_HOST).configure_cert(tls)
        self.asked: list[str] = []
        asked = self.asked

        class Connect(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                connect = self.rfile.readline().decode()
                while self.rfile.readline().strip():
                    pass
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                with tls.wrap_socket(self.request, server_side=True) as wire, wire.makefile("rb") as lines:
                    asked.append(f"{connect.split()[1]} {lines.readline().decode().strip()}")
                    head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(certificate)}\r\n\r\n"
                    wire.sendall(head.encode() + certificate)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connect)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Internet:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def environ(self) -> dict[str, str]:
        return {
            "HTTPS_PROXY": f"http://127.0.0.1:{self._server.server_address[1]}",
            "SSL_CERT_FILE": str(self.trusted),
        }


class Rulebook:
    """A running ansible-rulebook."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log

    @property
    def output(self) -> str:
        return self._log.read_text()

    @property
    def url(self) -> str:
        found = re.search(r"are received on (\S+) port (\d+)", self.output)
        return f"http://{found[1]}:{found[2]}" if found else ""


@contextlib.contextmanager
def running_rulebook(name: str, operator: Operator, folder: Path, **environ: str) -> Iterator[Rulebook]:
    """Start a rulebook and wait until it listens. Skips without Java, but not where CI runs."""
    home = java_home()
    if home is None:
        reason = "There is no Java 17: `make java` unpacks it on Debian."
        pytest.fail(reason) if "CI" in os.environ else pytest.skip(reason)
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    for file, value in TOKENS.items():
        (secrets / file).touch(mode=0o600)
        (secrets / file).write_text(value)
    given = {"ALERTS_ENVIRONMENT": "sandbox", "ALERTS_SECRETS": str(secrets), "ALERTS_PORT": "0", **environ}
    places = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "JAVA_HOME": str(home), "TMPDIR": str(folder)}
    command = ["ansible-rulebook", "--rulebook", str(EXTENSION / f"rulebooks/{name}.yml")]
    command += [
        "--inventory",
        str(EXTENSION / "inventory.yml"),
        "--env-vars",
        ",".join(n for n in given if "ALERTS" in n),
    ]
    log = folder / "rulebook.log"
    environment = operator.environ(**given, **places)
    environment["PATH"] = f"{environment['PATH']}:{home}/bin"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    rulebook = Rulebook(process, log)
    try:
        wait_until(lambda: bool(rulebook.url) or process.poll() is not None, "the rulebook listens", STARTS_S)
        assert process.poll() is None, rulebook.output
        yield rulebook
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Awx:
    """As much of AWX's API as ansible-rulebook asks for, with one workflow; it keeps what was launched."""

    def __init__(self, workflow: str) -> None:
        self.launched: list[dict[str, Any]] = []
        launched = self.launched
        template = {
            "id": 5,
            "type": "workflow_job_template",
            "name": workflow,
            "summary_fields": {"organization": {"name": "Daily EMR"}},
            "related": {"launch": "/api/v2/workflow_job_templates/5/launch/"},
            **{f"ask_{what}_on_launch": what == "limit" for what in ("limit", "labels", "inventory", "variables")},
        }
        job = {"id": 7, "url": "/api/v2/workflow_jobs/7/", "status": "successful"}
        pages = {
            "/api/v2/config/": {"version": "24.6.1"},
            "/api/v2/unified_job_templates/": {"results": [template], "next": None},
            "/api/v2/workflow_jobs/": {"results": [job], "next": None},
        }

        class Api(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(pages[self.path.partition("?")[0]])

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                launched.append({"path": self.path, "token": self.headers["Authorization"], **body})
                self._answer(job)

            def _answer(self, page: object) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(page).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Awx:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"
