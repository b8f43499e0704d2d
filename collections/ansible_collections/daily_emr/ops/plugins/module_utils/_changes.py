# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The one way to change anything: guard, observe, plan, refuse, intent, exactly one call, read back, outcome."""

from __future__ import annotations

import hashlib
import math
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._break_glass import LEASE_TABLE
from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._cancel import (
    note_cancel,
    refuse_when_cancelled,
    signals_deferred,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._contract import contract_of, permit
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import (
    CallFailed,
    CallUnknown,
    OpsError,
    Refused,
    Unanswered,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import NO_FENCE, LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._machine_lock import MachineLock
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import StepOutcome
from ansible_collections.daily_emr.ops.plugins.module_utils._scope import Scope
from ansible_collections.daily_emr.ops.plugins.module_utils._step_lines import kept_args
from ansible_collections.daily_emr.ops.plugins.module_utils._without_table import permitted_lease

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
    asks_itself says that its refusals know of an earlier call whose end nobody knows, and never let it be sent again.
    scoped says that a call of AWS under the lease has credentials that can make that one call until the lease ends.
    sends names the calls of AWS of which apply makes one, as "ecs:UpdateService"; a test compares it with the source.
    """

    name: ClassVar[str]
    spec: ClassVar[dict[str, Any]]
    imperative: ClassVar[bool] = False
    leased: ClassVar[bool] = True
    # What a plan says of it (_plan.py): the keys of its state that move by themselves and are not compared, what cannot
    # be taken back ("" when all can), whether data is lost, whether it asks for approvals of its own, and whether it is
    # planned though its state could not be read: what makes safe again a side that answers nobody now, and may later.
    volatile: ClassVar[frozenset[str]] = frozenset()
    irreversible: ClassVar[str] = ""
    loses_data: ClassVar[bool] = False
    approved_apart: ClassVar[bool] = False
    planned_unseen: ClassVar[bool] = False
    asks_itself: ClassVar[bool] = False
    scoped: ClassVar[bool] = True
    sends: ClassVar[tuple[str, ...]] = ()

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

    def resources(self, before: State) -> list[str]:
        """ARNs of what the one call of AWS is about, pure; asked when there is one. "*" only where AWS knows none."""
        return [self.target] if self.target.startswith("arn:") else []

    def aws_call(self, before: State) -> str:  # what a subclass with several chooses from
        """The one call of AWS that apply would make, pure; empty where it makes none of AWS."""
        return self.sends[0] if self.sends else ""

    def prediction(self, before: State) -> list[str]:  # what a subclass predicts from
        """What will happen and what it will cost, pure: plain sentences for whoever approves the step."""
        return []

    @property
    def share(self) -> str:
        """What a plan calls the target: one name for all parts of what is done in parts."""
        return self.target

    def calls(self, before: State) -> int:  # what a subclass counts from
        """How many calls it takes to have all of it done, as far as can be seen; pure."""
        return 1

    def remarks(self) -> State:
        """What the result says besides, such as why only a part was done. Read at the end, whatever that was."""
        return {}

    def done(self, before: State, after: State) -> bool:
        """Whether a read after the call shows that it was done."""
        return without_context(after) == without_context(self.wanted(before))

    def traces(self, before: State) -> State:  # what a subclass compares
        """What of the context done() and untouched() compare: ids, counts and times that the journal keeps, so that a
        later run can judge a step whose end nobody knows."""
        return {}

    def untouched(self, before: State, after: State) -> bool:
        """Whether a read long after the call proves that it was not done; the context of before is its traces alone.

        The same state is no proof where the call does its work each time: an imperative change says what is, if any.
        """
        return not self.imperative and without_context(after) == without_context(before)


def execute_change(
    change: Change,
    clients: Clients,
    session: Session | None,
    *,
    check_mode: bool,
    store: LeaseStore | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    marks: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Take a change through all its steps and return the result of its task; never raises an OpsError.

    marks: what its lines say besides, such as which step it takes back.
    A signal to stop waits until the outcome is journalled: it must not come between a call and what is known of it.
    """

    def note() -> None:
        if session:
            with suppress(OpsError):  # the outcome stands in the journal or in the warning of the task
                note_cancel(session)

    execution = _Execution(change, clients, session, check_mode, store, clock, sleep, marks or {})
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
        marks: Mapping[str, Any],
    ) -> None:
        self.change, self.clients, self.session, self.check_mode = change, clients, session, check_mode
        self.store = store or LeaseStore(clients, clients.environment.table)
        self.clock, self.sleep = clock, sleep
        self.journal = Journal.of(session) if session else None
        self.started = clock()
        self.announced = False
        self.line = 0  # of the journal, that says how it ended
        self.contract: dict[str, Any] = {}
        # For whoever has to judge or undo the step from its line alone; results do not repeat it.
        self.kept: dict[str, Any] = {
            "module": change.name,
            "args": kept_args(change.spec, change.params),
            "traces": {},
            **marks,
        }
        self.facts: dict[str, Any] = {
            "step": change.name,
            "target": "",
            "diff": {},
            "prediction": [],
            "undo": None,
        }

    def run(self) -> dict[str, Any]:
        with ExitStack() as held:
            return self.steps(held)

    def steps(self, held: ExitStack) -> dict[str, Any]:
        """All of it. held: what is held until the end is written down, the lock of this machine."""
        try:
            self.clients.prove()
            if self.change.planned_unseen:
                self.contract = contract_of(self.change, {}, {})
            before = self.observe()
            wanted = self.change.wanted(before)
            self.facts |= {"target": self.change.target, "diff": _diff(before, wanted)}
            self.contract = contract_of(self.change, before, wanted)
            if without_context(wanted) == without_context(before):
                return self.end(StepOutcome.NOOP, f"{self.change.name}: {self.change.target} is as wanted already.")
            self.facts["prediction"] = self.change.prediction(before)
            reasons = self.change.refusals(before)
            if reasons:
                raise Refused(*reasons)
            self.facts["undo"] = self.change.inverse(before)
            self.kept["traces"] = self.change.traces(before)
            if self.check_mode:
                self.contract["needs"] = self.needs(before)
                return self.end(StepOutcome.PLANNED, f"{self.change.name}: {self.change.target} would be changed.")
            until = self.intend(before, wanted, held)
        except Refused as error:
            return self.end(StepOutcome.REFUSED, error.sentence, refusals=error.reasons)
        except OpsError as error:
            return self.end(StepOutcome.FAILED, f"Nothing was changed, because a read failed: {error.sentence}")
        return self.apply(before, until)

    def observe(self) -> State:
        with calling():
            return self.change.observe()

    def intend(self, before: State, wanted: State, held: ExitStack) -> float:
        """Make the intent durable, here and in the table, under plan and lease; returns until when the lease lasts.

        A run that goes on without the table asks it all the same: what it says counts, and its silence stops nothing.
        """
        refuse_when_cancelled(self.session)
        if not self.change.leased:
            return math.inf
        if self.session is None or self.journal is None:
            raise Refused(f"{self.change.target} has no lease: run the runbook from its start.")
        lines = self.journal.read()
        lease = permitted_lease(self.session, lines, self.clients.environment)
        without_table = lease.fence == NO_FENCE
        lock = MachineLock(self.clients.environment, self.session.component)
        held.enter_context(lock.changing(self.session, without_table=without_table))
        contract = permit(self.change, self.session, lines, before, wanted)
        if without_table:
            self.kept["break_glass"] = LEASE_TABLE
        line = self.journal.append(
            "intent",
            **self.facts,
            **self.kept,
            key=step_key(self.session, self.change),
            imperative=self.change.imperative,
            fence=None if without_table else lease.fence,
            **contract,
        )
        try:
            until = self.store.record_intent(lease, line)
        except Unanswered:
            if not without_table:
                raise
            return self.store.lasts(lease)
        self.announced = True
        return until

    def apply(self, before: State, until: float) -> dict[str, Any]:
        sent_before = len(self.clients.sent)
        try:
            scope = self.scope(before, until)
            scope.check()
            refuse_when_cancelled(self.session)
            with self.clients.scoped(scope), calling():
                self.change.apply(before)
        except Refused as error:
            if len(self.clients.sent) == sent_before:
                return self.end(StepOutcome.REFUSED, error.sentence, refusals=error.reasons)
            return self.probe(before, f"One call was sent and a second was refused: {error.sentence}")
        except CallFailed as error:
            return self.not_done(f"{self.change.name} was not done: {error.sentence}")
        except CallUnknown as error:
            return self.probe(before, error.sentence)
        except Exception as error:  # noqa: BLE001  # our own fault, before or after the call: nobody can say
            return self.probe(before, f"{self.change.name} broke ({where(error)}).")
        return self.probe(before, "")

    def needs(self, before: State) -> dict[str, Any]:
        """The call of AWS that the step would make, and on what: for whoever looks at all steps before the first."""
        call = self.change.aws_call(before)
        return {"call": call, "resources": sorted(set(self.change.resources(before)))} if call else {}

    def scope(self, before: State, until: float) -> Scope:
        """What the call may be, and until when; a change without a lease is bounded by the role alone."""
        change = self.change
        return Scope(
            self.clients,
            narrows=change.leased and change.scoped,
            target=change.target,
            resources=partial(change.resources, before),
            left=partial(self.store.left, until),
        )

    def not_done(self, sentence: str) -> dict[str, Any]:
        """Look once after a call that is known to have done nothing: what it was about may be as wanted by itself, such
        as a deployment that ended before it could be stopped. Then nothing failed, and nothing is left to do.
        """
        with suppress(Exception):  # the call failed, and a look that fails takes nothing from that
            now = self.observe()
            if without_context(self.change.wanted(now)) == without_context(now):
                self.facts["diff"] = _diff(now, now)
                seen = f"A fresh read shows {self.change.target} as wanted, without it."
                return self.end(StepOutcome.NOOP, f"{sentence} {seen}")
        return self.end(StepOutcome.FAILED, sentence)

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
        written = {**facts, "refusals": refusals or [], "imperative": self.change.imperative}
        trouble = self.write_down(outcome, written)
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
        if self.line:
            result["line"] = self.line
        if trouble:
            result["warnings"] = [trouble]
        return result

    def write_down(self, outcome: StepOutcome, facts: dict[str, Any]) -> str:
        """Journal how it ended; a mutation that was made is never reported as failed because a log was not written."""
        if self.journal is None:
            return ""
        try:
            # A step that was only looked at is neither done nor promised: it has a kind of line of its own.
            kind = "looked" if self.check_mode else "refused" if outcome is StepOutcome.REFUSED else "outcome"
            contract = {"contract": self.contract} if self.check_mode else {}
            line = self.journal.append(kind, **facts, **self.kept, **contract)
            self.line = line["seq"]
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
