"""Take a sandbox up and down, break and mend it, and ask what happened: for the command line and for tests."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import boto3
import psutil

from .daemon import process_state
from .settings import CORE, DEFAULT_TIME_FACTOR, chosen_parts, default_state_dir

UP_TIMEOUT_S = 90.0
DOWN_TIMEOUT_S = 20.0
CALL_TIMEOUT_S = 300.0
AWS_WAIT_S = 3600.0
"""Usual traffic before a fault, or the time until an alarm rings: less than an hour of AWS."""


class SandboxError(Exception):
    """One sentence: what is wrong with the sandbox and what to do."""


class Sandbox:
    """The sandbox of one state folder, whether it runs or not."""

    def __init__(self, state_dir: Path | str | None = None) -> None:
        self.state_dir = Path(state_dir).absolute() if state_dir is not None else default_state_dir()

    # Up and down.

    def up(
        self,
        *,
        name: str | None = None,
        time_factor: float = DEFAULT_TIME_FACTOR,
        parts: Iterable[str] | None = None,
    ) -> dict[str, Any]:
        """Start the sandbox, or find it running, and return its status once it is healthy.

        Args:
            parts: the optional parts that it must have; None for all of them in a new one.

        Raises:
            SandboxError: it did not start, and why, and where the log is; or one runs without these parts.
            ValueError: no part of that name.
        """
        chosen = chosen_parts(parts)
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            if not self.running:
                self._start(name or self.state_dir.name, time_factor, chosen)
            elif parts is not None and (missing := sorted(chosen - set(self.description["parts"]))):
                raise SandboxError(
                    f"The sandbox in {self.state_dir} runs without {', '.join(missing)}: take it down first."
                )
        return self.status()

    def down(self) -> None:
        """End the sandbox and every process of it. Nothing happens when none runs. Logs are kept."""
        if not self.state_dir.is_dir():
            return
        with self._alone():
            if (daemon := self._daemon()) is not None:
                self._end(daemon)
            self._file.unlink(missing_ok=True)
            shutil.rmtree(self.state_dir / "data", ignore_errors=True)

    @property
    def running(self) -> bool:
        return self._daemon() is not None

    @property
    def description(self) -> dict[str, Any]:
        """Content of sandbox.json: addresses, files and names.

        Raises:
            SandboxError: the sandbox is not up.
        """
        try:
            description: dict[str, Any] = json.loads(self._file.read_text())
        except FileNotFoundError:
            raise SandboxError(f"No sandbox runs in {self.state_dir}: take it up first.") from None
        return description

    def status(self) -> dict[str, Any]:
        """Addresses, processes, memory and health; only {"running": False} when it is down."""
        if not self.running or not self._file.exists():
            return {"running": self.running}
        return {"running": True, **self._call("GET", "/status")}

    # Faults and what happened.

    def break_(self, name: str, **options: Any) -> dict[str, Any]:
        """Make a named fault, and return when it is visible; or do a primitive, such as hang_zone(zone=…)."""
        return self._call("POST", f"/break/{name}", options, timeout_s=self._patience_s)

    def await_alarm(self, name: str) -> None:
        """Return when somebody would be called for a named fault that was just broken."""
        self._call("POST", f"/alarm/{name}", timeout_s=self._patience_s)

    def mend(self, name: str | None = None) -> dict[str, Any]:
        """Mend a named fault, or everything."""
        return self._call("POST", f"/mend/{name}" if name else "/mend")

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """AWS calls of everybody but the sandbox itself, after the call numbered `since`."""
        calls: list[dict[str, Any]] = self._call("GET", f"/log?since={since}")["calls"]
        return calls

    def changes(self, since: int = 0) -> list[dict[str, Any]]:
        """Those that may have changed something, without the bookkeeping of the runbooks: leases and journals in their
        own table, and heads of journals in the bucket of the audit.
        """
        audit = f"-audit-{self.description['account_id']}"
        return [
            call
            for call in self.calls(since)
            if call["mutating"]
            and call["service"] != "dynamodb"
            and not (call["operation"] == "PutObject" and str(call["resource"]).endswith(audit))
        ]

    def mark(self) -> int:
        """Number of the newest call; give it to `calls`."""
        return int(self._call("POST", "/log/mark")["seq"])

    def fault(self, service: str, operation: str, kind: str, **more: Any) -> Any:
        """Make the next calls of an AWS operation slow, fail or vanish; returns the id of the fault."""
        return self._call("POST", "/faults", {"service": service, "operation": operation, "kind": kind, **more})["id"]

    def clear_faults(self) -> None:
        """End the faults of AWS calls and of LaunchDarkly requests, and what approvals it asks for."""
        self._call("DELETE", "/faults")
        self._call("DELETE", "/launchdarkly/faults")
        self._call("POST", "/launchdarkly/approval", {"required": False})

    def ledger(self) -> dict[str, Any]:
        """What the synthetic users saw, and how many acknowledged writes are lost (must be 0)."""
        return self._call("GET", "/ledger")

    def answers(self) -> list[tuple[float, bool]]:
        """When each of the users' last requests was answered, in seconds since the epoch, and whether well."""
        return [(float(at), bool(ok)) for at, ok in self._call("GET", "/ledger/answers")["answers"]]

    def queue_ledger(self) -> dict[str, dict[str, int]]:
        """By queue, what became of the acknowledged jobs: `lost` and `twice` must be 0."""
        return self._call("GET", "/queues/ledger")

    def queue_writes(self, since: int = 0) -> list[dict[str, Any]]:
        """Write commands of the runbooks that the queues' servers executed, oldest first, without the first `since`."""
        writes: list[dict[str, Any]] = self._call("GET", f"/queues/writes?since={since}")["writes"]
        return writes

    def claims(self) -> dict[str, Any]:
        """Claims by state, acknowledged ones that are lost (must be 0), and how many moves the runbooks made."""
        return self._call("GET", "/claims")

    def sha_ledger(self) -> dict[str, int]:
        """What the claims API accepted and rejected, and how many claims it accepted twice (must be 0)."""
        return self._call("GET", "/sha/ledger")

    def sha_requests(self) -> list[dict[str, Any]]:
        """Requests that the claims API got, oldest first: {at, operation, runbook, status}; 0 was never answered."""
        requests: list[dict[str, Any]] = self._call("GET", "/sha/requests")["requests"]
        return requests

    def plant(self, value: str) -> None:
        """Put a synthetic patient value where real ones would be: notes and queries."""
        self._call("POST", "/plant", {"value": value})

    def flag_fault(self, kind: str, **more: Any) -> None:
        """Make the next mutating requests of LaunchDarkly slow, fail or vanish."""
        self._call("POST", "/launchdarkly/faults", {"kind": kind, **more})

    def require_flag_approval(self) -> None:
        """From now on LaunchDarkly answers 405 to every change of a flag."""
        self._call("POST", "/launchdarkly/approval", {"required": True})

    def flag_requests(self) -> list[dict[str, Any]]:
        """Mutating requests that LaunchDarkly got, oldest first."""
        requests: list[dict[str, Any]] = self._call("GET", "/launchdarkly/log")["requests"]
        return requests

    def flag_changed_at(self) -> datetime | None:
        """When a flag was last changed, by anyone; None when none was."""
        changed_ms = self._call("GET", "/launchdarkly/log")["changed_ms"]
        return None if changed_ms is None else datetime.fromtimestamp(changed_ms / 1000, UTC)

    def telehealth_sessions(self) -> dict[str, Any]:
        """What happened to consultations: {started, ended_normally, dropped, moved, running, failed, …}."""
        return self._call("GET", "/telehealth/sessions")

    def telehealth_requests(self, provider: str) -> list[dict[str, Any]]:
        """Requests that a telehealth provider got, oldest first, with whose key each came."""
        requests: list[dict[str, Any]] = self._call("GET", f"/telehealth/requests/{provider}")["requests"]
        return requests

    def notices(self) -> list[dict[str, Any]]:
        """What was published to the clinics about their online visits, oldest first."""
        notices: list[dict[str, Any]] = self._call("GET", "/telehealth/notices")["notices"]
        return notices

    def people(self) -> dict[str, Any]:
        """What those by whom people are told have: alerts, changes, messages, incidents, annotations, requests."""
        return self._call("GET", "/people")

    def people_fault(self, provider: str, kind: str, **more: Any) -> None:
        """Make the next requests of a provider of notifications fail or hang, or its key wrong until it is mended."""
        self._call("POST", f"/people/faults/{provider}", {"kind": kind, **more})

    def mend_people(self) -> None:
        self._call("DELETE", "/people/faults")

    def boto(self, service: str, **options: Any) -> Any:
        """boto3 client of this sandbox, as an operator has it; `options` are those of boto3."""
        description = self.description
        session: Any = boto3.Session(
            botocore_session=_session_with(description["credentials_file"]), region_name=description["region"]
        )
        return session.client(service, endpoint_url=description["endpoint_url"], **options)

    # Inside.

    @property
    def _file(self) -> Path:
        return self.state_dir / "sandbox.json"

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One up or down of this folder at a time."""
        with (self.state_dir / "client.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _daemon(self) -> int | None:
        """Pid of the running daemon. The start time guards against a pid that was given away again."""
        try:
            owner = json.loads((self.state_dir / "daemon.lock").read_text())
            pid, state = int(owner["pid"]), process_state(owner["pid"])
        except (OSError, ValueError, KeyError):
            return None
        if state.started != owner["started"]:
            return None
        if state.zombie:
            with Ends([pid]) as ends:
                ends.wait(DOWN_TIMEOUT_S)
            return None
        return pid

    def _start(self, name: str, time_factor: float, parts: frozenset[str]) -> None:
        logs = self.state_dir / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        self._file.unlink(missing_ok=True)
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as report, (logs / "daemon.log").open("ab") as log:
            options = ["--state", self.state_dir, "--name", name, "--time-factor", time_factor, "--report", writing]
            options += ["--parts", ",".join(sorted(parts)) or CORE]
            command = [sys.executable, "-m", "daily_emr_sandbox.daemon", *map(str, options)]
            try:
                # The process that is waited for here only forks the daemon; that one belongs to nobody.
                subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[writing], check=True
                )
            finally:
                os.close(writing)
            told, _, _ = select.select([report], [], [], UP_TIMEOUT_S)
            sentence = report.readline().decode().strip() if told else f"no answer within {UP_TIMEOUT_S:g} s"
        if sentence != "ready":
            if (daemon := self._daemon()) is not None:
                self._end(daemon)
            reason = sentence or "its process ended"
            raise SandboxError(f"The sandbox in {self.state_dir} did not start: {reason} (log: {logs / 'daemon.log'}).")

    def _end(self, pid: int) -> None:
        """SIGTERM, SIGKILL when that takes too long, and wait for the daemon and all that it started."""
        try:
            daemon = psutil.Process(pid)
            family = [daemon, *daemon.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        with Ends(process.pid for process in family) as ends:
            ends.signal(pid, signal.SIGTERM)
            if ends.wait(DOWN_TIMEOUT_S):
                return
            for left in ends.pids:
                ends.signal(left, signal.SIGKILL)
            if not ends.wait(DOWN_TIMEOUT_S):
                raise SandboxError(f"Processes {ends.pids} of {self.state_dir} do not end: look at them by hand.")

    @property
    def _patience_s(self) -> float:
        """For what waits at the pace of AWS."""
        return CALL_TIMEOUT_S + AWS_WAIT_S / float(self.description["time_factor"])

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, timeout_s: float = CALL_TIMEOUT_S
    ) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - address from our own file
            self.description["control_url"] + path,
            data=json.dumps(body or {}).encode() if method == "POST" else None,
            headers={"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
                result: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise SandboxError(_sentence(error.read()) or f"{method} {path}: HTTP {error.code}.") from None
        except urllib.error.URLError as error:
            raise SandboxError(f"The sandbox in {self.state_dir} does not answer ({error.reason}).") from None
        return result


class Ends:
    """Waits for the end of processes that are not ours, held by pidfd: a pid may be given away again.

    A zombie has not always ended: its other threads may still hold its sockets and locks.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._open: dict[int, int] = {}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                self._open[pid] = os.pidfd_open(pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for pidfd in self._open.values():
            os.close(pidfd)

    @property
    def pids(self) -> list[int]:
        """Processes that have not ended."""
        return list(self._open)

    def signal(self, pid: int, number: signal.Signals) -> None:
        if pid in self._open:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._open[pid], number)

    def wait(self, timeout_s: float) -> bool:
        """Whether all of them end in time."""
        deadline = time.monotonic() + timeout_s
        while self._open and (left := deadline - time.monotonic()) > 0:
            ended, _, _ = select.select(list(self._open.values()), [], [], left)
            for pid in [pid for pid, pidfd in self._open.items() if pidfd in ended]:
                os.close(self._open.pop(pid))
        return not self._open


def _sentence(data: bytes) -> str:
    try:
        return str(json.loads(data).get("error") or "")
    except (ValueError, AttributeError):
        return ""


def _session_with(credentials_file: str) -> Any:
    """A botocore session that knows these credentials only, not those of the person who calls."""
    from botocore.session import Session

    session = Session()
    session.set_config_variable("credentials_file", credentials_file)
    session.set_config_variable("config_file", os.devnull)
    return session
