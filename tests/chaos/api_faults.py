"""Every mutating API of AWS of the six runbooks, with every fault of a call: the right word, and sent at most once.

The real changes run against the sandbox's real gateway (see worlds.py). What was sent is read from its log, and what
was done from the state behind it. A fault that AWS says before it does anything has to be `failed`; one that may have
been done is `ok` when a fresh read shows it, and `unknown` otherwise; `failed` is never said of what was done, and `ok`
never of what was not.

Not here: PostgreSQL, LaunchDarkly and BullMQ, whose calls do not pass the gateway; their lost replies have unit tests.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ansible_collections.daily_emr.ops.plugins.module_utils import _clients

from daily_emr_runbooks.calls import Sources
from daily_emr_runbooks.permissions import modules_behind
from tests.chaos.rows import Row
from tests.chaos.worlds import DUE, Due, Json, Stage, stage
from tests.unit.changes.conftest import Serve

ROOT = Path(__file__).resolve().parents[2]
STALLED_READ_S = 2
"""How long a reply is awaited, instead of READ_SECONDS: long enough for an answer of a busy machine."""
ELSEWHERE = {
    "dynamodb:PutItem": "the lease and the journal: rows of this line and the line operators",
    "dynamodb:TransactWriteItems": "a row of this line",
    "dynamodb:UpdateItem": "the line operators",
    "s3:PutObject": "the head of a journal, when its run has ended: tests/unit/core/test_heads.py",
    "secretsmanager:UpdateSecretVersionStage": "needs the payer: tests/unit/claims/test_changes.py",
    "sns:Publish": "needs two providers' stand-ins: tests/unit/telehealth/test_changes.py",
}
"""Calls that no world of this line makes, and where they are tried."""


@dataclass(frozen=True)
class Fault:
    """A fault of one call. words: what may be said of it when it was done, and when it was not."""

    name: str
    plan: Json
    done: frozenset[str]
    undone: frozenset[str]


KNOWN, MAYBE = frozenset({"failed"}), frozenset({"unknown"})
SHOWN = frozenset({"ok", "unknown"})
FAULTS = (
    Fault("throttled", {"kind": "throttle"}, frozenset(), KNOWN),
    Fault("refused", {"kind": "error", "code": "AccessDenied", "status": 403}, frozenset(), KNOWN),
    Fault("500 before", {"kind": "error", "code": "InternalFailure", "status": 500}, frozenset(), MAYBE),
    Fault("500 after", {"kind": "error_after", "code": "InternalFailure", "status": 500}, SHOWN, frozenset()),
    Fault("request dropped", {"kind": "drop_before"}, frozenset(), MAYBE),
    Fault("reply dropped", {"kind": "drop_after"}, SHOWN, frozenset()),
    Fault("stalled", {"kind": "stall"}, SHOWN, frozenset()),
    Fault("credentials expired", {"kind": "error", "code": "ExpiredToken", "status": 403}, frozenset(), KNOWN),
)


def line(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Iterable[Row]:
    """The rows of this line. Nothing in it is random; `long` tries everything five times."""
    del seed
    rounds = 1 if size == "ci" else 5
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder)) as made:
        yield _coverage()
        yield _matrix(made, rounds, say)
        yield _credentials(made, rounds)
        yield _intent(made, rounds)


def trial(made: Stage, due: Due, fault: Fault, call: tuple[str, str] | None = None) -> tuple[str, int, int, str]:
    """One change with one fault: its word, how often the call was sent and done, and what it said."""
    service, operation = call or (due.service, due.operation)
    mark, serve = made.aws.calls.seq, Serve()
    made.aws.faults.add(service, operation, **fault.plan)
    try:
        with _read_timeout(STALLED_READ_S if fault.name == "stalled" else _clients.READ_SECONDS):
            result = made.run(due, serve)
    finally:
        made.aws.faults.remove()
        serve.stop()
    sent = [one for one in made.aws.calls.since(mark) if (one["service"], one["operation"]) == (service, operation)]
    done = [name for name, _params in made.world.mutations if name == due.operation]
    return str(result["outcome"]), len(sent), len(done), str(result["msg"])


def judge(word: str, sent: int, done: int, fault: Fault) -> str:
    """What is wrong with a trial; empty when nothing is."""
    if sent > 1 or done > 1:
        return f"sent {sent} times, done {done} times"
    if sent == 0:
        return f"was never sent ({word})"
    allowed = fault.done if done else fault.undone
    return "" if word in allowed else f"{word} was said of what was {'done' if done else 'not done'}"


def _matrix(made: Stage, rounds: int, say: Callable[[str], None]) -> Row:
    started, tried, faults = time.monotonic(), 0, list[str]()
    for due in DUE * rounds:
        for fault in FAULTS:
            word, sent, done, said = trial(made, due, fault)
            tried += 1
            if wrong := judge(word, sent, done, fault):
                faults.append(f"{due.name}, {fault.name}: {wrong}: {said}")
        say(f"{due.name}: {len(FAULTS)} faults")
    control = _control(made)
    name = "every mutating API x every fault"
    return Row(name, tried, tuple(faults), control, time.monotonic() - started)


def _control(made: Stage) -> str:
    """The same trial with the retries of a usual client: a dropped call is sent again."""
    fault = next(fault for fault in FAULTS if fault.name == "reply dropped")
    again = next(due for due in DUE if due.operation == "RebootDBInstance")
    repeated = Fault(fault.name, {**fault.plan, "count": 2}, fault.done, fault.undone)
    with _usual_retries():
        word, sent, done, _said = trial(made, again, repeated)
    wrong = judge(word, sent, done, fault)
    return f"with the usual retries RebootDBInstance was {wrong}" if wrong else ""


def _credentials(made: Stage, rounds: int) -> Row:
    """Where the narrow credentials cannot be had nothing is sent; never with the run's own."""
    started, tried, faults = time.monotonic(), 0, list[str]()
    due = next(due for due in DUE if due.operation == "StopTask")
    for fault in FAULTS * rounds:
        always = Fault(fault.name, {**fault.plan, "count": None}, fault.done, fault.undone)
        word, asked, done, said = trial(made, due, always, ("sts", "AssumeRole"))
        tried += 1
        if (word, done) != ("refused", 0) or not asked:
            faults.append(f"AssumeRole {fault.name}: {word}, done {done} times: {said}")
    mark = made.aws.calls.seq
    with _unscoped():
        trial(made, due, FAULTS[0], ("sts", "AssumeRole"))
    naked = [one for one in made.aws.calls.since(mark) if one["operation"] == due.operation and not one["scoped"]]
    control = f"without the scope {len(naked)} call was sent with the run's own credentials" if naked else ""
    return Row("no credentials for the call alone: nothing is sent", tried, tuple(faults), control, _since(started))


