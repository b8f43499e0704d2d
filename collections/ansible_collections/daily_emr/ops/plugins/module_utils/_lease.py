# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The lease on a component, with a fence number, and the mirror of the journal: one DynamoDB table per environment.

No wall clock decides anything. A lease is taken over only after its version (rvn) was seen unchanged for its whole
length on the observer's own clock, which also counts the time a laptop was asleep. Lease lengths are real seconds in
every environment: they bound our own silence, not AWS.
"""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._break_glass import how_without_table
from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling, error_code, unanswered
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients, boottime
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import (
    CallUnknown,
    OpsError,
    Refused,
    Unanswered,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._halts import (
    SWITCH,
    changed_key,
    changed_put,
    stopped,
    switch_check,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Session, utc_now


def aws_time(date: str) -> str:
    """The header Date of a reply of AWS as the journal writes times; our own clock where there was none."""
    try:
        moment = parsedate_to_datetime(date).astimezone(UTC)
    except ValueError:
        return utc_now()
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def silent(_text: str) -> None:
    """Progress that nobody listens to."""


CONDITION_FAILED = ("ConditionalCheckFailedException", "TransactionCanceledException")
HELD_BY_US = "held = :yes AND fence = :fence AND #owner = :owner AND #run = :run"
HELD_BY_NOBODY_ELSE = "attribute_not_exists(pk) OR held = :no OR #run = :run"
# What a run that goes on without the lease has instead of the number of one; the table gives numbers from 1.
NO_FENCE = 0
NAMES = {"#owner": "owner", "#run": "run"}
# The lines that another machine has to know: those that a run under the lease mirrors, and what it went on without.
MIRRORED = frozenset({"opened", "lease", "break_glass", "intent", "outcome", "refused", "probed", "closed"})
# Longer than any one call can take (connect 3 s + read 10 s): this much of a lease is never used for a call.
MARGIN_SECONDS = 15.0
WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class LeaseView:
    """What the table says about a lease; fence 0 and rvn "" when nobody ever held it."""

    target: str
    held: bool = False
    fence: int = 0
    rvn: str = ""
    owner: str = ""
    host: str = ""
    incident: str = ""
    run: str = ""
    since: str = ""
    lease_s: int = 0

    def holder(self) -> str:
        """Who holds it, in a sentence's middle."""
        return f"{self.owner} since {self.since}, for incident {self.incident}, run {self.run}"


@dataclass(frozen=True)
class Lease:
    """A lease that this run holds, or with NO_FENCE what stands in for one (_without_table.py)."""

    target: str
    owner: str
    incident: str
    run: str
    fence: int
    lease_s: int

    @classmethod
    def of(cls, session: Session) -> Lease:
        if session.fence is None:
            raise Refused(f"{session.component} has no lease: run the runbook from its start.")
        return cls(session.component, session.owner, session.id, session.run, session.fence, session.lease_seconds)


@dataclass(frozen=True)
class LastWord:
    """What the table says last of a step that must not be sent twice: announced (no outcome), or how it ended."""

    incident: str
    run: str
    at: str
    outcome: str


