# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which cause the evidence names: the decision table is data, the decision a pure function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused


class Status(StrEnum):
    """What an observation says. Unknown when the read failed: never ok, and never a finding."""

    OK = "ok"
    FINDING = "finding"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What the evidence as a whole says."""

    HEALTHY = "healthy"
    CAUSE = "cause"
    UNDETERMINED = "undetermined"


class _Fit(StrEnum):
    """How a row of the table fits the evidence."""

    FITS = "fits"
    POSSIBLE = "possible"  # only what could not be read stands between it and the answer
    RULED_OUT = "ruled out"


@dataclass(frozen=True)
class Cause:
    """One row of a decision table. In supported_by every group needs a finding, each from any of its names."""

    name: str
    because: str
    supported_by: tuple[tuple[str, ...], ...]
    contradicted_by: tuple[str, ...]
    mitigations: tuple[str, ...]
    hand_off: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Cause:
        """Read one row. Raises Refused when it has not the shape of one."""
        name = row.get("cause") or "without a name"
        unknown = sorted(set(row) - ROW_KEYS)
        if unknown:
            raise Refused(f"Cause {name} of the decision table has unknown keys ({', '.join(unknown)}): remove them.")
        if not row.get("cause") or not row.get("because") or not row.get("supported_by"):
            raise Refused(f"Cause {name} of the decision table needs cause, because and supported_by: complete it.")
        return cls(
            name=row["cause"],
            because=row["because"],
            supported_by=tuple((entry,) if isinstance(entry, str) else tuple(entry) for entry in row["supported_by"]),
            contradicted_by=tuple(row.get("contradicted_by") or ()),
            mitigations=tuple(row.get("mitigations") or ()),
            hand_off=row.get("hand_off") or "",
        )


ROW_KEYS = frozenset({"cause", "because", "supported_by", "contradicted_by", "mitigations", "hand_off"})


@dataclass(frozen=True)
class Decision:
    """The answer, with what it rests on and why the other causes are not it."""

    verdict: Verdict
    sentence: str
    cause: str = ""
    because: str = ""
    evidence: list[dict[str, Any]] = field(default_factory=list)
    ruled_out: list[dict[str, str]] = field(default_factory=list)
    mitigations: list[str] = field(default_factory=list)
    hand_off: str = ""

    def as_result(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": str(self.verdict)}


def decide(
    rows: Sequence[Mapping[str, Any]], observations: Sequence[Mapping[str, Any]], healthy: bool | None
) -> Decision:
    """The first cause of the table that is supported and not contradicted.

    healthy: whether users are served (None: not known). A healthy component has no symptom, so no cause is sought.
    A cause that only an unknown keeps from being ruled in or out is listed as possible and never chosen.
    Raises Refused when the table is not well formed.
    """
    causes = [Cause.from_row(row) for row in rows]
    status = _status_by_name(observations)
    if healthy is True:
        return Decision(Verdict.HEALTHY, "It is healthy: there is nothing to do.")
    fits = [(cause, *_fit(cause, status)) for cause in causes]
    chosen = next((cause for cause, fit, _why in fits if fit is _Fit.FITS), None)
    ruled_out = [{"cause": cause.name, "why": why} for cause, fit, why in fits if fit is not _Fit.FITS]
    if chosen is None:
        return Decision(Verdict.UNDETERMINED, _undetermined(fits, healthy), ruled_out=ruled_out)
    names = {name for group in chosen.supported_by for name in group}
    return Decision(
        verdict=Verdict.CAUSE,
        sentence=" ".join(filter(None, (chosen.because, "" if chosen.mitigations else chosen.hand_off))),
        cause=chosen.name,
        because=chosen.because,
        evidence=[
            dict(observation)
            for observation in observations
            if observation["name"] in names and observation["status"] == Status.FINDING
        ],
        ruled_out=ruled_out,
        mitigations=list(chosen.mitigations),
        hand_off=chosen.hand_off,
    )


def _status_by_name(observations: Iterable[Mapping[str, Any]]) -> dict[str, Status]:
    """One status for each name. Of several observations of one name a finding counts most, then an unknown."""
    order = (Status.OK, Status.UNKNOWN, Status.FINDING)
    found: dict[str, Status] = {}
    for observation in observations:
        name, status = observation["name"], Status(observation["status"])
        found[name] = max(found.get(name, Status.OK), status, key=order.index)
    return found


def _fit(cause: Cause, status: Mapping[str, Status]) -> tuple[_Fit, str]:
    """How a row fits, and why. What nobody observed is unknown."""

    def of(name: str) -> Status:
        return status.get(name, Status.UNKNOWN)

    against = [name for name in cause.contradicted_by if of(name) is Status.FINDING]
    if against:
        return _Fit.RULED_OUT, f"contradicted by {', '.join(against)}"
    groups = {" or ".join(group): {of(name) for name in group} for group in cause.supported_by}
    missing = [name for name, seen in groups.items() if seen == {Status.OK}]
    if missing:
        return _Fit.RULED_OUT, f"not supported: {', '.join(missing)} not found"
    unknown = [name for name, seen in groups.items() if Status.FINDING not in seen]
    unknown += [name for name in cause.contradicted_by if of(name) is Status.UNKNOWN]
    if unknown:
        return _Fit.POSSIBLE, f"possible, but not known: {', '.join(unknown)}"
    return _Fit.FITS, ""


def _undetermined(fits: Iterable[tuple[Cause, _Fit, str]], healthy: bool | None) -> str:
    state = "It is not healthy" if healthy is False else "Whether it is healthy could not be read"
    possible = [cause.name for cause, fit, _why in fits if fit is _Fit.POSSIBLE]
    if possible:
        return (
            f"{state}, and the cause is undetermined, because not everything could be read; possible: "
            f"{', '.join(possible)}. A person has to decide."
        )
    return f"{state}, and no cause of the table fits. A person has to decide."