def _intent(made: Stage, rounds: int) -> Row:
    """The line of the intent in the table, under the lease: without it nothing is sent."""
    started, tried, faults = time.monotonic(), 0, list[str]()
    due = next(due for due in DUE if due.operation == "StopTask")
    for fault in FAULTS * rounds:
        always = Fault(fault.name, {**fault.plan, "count": None}, fault.done, fault.undone)
        word, asked, done, said = trial(made, due, always, ("dynamodb", "TransactWriteItems"))
        tried += 1
        if (word, done) != ("refused", 0) or not asked:
            faults.append(f"TransactWriteItems {fault.name}: {word}, done {done} times: {said}")
    control = ""
    with _without_intent():
        word, _asked, done, _said = trial(
            made, due, Fault("", {"kind": "throttle", "count": None}, SHOWN, KNOWN), ("dynamodb", "TransactWriteItems")
        )
        control = "without the intent the call was made" if done else ""
    return Row("no intent in the table: nothing is sent", tried, tuple(faults), control, _since(started))


def _coverage() -> Row:
    """Every call that a module of the six runbooks declares has a world here, or stands with its place."""
    sources, started = Sources(ROOT), time.monotonic()
    modules = {module for policy, some in modules_behind(ROOT).items() if policy.startswith("act-") for module in some}
    declared = {site.call for module in modules for site in sources.calls(module) if site.gate == "write"}
    here = {f"{due.service}:{due.operation}" for due in DUE}
    missing = sorted(declared - here - ELSEWHERE.keys())
    control = f"without one of its {len(here)} worlds a call is missing" if declared - (here - {min(here)}) else ""
    faults = tuple(f"{call} has no world" for call in missing)
    return Row("calls that the six runbooks declare", len(declared), faults, control, _since(started))


@contextlib.contextmanager
def _changed(owner: Any, **values: Any) -> Iterator[None]:
    before = {name: getattr(owner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def _read_timeout(seconds: float) -> contextlib.AbstractContextManager[None]:
    return _changed(_clients, READ_SECONDS=seconds)


@contextlib.contextmanager
def _usual_retries() -> Iterator[None]:
    create = _clients.Clients._create

    def patient(self: Any, service: str, attempts: int, *rest: Any, **more: Any) -> Any:
        return create(self, service, max(attempts, _clients.READ_ATTEMPTS), *rest, **more)

    def unguarded(_gate: Any, **_event: Any) -> None:
        """Whatever is sent again is let through."""

    with _changed(_clients.Clients, _create=patient), _changed(_clients._Once, sending=unguarded):
        yield


def _unscoped() -> contextlib.AbstractContextManager[None]:
    from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change

    return _changed(Change, scoped=False)


def _without_intent() -> contextlib.AbstractContextManager[None]:
    from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore

    return _changed(LeaseStore, record_intent=lambda *_args: float("inf"))


def _since(started: float) -> float:
    return time.monotonic() - started
