# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The one way to change anything: guard, observe, plan, refuse, intent, exactly one call, read back, outcome."""

from __future__ import annotations

import hashlib
import math
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._cancel import (
    note_cancel,
    refuse_when_cancelled,
    signals_deferred,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, CallUnknown, OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import Lease, LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import StepOutcome

# How long a change may take to show in a fresh read. Real seconds in every environment: it is the read consistency of
# AWS's control plane, not the time the change needs to take effect; that wait is a step of its own.
PROBE_SECONDS = 10.0
PROBE_POLLS = (0.1, 0.2, 0.4, 0.8, 1.5)

State = dict[str, Any]


class Change(ABC):
    """One kind of change to one target. A subclass holds only what is particular to its target.

    name is the word for the step; spec its options, without the common ones. imperative says that the same call
    twice does the work twice (a restart, a failover), so that nothing may ever send it again by itself. leased says
    that it needs the lease of an incident; only what builds an environment does not, because it makes the table too.
    """

    name: ClassVar[str]
    spec: ClassVar[dict[str, Any]]
    imperative: ClassVar[bool] = False
    leased: ClassVar[bool] = True

    def __init__(self, params: Mapping[str, Any], clients: Clients) -> None:
        self.params = params
        self.clients = clients

    @property
    @abstractmethod
    def target(self) -> str:
        """What is changed: an ARN, or "kind/name"."""

    @abstractmethod
    def observe(self) -> State:
        """A fresh read of what the change is about. The key "context" holds what only refusals need."""

    @abstractmethod
    def wanted(self, before: State) -> State:
        """The intended state, pure. Equal to before (without its context) means that there is nothing to do."""

    @abstractmethod
    def refusals(self, before: State) -> list[str]:
        """Why this must not be done now, pure: sentences that say what to do instead."""

    @abstractmethod
    def apply(self, before: State) -> None:
        """Exactly one mutating call: clients.write(service, operation), one HTTP request, or one declared statement."""

    @abstractmethod
    def inverse(self, before: State) -> dict[str, Any] | str:
        """The step that would undo it, {"module": name, "args": {...}}, or a sentence why there is none."""

    def prediction(self, before: State) -> list[str]:  # what a subclass predicts from
        """What will happen and what it will cost, pure: plain sentences for whoever approves the step."""
        return []

    def remarks(self) -> State:
        """What the result says besides, such as why only a part was done. Read at the end, whatever that was."""
        return {}

    def done(self, before: State, after: State) -> bool:
        """Whether a read after the call shows that it was done."""
        return without_context(after) == without_context(self.wanted(before))


def execute_change(
    change: Change,
    clients: Clients,
    session: Session | None,
    *,
    check_mode: bool,
    store: LeaseStore | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Take a change through all its steps and return the result of its task; never raises an OpsError.

    A signal to stop waits until the outcome is journalled: it must not come between a call and what is known of it.
    """

    def note() -> None:
        if session:
            with suppress(OpsError):  # the outcome stands in the journal or in the warning of the task
                note_cancel(session)

    execution = _Execution(change, clients, session, check_mode, store, clock, sleep)
    with signals_deferred(note):
        return execution.run()


class _Execution:
    def __init__(
        self,
        change: Change,
        clients: Clients,
        session: Session | None,
        check_mode: bool,
        store: LeaseStore | None,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self.change, self.clients, self.session, self.check_mode = change, clients, session, check_mode
        self.store = store or LeaseStore(clients, clients.environment.table)
        self.clock, self.sleep = clock, sleep
        self.journal = Journal.of(session) if session else None
        self.started = clock()
        self.announced = False
        self.facts: dict[str, Any] = {
            "step": change.name,
            "target": "",
            "diff": {},
            "prediction": [],
            "undo": None,
        }

    def run(self) -> dict[str, Any]:
        try:
            self.clients.prove()
            before = self.observe()
            wanted = self.change.wanted(before)
            self.facts |= {"target": self.change.target, "diff": _diff(before, wanted)}
            if without_context(wanted) == without_context(before):
                return self.end(StepOutcome.NOOP, f"{self.change.name}: {self.change.target} is as wanted already.")
            self.facts["prediction"] = self.change.prediction(before)
            reasons = self.change.refusals(before)
            if reasons:
                raise Refused(*reasons)
            self.facts["undo"] = self.change.inverse(before)
            if self.check_mode:
                return self.end(StepOutcome.PLANNED, f"{self.change.name}: {self.change.target} would be changed.")
            until = self.intend()
        except Refused as error:
            return self.end(StepOutcome.REFUSED, error.sentence, refusals=error.reasons)
        except OpsError as error:
            return self.end(StepOutcome.FAILED, f"Nothing was changed, because a read failed: {error.sentence}")
        return self.apply(before, until)

    def observe(self) -> State:
        with calling():
            return self.change.observe()

    def intend(self) -> float:
        """Make the intent durable, here and in the table, under the lease; returns until when the lease lasts."""
        refuse_when_cancelled(self.session)
        if not self.change.leased:
            return math.inf
        if self.session is None or self.session.fence is None or self.journal is None:
            component = self.session.component if self.session else self.change.target
            raise Refused(f"{component} has no lease: run the runbook from its start.")
        lease = Lease.of(self.session)
        line = self.journal.append(
            "intent",
            **self.facts,
            key=step_key(self.session, self.change),
            imperative=self.change.imperative,
            fence=lease.fence,
        )
        until = self.store.record_intent(lease, line)
        self.announced = True
        return until

    def apply(self, before: State, until: float) -> dict[str, Any]:
        sent_before = len(self.clients.sent)
        try:
            if not self.store.still_ours(until):
                raise Refused(f"The lease on {self.change.target} ran out before the call was sent: run again.")
            refuse_when_cancelled(self.session)
            with calling():
                self.change.apply(before)
        except Refused as error:
            if len(self.clients.sent) == sent_before:
                return self.end(StepOutcome.REFUSED, error.sentence, refusals=error.reasons)
            return self.probe(before, f"One call was sent and a second was refused: {error.sentence}")
        except CallFailed as error:
            return self.end(StepOutcome.FAILED, f"{self.change.name} was not done: {error.sentence}")
        except CallUnknown as error:
            return self.probe(before, error.sentence)
        except Exception as error:  # noqa: BLE001  # our own fault, before or after the call: nobody can say
            return self.probe(before, f"{self.change.name} broke ({where(error)}).")
        return self.probe(before, "")

    def probe(self, before: State, trouble: str) -> dict[str, Any]:
        """Read back until the change shows. trouble: what went wrong with the reply; empty when it was good."""
        deadline = self.clock() + PROBE_SECONDS
        polls = list(PROBE_POLLS)
        while True:
            try:
                after = self.observe()
                self.facts["diff"] = _diff(before, after)
                if self.change.done(before, after):
                    note = " The reply was lost, but a fresh read shows that it was done." if trouble else ""
                    return self.end(StepOutcome.OK, f"{self.change.name}: {self.change.target} was changed.{note}")
            except OpsError as error:
                trouble = trouble or error.sentence
            except Exception as error:  # noqa: BLE001  # our own fault, after the call: it may have been done
                trouble = trouble or f"the read after it broke ({where(error)})."
            if self.clock() >= deadline:
                break
            self.sleep(polls.pop(0) if len(polls) > 1 else polls[0])
        return self.end(
            StepOutcome.UNKNOWN,
            f"Nobody can say whether {self.change.name} was done on {self.change.target}: "
            f"{trouble or 'the call was accepted.'} It does not show in a fresh read, and it was not sent again: "
            f"look at {self.change.target} before anything else is changed.",
        )

    def end(self, outcome: StepOutcome, sentence: str, refusals: list[str] | None = None) -> dict[str, Any]:
        facts = {
            **self.facts,
            **self.change.remarks(),
            "target": self.facts["target"] or self.change.target,
            "outcome": str(outcome),
            "seconds": round(self.clock() - self.started, 3),
            "msg": sentence,
        }
        trouble = self.write_down(outcome, {**facts, "refusals": refusals or [], "imperative": self.change.imperative})
        refused = outcome is StepOutcome.REFUSED
        failed = outcome in (StepOutcome.REFUSED, StepOutcome.FAILED, StepOutcome.UNKNOWN)
        result = {
            **facts,
            "changed": outcome in (StepOutcome.OK, StepOutcome.PLANNED, StepOutcome.UNKNOWN),
            "refused": refused,
            "refusals": refusals or [],
        }
        if failed:
            result["failed"] = True
        if trouble:
            result["warnings"] = [trouble]
        return result

    def write_down(self, outcome: StepOutcome, facts: dict[str, Any]) -> str:
        """Journal how it ended; a mutation that was made is never reported as failed because a log was not written."""
        if self.journal is None:
            return ""
        try:
            line = self.journal.append("refused" if outcome is StepOutcome.REFUSED else "outcome", **facts)
            if self.announced:  # the table mirrors what was, or may have been, done; not what was only looked at
                self.store.record(line)
        except OpsError as error:
            return f"The outcome was not written down everywhere: {error.sentence}"
        return ""


def without_context(state: State) -> State:
    """A state without the part that only refusals need."""
    return {key: value for key, value in state.items() if key != "context"}


def step_key(session: Session, change: Change) -> str:
    """The idempotency key of a step: the same step on the same target in the same run has the same key."""
    return hashlib.sha256("\0".join((session.run, change.name, change.target)).encode()).hexdigest()


def where(error: BaseException) -> str:
    """Type and place of a fault of our own, without any value it carries."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _diff(before: State, after: State) -> dict[str, Any]:
    return {"before": without_context(before), "after": without_context(after)}
