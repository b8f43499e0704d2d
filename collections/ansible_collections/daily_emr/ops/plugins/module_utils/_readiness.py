# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: how a control of launch readiness is checked. May change without notice.

"""A check is a small function that reads and judges one control. All run at the same time and share what they read.

A check that was refused, failed, or did not find what it needs is unknown; nothing but `seen(True)` is a pass.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import CALL_ERRORS, as_call_error, error_code
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import where
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

Json = dict[str, Any]
DAY, WEEK, MONTH, QUARTER = "24h", "7d", "30d", "100d"
"""How long an answer counts: `valid_for` of a check."""


class Status(StrEnum):
    """What is known about a control. Only pass, and waived by a valid waiver, let a launch happen."""

    PASS = "pass"  # noqa: S105  # a word of the report
    FAIL = "fail"
    UNKNOWN = "unknown"
    WAIVED = "waived"


class Unknown(OpsError):
    """What the check needs to know is not there; its sentence says what is missing."""


@dataclass(frozen=True)
class Seen:
    """What a check saw.

    observed: what should stay as it is, so that a change of it is drift. measured: what changes all the time.
    """

    passed: bool
    observed: Json
    measured: Json = field(default_factory=dict)


def seen(passed: object, measured: Json | None = None, **observed: Any) -> Seen:
    """The verdict of a check, with the facts that it rests on."""
    return Seen(bool(passed), observed, measured or {})


Judge = Callable[["Look"], Seen]


@dataclass(frozen=True)
class Check:
    """One control: what has to be true, and the function that looks."""

    control: str
    title: str
    assertion: str
    valid_for: str
    calls: tuple[str, ...]
    judge: Judge

    @property
    def area(self) -> str:
        return self.control.partition(".")[0]


class Registry:
    """The checks of one area, in the order in which they stand in its file."""

    def __init__(self, area: str) -> None:
        self.area = area
        self.checks: list[Check] = []

    def check(
        self, name: str, title: str, assertion: str, *, calls: Sequence[str], valid_for: str = DAY
    ) -> Callable[[Judge], Judge]:
        """Register a check. assertion may name desired values in braces. calls: all that it may make."""

        def register(judge: Judge) -> Judge:
            self.checks.append(Check(f"{self.area}.{name}", title, assertion, valid_for, tuple(calls), judge))
            return judge

        return register


class Reads:
    """Reads of one run. A call that several checks need is made once; the others wait for its answer."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._lock = threading.Lock()
        self._answers: dict[str, Future[Any]] = {}
        self.made = 0
        """Requests sent, each page of a long answer counted."""

    def call(self, service: str, operation: str, region: str, params: Json, *, whole: bool) -> Json:
        """The answer of an operation, in the spelling of its API; all its pages if whole."""
        key = json.dumps([service, operation, region, params, whole], sort_keys=True, default=str)
        return dict(self._once(key, partial(self._send, service, operation, region, params, whole)))

    def document(self, bucket: str, key: str) -> str:
        """The text of a report of a restore check or a rehearsal."""
        return str(self._once(json.dumps([bucket, key]), partial(self._fetch, bucket, key)))

    def _once(self, key: str, make: Callable[[], Any]) -> Any:
        with self._lock:
            answer, first = self._answers.get(key), key not in self._answers
            if answer is None:
                answer = self._answers[key] = Future()
        if first:
            try:
                answer.set_result(make())
            except BaseException as error:  # noqa: BLE001  # handed to each who waits, and raised below
                answer.set_exception(error)
        return answer.result()

    def _send(self, service: str, operation: str, region: str, params: Json, whole: bool) -> Json:
        client = self._clients.read(service, region)
        method = next(name for name, api in client.meta.method_to_api_mapping.items() if api == operation)
        if not whole or not client.can_paginate(method):
            self._count()
            return dict(getattr(client, method)(**params))
        answer: Json = {}
        for page in client.get_paginator(method).paginate(**params):
            self._count()
            answer = _merged(answer, page)
        return answer

    def _fetch(self, bucket: str, key: str) -> str:
        self._count()
        return self._clients.evidence(bucket, key)

    def _count(self) -> None:
        with self._lock:
            self.made += 1


