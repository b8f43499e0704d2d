"""Run a runbook on another machine, beside the environment: `runbook run --on NODE`.

ansible-runner's transmit | worker | process over SSH. What goes there is this checkout's content, the names of what is
to be run, and the checked inputs; never an environment variable or a credential: the node has its own (its role). What
comes back is the events, the journal as it is written, and the run's folder. Who may reach the node, and how, stands in
the operator's ssh_config(5).
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import stat
import subprocess
import threading
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ansible_runner.streaming import Processor, Transmitter
from ansible_runner.utils.base64io import Base64IO

from .errors import CommandError
from .record import JOURNAL
from .runner import OUTPUT, EventHandler, Finished, Play, run_folder
from .text import clean
from .worker import CANCEL, JOURNAL_EVENT, RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .runner import Event

NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,252}", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
CONTENT = ("ansible.cfg", "collections", "playbooks", "roles", "runbooks")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "tests", ".*")
# The connection is given up when a minute passes without a sign of life; the run goes on without it.
SSH = ("ssh", "-T", "-o", "BatchMode=yes", "-o", "ForwardAgent=no", "-o", "ServerAliveInterval=15")
SSH_NEEDS = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "SSH_AUTH_SOCK")
"""All that ssh sees of the environment, so that no SendEnv of anybody's settings sends more."""
POLL_S = 0.2
END_S = 10.0
"""How long a worker that has said its last word may take to end."""
# What a run leaves of its own accord; `command`, which has an environment in it, is not asked for.
LEFT = re.compile(rf"rc|stdout|stderr|{RECORDS}(/{NAME.pattern}){{3,6}}", re.ASCII)
MOST_PACKED = 256 * 1024 * 1024


def run(play: Play, node: str, runs_dir: Path, handler: EventHandler, cancel: threading.Event) -> Finished:
    """Run a playbook on `node` to its end, as runner.run does here. `cancel` set → the node is told to stop.

    Raises CommandError when the node never answered as a worker, so that nothing was started.
    """
    if not NODE.fullmatch(node):
        raise CommandError(f"--on {node[:60]!a} is refused: name a host of your ssh configuration, or user@host.")
    with run_folder(runs_dir) as folder:
        return _Remote(play, node, runs_dir, folder, handler).run(cancel)


class _Processor(Processor):  # type: ignore[misc]
    """That of ansible-runner, which unpacks whatever comes: links, and names that lead out of the folder."""

    def artifacts_callback(self, artifacts_data: dict[str, Any]) -> None:
        with Base64IO(self._input) as source:
            packed = source.read(min(int(artifacts_data["zipfile"]), MOST_PACKED))
        unpack(packed, Path(self.artifact_dir))


def unpack(packed: bytes, folder: Path) -> None:
    """Write those files of an archive that a run leaves; nothing else, no link, and nothing over what is there.

    Raises zipfile.BadZipFile for what is no archive, OSError for what cannot be written.
    """
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        for entry in archive.infolist():
            if entry.is_dir() or stat.S_ISLNK(entry.external_attr >> 16) or not LEFT.fullmatch(entry.filename):
                continue
            path = folder / entry.filename
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(archive.read(entry))