class LeaseStore:
    """Leases and journal lines in the table of the environment. Every error but a lost lease fails closed: Refused, and
    Unanswered where the table gave no answer at all.
    """

    def __init__(
        self,
        clients: Clients,
        table: str,
        *,
        clock: Callable[[], float] = boottime,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clients, self._table = clients, table
        self._clock, self._sleep = clock, sleep

    def peek(self, target: str) -> LeaseView:
        """Look at a lease. Raises Refused when the table cannot be read."""
        return lease_view(target, self._get(lease_key(target)))

    def _get(self, key: Mapping[str, Any]) -> dict[str, Any]:
        try:
            with calling("dynamodb:GetItem"):
                reply = self._clients.read("dynamodb").get_item(TableName=self._table, Key=key, ConsistentRead=True)
        except Refused:
            raise
        except OpsError as error:
            raise self._closed(error) from error
        found: dict[str, Any] = reply.get("Item", {})
        return found

    def acquire(
        self,
        target: str,
        owner: str,
        incident: str,
        run: str,
        expected_fence: int,
        lease_s: int,
        take_over: str = "",
        progress: Callable[[str], None] = silent,
        watched: str = "",
    ) -> Lease:
        """Take the lease if nobody worked on the target since expected_fence was seen.

        take_over: why a held lease may be taken from a run that died; it is watched for its whole length first.
        watched: the version that this run has watched for that long already (see watch).
        Raises Refused, naming the holder, when it cannot be had.
        """
        view = self.peek(target)
        if view.held and (not take_over or view.fence != expected_fence):
            raise held_by(view)
        if view.fence != expected_fence:
            raise Refused(f"Somebody else worked on {target} since you looked ({view.holder()}): run again.")
        if view.held and view.rvn != watched:
            self.watch(view, progress)
        mine = uuid.uuid4().hex
        condition, values = _unchanged(view)
        update = (
            "SET held = :yes, rvn = :rvn, #owner = :owner, host = :host, incident = :incident, #run = :run, "
            "since = :since, lease_s = :lease_s, take_over = :why ADD fence :one"
        )
        values |= {
            ":yes": {"BOOL": True},
            ":rvn": {"S": mine},
            ":owner": {"S": owner},
            ":host": {"S": socket.gethostname()},
            ":incident": {"S": incident},
            ":run": {"S": run},
            ":since": {"S": utc_now()},
            ":lease_s": {"N": str(lease_s)},
            ":why": {"S": take_over},
            ":one": {"N": "1"},
        }
        try:
            self._update(target, update, condition, values)
        except CallUnknown as error:
            now = self.peek(target)
            if now.rvn != mine:  # the reply was lost: the table knows whether it was done
                closed = self._closed(error)
                # No glass is broken for a lease that is held: the table has just said so.
                raise Refused(closed.sentence) if now.held else closed from error
        except OpsError as error:
            raise self._lost(target, error) from error
        return Lease(target, owner, incident, run, view.fence + 1, lease_s)

    def renew(self, lease: Lease) -> None:
        """Show that the holder is alive. Raises Refused when the lease is no longer ours."""
        self._change_held(lease, "SET rvn = :rvn")

    def release(self, lease: Lease) -> None:
        """Give the lease back; its fence number stays, so that the next holder gets a higher one."""
        self._change_held(lease, "SET rvn = :rvn, held = :no", {":no": {"BOOL": False}})

    def record_intent(self, lease: Lease, entry: Mapping[str, Any]) -> float:
        """Mirror the line of an intent, check and renew the lease, see that nobody stopped all changes: all or nothing.

        Without a lease (NO_FENCE) it sees that nobody else holds it. Returns the clock's reading until which the lease
        surely lasts (see left). Raises Refused when the lease was lost, Unanswered when the table does not answer. A
        lost reply is asked for again with the same token, which DynamoDB answers without doing it twice.
        """
        until = self.lasts(lease)
        transaction = {
            "TransactItems": [
                self._lease_check(lease),
                {"Put": self._put(entry)},
                switch_check(self._table),
                changed_put(self._table, lease.target, entry, aws_time(self._clients.proven_at)),
                *([{"Put": self._put_word(entry)}] if entry.get("imperative") else []),
            ],
            "ClientRequestToken": str(uuid.uuid4()),
        }
        try:
            try:
                self._write("TransactWriteItems", transaction)
            except CallUnknown:
                self._write("TransactWriteItems", transaction)
        except Refused:
            raise
        except OpsError as error:
            if error_code(error) not in CONDITION_FAILED:
                raise self._closed(error) from error
            with _has_answered():
                self.refuse_when_stopped()
                if self._may_announce(lease):
                    raise Refused(f"Line {entry['seq']} of run {lease.run} was announced before: run again.") from error
            raise self._lost(lease.target, error) from error
        return until

    def _lease_check(self, lease: Lease) -> dict[str, Any]:
        """The part of a transaction that fails unless the lease is ours, which it renews; without one, while somebody
        else holds it.
        """
        which = {"TableName": self._table, "Key": lease_key(lease.target)}
        if lease.fence == NO_FENCE:
            names = {"ExpressionAttributeNames": {"#run": "run"}}
            values = {":no": {"BOOL": False}, ":run": {"S": lease.run}}
            check = {"ConditionExpression": HELD_BY_NOBODY_ELSE, "ExpressionAttributeValues": values}
            return {"ConditionCheck": {**which, **check, **names}}
        renewal = {
            "UpdateExpression": "SET rvn = :rvn",
            "ConditionExpression": HELD_BY_US,
            "ExpressionAttributeNames": NAMES,
            "ExpressionAttributeValues": {":rvn": {"S": uuid.uuid4().hex}, **_held_values(lease)},
        }
        return {"Update": {**which, **renewal}}

    def lasts(self, lease: Lease) -> float:
        """The clock's reading until which a lease surely lasts that is taken or renewed now."""
        return self._clock() + lease.lease_s - MARGIN_SECONDS

    def left(self, until: float) -> float:
        """Seconds in which a call that is sent still ends before the lease can be taken over, even if this process
        was paused; not above 0 when it is too late.
        """
        return until - self._clock()

    def record(self, entry: Mapping[str, Any]) -> None:
        """Mirror one line of the journal; a line that is there already is left as it is."""
        try:
            self._write("PutItem", self._put(entry))
        except OpsError as error:
            if error_code(error) not in CONDITION_FAILED:
                raise
        if entry.get("imperative"):
            self._record_word(entry)

    def record_opening(self, entry: Mapping[str, Any]) -> None:
        """Mirror what an incident is about, before anything is changed. Raises Refused as all that goes before does."""
        try:
            self.record(entry)
        except OpsError as error:
            raise self._closed(error) from error

    def mirror(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Mirror the journal of a run that went on without the table, now that it may answer again: its lines, which
        component it changed, and the last word of what must not be sent twice. Raises OpsError.
        """
        for line in lines:
            if line["kind"] not in MIRRORED:
                continue
            if line["kind"] == "intent":
                self._put_unless_newer(changed_put(self._table, line["component"], line, line["at"])["Put"], line)
                if line.get("imperative"):
                    self._put_unless_newer(self._put_word(line), line)
            self.record(line)

    def give_up(self, target: str, run: str) -> None:
        """Release what this run holds without knowing: it asked for the lease, and no reply came. Raises OpsError."""
        view = self.peek(target)
        if view.held and view.run == run:
            self.release(Lease(target, view.owner, view.incident, run, view.fence, view.lease_s))

    def _put_unless_newer(self, put: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
        older = {
            "ConditionExpression": "attribute_not_exists(pk) OR #at < :at",
            "ExpressionAttributeNames": {"#at": "at"},
            "ExpressionAttributeValues": {":at": {"S": entry["at"]}},
        }
        try:
            self._write("PutItem", {**put, **older})
        except OpsError as error:
            if error_code(error) not in CONDITION_FAILED:
                raise

    def last_word(self, step: str, target: str) -> LastWord | None:
        """The newest word of an imperative step on a target, of whichever run; None where there was never one.

        Raises Refused when the table cannot be read.
        """
        item = self._get(_word_key(step, target))
        if not item:
            return None
        return LastWord(**{name: item[name]["S"] for name in ("incident", "run", "at", "outcome")})

    def settle(self, entry: Mapping[str, Any], outcome: str) -> None:
        """Say how an imperative step ended whose run cannot say it any more, unless it was announced again since."""
        self._record_word({**entry, "outcome": outcome})

    def refuse_when_stopped(self) -> None:
        """Raise Refused while somebody has stopped all changes, or when the table cannot be read."""
        if why := self.why_stopped():
            raise Refused(why)

    def why_stopped(self) -> str:
        """Why all changes are stopped, a sentence; empty when they are not. Raises Refused, the table unread."""
        return stopped(self._get(SWITCH))

    def last_change(self, component: str) -> Mapping[str, Any]:
        """Which incident changed a component last, as the table has it; empty where none did."""
        return self._get(changed_key(component))

    def _record_word(self, entry: Mapping[str, Any]) -> None:
        """How the step ended, unless another run has announced it again since."""
        ours = {
            "ConditionExpression": "#run = :run",
            "ExpressionAttributeNames": {"#run": "run"},
            "ExpressionAttributeValues": {":run": {"S": entry["run"]}},
        }
        try:
            self._write("PutItem", {**self._put_word(entry), **ours})
        except OpsError as error:
            if error_code(error) not in CONDITION_FAILED:
                raise

    def _put_word(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        said = {name: str(entry[name]) for name in ("incident", "run", "at")}
        said["outcome"] = str(entry.get("outcome", ""))
        item = {name: {"S": text} for name, text in said.items()}
        return {"TableName": self._table, "Item": {**_word_key(entry["step"], entry["target"]), **item}}

    def watch(self, view: LeaseView, progress: Callable[[str], None]) -> None:
        """Watch a lease for its whole length: behind it the holder sends nothing more. Raises Refused when it lives."""
        started = self._clock()
        while (left := started + view.lease_s - self._clock()) > 0:
            progress(f"Watching the lease of {view.holder()}: {left:.0f} s until it may be taken over.")
            self._sleep(min(WATCH_SECONDS, left))
            now = self.peek(view.target)
            if now.rvn != view.rvn:
                raise Refused(
                    f"The lease on {view.target} is alive, it was just renewed by {now.holder()}: talk to them."
                )

    def _change_held(self, lease: Lease, update: str, values: Mapping[str, Any] | None = None) -> None:
        rvn = uuid.uuid4().hex
        try:
            self._update(
                lease.target, update, HELD_BY_US, {":rvn": {"S": rvn}, **_held_values(lease), **(values or {})}
            )
        except CallUnknown as error:
            if self.peek(lease.target).rvn != rvn:
                raise self._closed(error) from error
        except OpsError as error:
            raise self._lost(lease.target, error) from error

    def _update(self, target: str, update: str, condition: str, values: Mapping[str, Any]) -> None:
        self._write(
            "UpdateItem",
            {
                "TableName": self._table,
                "Key": lease_key(target),
                "UpdateExpression": update,
                "ConditionExpression": condition,
                "ExpressionAttributeNames": NAMES,
                "ExpressionAttributeValues": dict(values),
            },
        )

    def _write(self, operation: str, arguments: Mapping[str, Any]) -> None:
        client = self._clients.write("dynamodb", operation)
        method = {"UpdateItem": "update_item", "PutItem": "put_item", "TransactWriteItems": "transact_write_items"}
        with calling(f"dynamodb:{operation}"):
            getattr(client, method[operation])(**arguments)

    def _put(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Item": {
                "pk": {"S": f"incident#{entry['incident']}"},
                "sk": {"S": f"journal#{entry['run']}#{entry['seq']:06d}"},
                "kind": {"S": entry["kind"]},
                "at": {"S": entry["at"]},
                "line": {"S": json.dumps(entry, default=str)},
            },
            "ConditionExpression": "attribute_not_exists(pk)",
        }

    def _may_announce(self, lease: Lease) -> bool:
        view = self.peek(lease.target)
        if lease.fence == NO_FENCE:
            return not view.held or view.run == lease.run
        return view.held and (view.fence, view.owner, view.run) == (lease.fence, lease.owner, lease.run)

    def _lost(self, target: str, error: OpsError) -> Refused:
        if isinstance(error, Refused) or error_code(error) not in CONDITION_FAILED:
            return self._closed(error)
        with _has_answered():
            view = self.peek(target)
        if view.held:
            return held_by(view)
        return Refused(f"The lease on {target} is no longer held by this run, so nothing was changed: run again.")

    def _closed(self, error: OpsError) -> Refused:
        if isinstance(error, Refused):
            return error
        closed = f"The lease table {self._table} does not answer, and nothing is changed without it: {error.sentence}"
        if unanswered(error):
            return Unanswered(f"{closed} {how_without_table(self._clients.environment.name)}")
        return Refused(closed)


@contextmanager
def _has_answered() -> Iterator[None]:
    """The table has said no; that it then does not say why is no silence, and no glass is broken for it."""
    try:
        yield
    except Unanswered as error:
        raise Refused(error.sentence) from error


def held_by(view: LeaseView) -> Refused:
    """The refusal that names who works on the target."""
    return Refused(
        f"{view.target} is being worked on by {view.holder()}: talk to them; if that run is dead, run again "
        "with --input incident_take_over=REASON (ansible-playbook: -e), one word such as a ticket number."
    )


def _unchanged(view: LeaseView) -> tuple[str, dict[str, Any]]:
    if not view.rvn:
        # Every request declares the same names, and DynamoDB refuses a name that no expression uses.
        return "attribute_not_exists(pk)", {}
    return "fence = :seen AND rvn = :was", {":seen": {"N": str(view.fence)}, ":was": {"S": view.rvn}}


def _held_values(lease: Lease) -> dict[str, Any]:
    return {
        ":yes": {"BOOL": True},
        ":fence": {"N": str(lease.fence)},
        ":owner": {"S": lease.owner},
        ":run": {"S": lease.run},
    }


def lease_key(target: str) -> dict[str, Any]:
    """Where the lease on a component stands."""
    return {"pk": {"S": f"lease#{target}"}, "sk": {"S": "lease"}}


def _word_key(step: str, target: str) -> dict[str, Any]:
    return {"pk": {"S": f"step#{step}#{target}"}, "sk": {"S": "last"}}


def lease_view(target: str, item: Mapping[str, Any]) -> LeaseView:
    """What an item of the table says, empty for a lease that nobody ever held."""
    if not item:
        return LeaseView(target)
    text = {name: item.get(name, {}).get("S", "") for name in ("rvn", "owner", "host", "incident", "run", "since")}
    return LeaseView(
        target=target,
        held=item["held"]["BOOL"],
        fence=int(item["fence"]["N"]),
        lease_s=int(item.get("lease_s", {}).get("N", "0")),
        **text,
    )