def _merged(whole: Json, page: Mapping[str, Any]) -> Json:
    """Pages of one answer as one: lists after each other, the rest as the first page has it."""
    made = dict(whole)
    for key, value in page.items():
        if isinstance(value, list):
            made[key] = [*made.get(key, []), *value]
        elif isinstance(value, dict):
            made[key] = _merged(made.get(key, {}), value)
        else:
            made.setdefault(key, value)
    return made


@dataclass(frozen=True)
class Report:
    """What a restore check or a rehearsal found."""

    ok: bool
    finished_at: datetime
    rto_s: float | None
    rpo_s: float | None
    dump: str

    @classmethod
    def of(cls, found: Mapping[str, Any], key: str) -> Report:
        """Read one, in the words of a restore check (result, checked_at, …) or of a rehearsal (ok, finished_at, …)."""
        ok = {"passed": True, "failed": False}.get(str(found.get("result")), found.get("ok"))
        rto, rpo = (found.get(f"{name}_s", found.get(f"{name}_seconds")) for name in ("rto", "rpo"))
        if not isinstance(ok, bool) or (ok and not all(isinstance(value, (int, float)) for value in (rto, rpo))):
            raise Unknown(f"{key} does not say whether it went well, and with which RTO and RPO.")
        finished_at = instant(found.get("finished_at", found.get("checked_at")))
        return cls(ok, finished_at, rto, rpo, str(found.get("dump", "")))


@dataclass
class Look:
    """What one check sees of the world: its calls, the names of the convention, the desired values, the time."""

    check: Check
    reads: Reads
    names: Mapping[str, Any]
    wanted: Mapping[str, Any]
    account: str
    region: str
    now: datetime
    used: list[str] = field(default_factory=list)
    """Its calls in order: the length is the longest that it can take, in calls."""

    def read(self, call: str, *, region: str = "", whole: bool = True, **params: Any) -> Json:
        """The answer of a declared call, such as "rds:DescribeDBInstances"; only its first page unless whole."""
        service, operation = self._declared(call)
        try:
            return self.reads.call(service, operation, region, params, whole=whole)
        except CALL_ERRORS as error:
            raise as_call_error(error, call) from error

    def read_or_none(self, call: str, missing: str, *, region: str = "", **params: Any) -> Json | None:
        """The answer, or nothing where AWS says by the error code `missing` that there is none: that was seen too."""
        try:
            return self.read(call, region=region, **params)
        except OpsError as error:
            if error_code(error) == missing:
                return None
            raise

    def listed(self, call: str, key: str, *, region: str = "", **params: Any) -> list[Any]:
        """The list under a key of the answer; Unknown where the answer has no such list."""
        answer = self.read(call, region=region, **params)
        if not isinstance(answer.get(key), list):
            raise Unknown(f"{call} was answered without {key}.")
        return list(answer[key])

    def one(self, call: str, key: str, *, region: str = "", **params: Any) -> Json:
        """The only entry of the list under a key of the answer."""
        found = self.listed(call, key, region=region, **params)
        if len(found) != 1:
            raise Unknown(f"{call} was answered with {len(found)} {key} where one was expected.")
        return dict(found[0])

    def reports(self, folder: str) -> list[str]:
        """Keys of the reports in a folder of the bucket for dumps, the newest last: their names are times."""
        listing = self.read("s3:ListObjectsV2", Bucket=self.names["dumps_bucket"], Prefix=folder)
        return sorted(item["Key"] for item in listing.get("Contents", []) if item["Key"].endswith(".json"))

    def report(self, key: str) -> Report:
        """A report of a restore check or a rehearsal; Unknown where it is none."""
        self._declared("s3:GetObject")
        try:
            found = json.loads(self.reads.document(self.names["dumps_bucket"], key))
        except ValueError:
            found = None
        except CALL_ERRORS as error:
            raise as_call_error(error, "s3:GetObject") from error
        if not isinstance(found, dict):
            raise Unknown(f"{key} is not a report: it holds no JSON object.")
        return Report.of(found, key)

    def age(self, moment: Any) -> timedelta:
        """How long ago something was; Unknown where it has no time, or one that is still to come."""
        at = instant(moment)
        if at - self.now > timedelta(minutes=5):
            raise Unknown("A time that was read is in the future: look at the clocks.")
        return self.now - at

    def _declared(self, call: str) -> list[str]:
        if call not in self.check.calls:
            raise Refused(f"{self.check.control} does not declare {call}.")
        self.used.append(call)
        return call.split(":", 1)