class _Remote:
    def __init__(self, play: Play, node: str, runs_dir: Path, folder: Path, handler: EventHandler) -> None:
        self._play = play
        self._node = node
        self._runs_dir = runs_dir
        self._folder = folder
        self._handler = handler
        self._there = ""  # the worker's own folder of runs, once it has answered
        self._answered = threading.Event()
        self._sent = False
        self._runs: dict[tuple[str, str], Path | None] = {}
        self._why = ""
        self._finished = Finished(status="unstarted", return_code=None, output=folder / OUTPUT)

    def run(self, cancel: threading.Event) -> Finished:
        finished = self._finished
        artifacts = self._folder / "artifacts" / "run"
        artifacts.mkdir(parents=True)
        self._pack()
        errors = artifacts.with_name("ssh.txt")
        with errors.open("wb") as said, _connection(self._node, said) as (to_node, from_node):
            ended = threading.Event()
            speaker = threading.Thread(target=self._speak, args=(to_node, cancel, ended), daemon=True)
            speaker.start()
            try:
                processor = _Processor(
                    _input=from_node,
                    private_data_dir=str(self._folder),
                    ident="run",
                    quiet=True,
                    event_handler=self._on_event,
                    status_handler=self._on_status,
                )
                finished.status, _ = processor.run()
                self._keep_records(artifacts / RECORDS)
                with suppress(FileNotFoundError):
                    # Of `process` itself nothing can be believed: it ends with 0 when the play has failed.
                    finished.return_code = int((artifacts / "rc").read_text(encoding="utf-8"))
            except Exception as fault:  # noqa: BLE001 - what comes back may break off anywhere, and a disk be full
                self._why = f"{type(fault).__name__} in what came back"
            finally:
                ended.set()
                speaker.join()
        why = clean(errors.read_text(errors="replace").strip().rpartition("\n")[2] or self._why)
        if not self._there:
            raise CommandError(
                f"{self._node} did not answer as a worker, so nothing was started there ({why}): look whether "
                f"`ssh {self._node} runbook worker --help` works, with the same version as here."
            )
        if not self._sent:
            finished.status = "canceled"
        elif finished.return_code is None:
            finished.lost = (
                f"The run on {self._node} was lost ({why}) and may go on there: look with "
                f"`ssh {self._node} runbook report`, and at the service, before you run again with the same incident."
            )
        return finished

    def _speak(self, to_node: IO[bytes], cancel: threading.Event, ended: threading.Event) -> None:
        """Send the run once a worker has answered: what is none could start it. Then the word to stop, if any."""
        while not self._answered.wait(POLL_S):
            if ended.is_set():
                return
        # Whatever keeps this from being sent whole, the worker has to hear that no more comes.
        with _closed_on_error(to_node):
            if not cancel.is_set():
                self._sent = True
                self._transmit(to_node)
                while not ended.wait(POLL_S) and not cancel.is_set():
                    pass
                if cancel.is_set():
                    to_node.write(json.dumps(CANCEL).encode() + b"\n")
                    to_node.flush()
                return
        to_node.close()

    def _pack(self) -> None:
        """Gather what is sent: the content of this checkout, and the settings of one environment."""
        there = self._folder / "bundle" / "project"
        there.mkdir(parents=True)
        for name in CONTENT:
            if (path := self._play.project / name).is_dir():
                shutil.copytree(path, there / name, ignore=LEFT_OUT)
            elif path.is_file():
                shutil.copy(path, there / name)
        # Settings that environments share are links.
        shutil.copytree(self._play.inventory, there / "inventories" / self._play.inventory.name)

    def _transmit(self, to_node: IO[bytes]) -> None:
        inventory = self._play.inventory
        optional: dict[str, Any] = {"limit": self._play.limit} if self._play.limit else {}
        if self._play.inputs:
            optional["extravars"] = dict(self._play.inputs)
        Transmitter(
            _output=to_node,
            private_data_dir=str(self._folder / "bundle"),
            ident="run",
            playbook=str(self._play.playbook.relative_to(self._play.project)),
            inventory=f"project/inventories/{inventory.name}",
            cmdline=self._play.options,
            **optional,
        ).run()

    def _on_status(self, status: dict[str, Any], **_: object) -> None:
        if isinstance(there := status.get("runs_dir"), str):
            self._there = there
            self._answered.set()
        self._why = str(status.get("job_explanation") or self._why)

    def _on_event(self, event: Event) -> bool:
        if event.get("event") == JOURNAL_EVENT:
            self._keep_lines(event)
        else:
            self._make_local(event)
            self._finished.take(event, self._handler)
        return False  # no event file

    def _keep_lines(self, event: Event) -> None:
        """The journal here is the one there, as far as it has come."""
        folder = self._local(str(event.get("incident")), str(event.get("run")))
        if folder is not None:
            handle = os.open(folder / JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "a", encoding="utf-8") as file:
                file.writelines(f"{json.dumps(line)}\n" for line in event.get("lines") or ())

    def _make_local(self, event: Event) -> None:
        """Let what a module said of its folder name the one here, or none."""
        result = (event.get("event_data") or {}).get("res")
        if not isinstance(result, dict):
            return
        if isinstance(incident := result.get("incident"), dict):
            incident["folder"] = self._moved(incident.get("folder"))
        if "record" in result:
            result["record"] = self._moved(result["record"])

    def _moved(self, path: object) -> str | None:
        """The same file of the same run here. Nothing outside: the name comes from another machine."""
        if not isinstance(path, str) or not Path(path).is_relative_to(self._there):
            return None
        match Path(path).relative_to(self._there).parts:
            case (incident, run, *rest) if len(rest) <= 1 and ".." not in rest:
                folder = self._local(incident, run)
                return str(folder.joinpath(*rest)) if folder else None
        return None

    def _keep_records(self, records: Path) -> None:
        for found in records.glob("*/*/"):
            if (folder := self._local(found.parent.name, found.name)) is not None:
                shutil.copytree(found, folder, dirs_exist_ok=True)

    def _local(self, incident: str, run: str) -> Path | None:
        """The folder of a run here, which this run makes. None for a name that is none, and for another run's."""
        if (incident, run) not in self._runs:
            folder = self._runs_dir / incident / run
            new = bool(NAME.fullmatch(incident) and NAME.fullmatch(run)) and not folder.exists()
            if new:
                folder.mkdir(parents=True, mode=0o700)
            self._runs[incident, run] = folder if new else None
        return self._runs[incident, run]


@contextmanager
def _connection(node: str, errors: IO[bytes]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Standard input and output of a worker on the node."""
    environment = {name: os.environ[name] for name in SSH_NEEDS if name in os.environ}
    try:
        ssh = subprocess.Popen(  # noqa: S603 - the node is a plain name, and goes behind --
            [*SSH, "--", node, "runbook worker"],
            env=environment,
            # The terminal's Ctrl-C is for us, who pass it on in words.
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    except OSError as error:
        raise CommandError(f"ssh cannot be started ({error.strerror}): install the OpenSSH client.") from error
    if ssh.stdin is None or ssh.stdout is None:
        raise AssertionError
    try:
        yield ssh.stdin, ssh.stdout
    finally:
        with suppress(OSError):
            ssh.stdin.close()
        ssh.stdout.close()
        try:
            ssh.wait(END_S)
        except subprocess.TimeoutExpired:
            ssh.terminate()  # what still runs there goes on without us
            ssh.wait()


@contextmanager
def _closed_on_error(stream: IO[bytes]) -> Iterator[None]:
    try:
        yield
    except Exception:  # noqa: BLE001 - the other side tells how it ended; here nobody reads of it
        with suppress(OSError, ValueError):
            stream.close()
