# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: telling people beside a run. May change without notice.

"""Tells people of a run while it goes on, in a process of its own, so that no provider ever holds the run up.

It reads the journal, which is the outbox (_notices.py), and keeps beside it what became of each notice in each channel.
A channel tells in order: what waits for a provider holds up what is behind it, and other channels do not notice. What
is not told when the time is up stays in the ledger as such, and can be told later from the same folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, tzinfo
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._channels import CHANNELS, Channel, Later, Never
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, utc_now
from ansible_collections.daily_emr.ops.plugins.module_utils._notices import (
    LooksLikeAPatient,
    Notice,
    checked,
    moment,
    notices,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import NAIROBI

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

try:
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment
except ImportError:  # only where modules are imported without Ansible's own libraries
    SandboxedEnvironment = None  # type: ignore[assignment,misc]

Json = dict[str, Any]
LEDGER, LOCK = "notifications.jsonl", "notifications.lock"
# Five tries, each after a random part of a pause that doubles (incident_domain, C: full jitter, 1 to 30 s).
TRIES = 5
PAUSES_S = (1.0, 30.0)
LOOK_S = 0.2
"""How often the journal is looked at: a notice is about what a person does within minutes."""
GRACE_S = 3.0
"""A run whose playbook is gone may still be closed by the command that supervised it."""
LONGEST_WAIT_S = 300.0
"""A provider that asks for more is asked again by whoever tells the rest later."""


class State(StrEnum):
    """What became of one notice in one channel."""

    SENT = "sent"
    LATER = "later"  # not yet: it will be tried again
    FAILED = "failed"  # never: the provider refuses it, or it must not be told


SETTLED = (State.SENT, State.FAILED)


@dataclass(frozen=True)
class Work:
    """What the process is given on its standard input.

    folder: of the run. settings: by channel, from the inventory. tokens: of all channels, by name. templates: the
    folder of the texts. settle_s: how long to go on after the run has closed. pid, born: the playbook whose run it is;
    as they stand here, it is gone.
    """

    folder: str
    settings: Json
    tokens: dict[str, str]
    templates: str
    settle_s: float
    pid: int = 0
    born: str = "gone"


class Ledger:
    """What became of each notice in each channel: JSON lines in the run folder, the newest of a pair counts."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER

    def read(self) -> dict[tuple[str, str], Json]:
        """The newest line of each (key, channel); a line that was torn is left out."""
        found: dict[tuple[str, str], Json] = {}
        with suppress(FileNotFoundError):
            for text in self.path.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, KeyError, TypeError):
                    line = json.loads(text)
                    found[line["key"], line["channel"]] = line
        return found

    def write(self, notice: Notice, channel: str, state: State, ref: str = "", msg: str = "") -> None:
        line = {
            "at": utc_now(),
            "event": str(notice.told),
            "channel": channel,
            "key": notice.key,
            "state": str(state),
            "ref": ref,
            "msg": msg,
        }
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(self.path, flags, 0o600), "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


def renderer(folder: Path) -> Callable[[str, Sequence[Notice]], str]:
    """What fills a template of this folder with a story; its texts are looked through before anybody gets them."""
    templates = SandboxedEnvironment(
        loader=FileSystemLoader(folder), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"slack": _for_slack, "eat": partial(_clock, zone=NAIROBI), "utc": partial(_clock, zone=UTC)}

    def render(name: str, story: Sequence[Notice]) -> str:
        told = [{"told": str(one.told), "at": one.at, **one.facts} for one in story]
        return checked(templates.get_template(f"{name}.j2").render(now=told[-1], story=told).strip())

    return render