def instant(moment: Any) -> datetime:
    """A time of an answer as one with a zone; Unknown where it is none."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            moment = None
    if not isinstance(moment, datetime):
        raise Unknown("A time that is needed was not in the answer.")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def named(value: Any, what: str) -> str:
    """A name that the inventory has to give; Unknown where it is empty."""
    if not value:
        raise Unknown(f"{what} is not named: put it into readiness_names of the inventory.")
    return str(value)


def minutes(age: timedelta) -> int:
    return int(age.total_seconds() // 60)


def hours(age: timedelta) -> int:
    return int(age.total_seconds() // 3600)


@dataclass(frozen=True)
class Run:
    """All that a run of checks needs."""

    clients: Clients
    names: Mapping[str, Any]
    wanted: Mapping[str, Any]
    now: datetime

    def evidence(self, checks: Iterable[Check]) -> tuple[list[Json], int]:
        """The evidence of every check, in their order, and how many requests it took."""
        reads = Reads(self.clients)
        asked = {check.control: check for check in checks}
        found = gather(**{control: partial(self._look, check, reads) for control, check in asked.items()})
        return [self._record(check, found[control]) for control, check in asked.items()], reads.made

    def look(self, check: Check, reads: Reads) -> Look:
        environment = self.clients.environment
        return Look(check, reads, self.names, self.wanted, environment.account_id, environment.region, self.now)

    def _look(self, check: Check, reads: Reads) -> Seen | str:
        """What the check saw, or in one sentence why it is unknown."""
        try:
            return check.judge(self.look(check, reads))
        except OpsError as error:
            return error.sentence
        except Exception as error:  # noqa: BLE001  # one check that stumbles must not hide what the others saw
            return f"The answer has not the expected shape ({where(error)})."

    def _record(self, check: Check, found: Seen | str) -> Json:
        known = isinstance(found, Seen)
        status = (Status.PASS if found.passed else Status.FAIL) if isinstance(found, Seen) else Status.UNKNOWN
        return sealed(
            {
                "control": check.control,
                "title": check.title,
                "status": str(status),
                "method": "api",
                "call": ", ".join(check.calls),
                "assertion": check.assertion.format(**{name: _said(value) for name, value in self.wanted.items()}),
                "observed": plain(found.observed) if isinstance(found, Seen) else {},
                "measured": plain(found.measured) if isinstance(found, Seen) else {},
                "why": "" if known else str(found),
                "observed_at": stamp(self.now),
                "valid_for": check.valid_for,
                "account": self.clients.environment.account_id,
                "region": self.clients.environment.region,
            }
        )


def _said(value: Any) -> str:
    """A desired value as it stands in a sentence."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none named"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def sealed(record: Json) -> Json:
    """The record with the digest of all that it says."""
    said = {key: value for key, value in record.items() if key != "sha256"}
    return {**said, "sha256": digest(said)}


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lifetime(valid_for: str) -> timedelta:
    """How long evidence counts, of "24h" or "7d"."""
    number, unit = int(valid_for[:-1]), valid_for[-1]
    return timedelta(hours=number) if unit == "h" else timedelta(days=number)


def plain(value: Any) -> Any:
    """What was observed as JSON, the same for the same facts."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in sorted(value.items())}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return stamp(instant(value))
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