def _for_slack(text: str) -> str:
    """https://docs.slack.dev/messaging/formatting-message-text/#escaping names these three."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(text: str, zone: tzinfo) -> str:
    return moment(text).astimezone(zone).strftime("%H:%M")


def channels(work: Work) -> tuple[list[Channel], dict[str, str]]:
    """The channels that are set up, and for those that cannot tell anything why."""
    found: list[Channel] = []
    missing: dict[str, str] = {}
    render = renderer(Path(work.templates))
    for kind in CHANNELS:
        settings = work.settings.get(kind.name)
        if not settings:
            continue
        if not work.tokens.get(kind.tokens[0]):
            missing[kind.name] = f"{kind.tokens[0]} is not set"
        else:
            found.append(kind(settings, work.tokens, render))
    return found, missing


def tell(channel: Channel, story: Sequence[Notice], ledger: Ledger) -> Later | None:
    """Tell what is not told yet, in order, up to the first that has to wait; that is returned."""
    known = ledger.read()
    for number, notice in enumerate(story):
        before = story[: number + 1]
        state = known.get((notice.key, channel.name), {}).get("state")
        if state in SETTLED or not channel.wants(notice, before):
            continue
        try:
            ledger.write(notice, channel.name, State.SENT, ref=channel.send(notice, before))
        except Later as error:
            if state != State.LATER:
                ledger.write(notice, channel.name, State.LATER, msg=str(error))
            return error
        except Never as error:
            ledger.write(notice, channel.name, State.FAILED, msg=str(error))
        except LooksLikeAPatient as error:
            ledger.write(notice, channel.name, State.FAILED, msg=f"not sent: it may name {error}")
        except Exception as error:  # noqa: BLE001  # our own fault must not keep the next notice
            ledger.write(notice, channel.name, State.FAILED, msg=f"internal error: {type(error).__name__}")
    return None


def owed(folder: Path, work: Work) -> list[Json]:
    """What is not told, oldest first: {event, channel, msg, hope}. Empty when everybody knows everything.

    hope: whether it may still be told by itself.
    """
    story = notices(Journal(folder, "", "").read(), gone=started(work.pid) != work.born)
    known, left = Ledger(folder).read(), list[Json]()
    ready, missing = channels(work)
    for channel in ready:
        for number, notice in enumerate(story):
            line = known.get((notice.key, channel.name), {})
            if line.get("state") != State.SENT and channel.wants(notice, story[: number + 1]):
                about = {"event": str(notice.told), "channel": channel.name, "msg": str(line.get("msg") or "")}
                left.append({**about, "hope": line.get("state") != State.FAILED})
    left += [{"event": "all", "channel": name, "msg": why, "hope": False} for name, why in missing.items()]
    return left


def serve(work: Work, sleep: Callable[[float], None] = time.sleep) -> None:
    """Tell until the run has closed and everybody knows, or until its time is up."""
    folder = Path(work.folder)
    ready = channels(work)[0]
    with alone(folder):
        threads = [
            threading.Thread(target=_keep_telling, args=(one, folder, work, sleep), daemon=True) for one in ready
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _keep_telling(channel: Channel, folder: Path, work: Work, sleep: Callable[[float], None]) -> None:
    ledger, tries, not_before = Ledger(folder), 0, 0.0
    ends = float("inf")
    left = time.monotonic() if work.pid else float("-inf")
    while True:
        lines = Journal(folder, "", "").read()
        here = started(work.pid) == work.born
        left = time.monotonic() if here else left
        gone = time.monotonic() - left >= GRACE_S
        over = gone or bool(lines and lines[-1]["kind"] == "closed")
        if over and ends == float("inf"):
            ends = time.monotonic() + work.settle_s
        waits = None
        if time.monotonic() >= not_before:
            waits = tell(channel, notices(lines, gone=gone), ledger)
            tries = tries + 1 if waits else 0
            if waits:
                pause = min(PAUSES_S[1], PAUSES_S[0] * 2 ** (tries - 1)) * random.random()  # noqa: S311
                not_before = time.monotonic() + (pause if waits.after_s is None else waits.after_s)
        done = not waits and time.monotonic() >= not_before
        # Whoever asks for more patience than is left is asked again later.
        hopeless = not_before > ends or tries >= TRIES or (waits is not None and (waits.after_s or 0) > LONGEST_WAIT_S)
        if over and (done or hopeless or time.monotonic() >= ends):
            return
        if tries >= TRIES:
            # It goes on with the next thing that happens, and not before the longest pause.
            tries, not_before = TRIES - 1, max(not_before, time.monotonic() + PAUSES_S[1])
        sleep(LOOK_S)


def started(pid: int) -> str:
    """When a process was started, in ticks of the machine; empty when it is gone (proc(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process tells of a run at a time; a second one waits. The lock ends with its process; its number is in it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(folder / LOCK, flags, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(str(os.getpid()))
        file.truncate()
        file.flush()
        yield


def begin(work: Work, collections: Path, environ: Mapping[str, str]) -> int:
    """Start the process that tells of a run, and return its id at once. It belongs to nobody and outlives the task."""
    code = f"from {__name__} import main; main()"
    process = subprocess.Popen(  # noqa: S603  # our own code, in the interpreter that runs this
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=work.folder,
        env={**environ, "PYTHONPATH": str(collections)},
    )
    if process.stdin:
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(vars(work)).encode())
    return process.pid


def main() -> None:
    """The process: work comes in on standard input, so that no token is ever on a command line or in a file."""
    work = Work(**json.loads(sys.stdin.read()))
    with suppress(BrokenPipeError):
        serve(work)
