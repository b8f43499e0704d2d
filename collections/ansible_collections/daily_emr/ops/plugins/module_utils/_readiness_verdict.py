# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: how evidence becomes a verdict. May change without notice.

"""Ready, or not and why: evidence of AWS, attestations of people, waivers, and what changed since the last report.

Everything here is pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._attestations import Document, by_control
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import (
    Check,
    Json,
    Status,
    digest,
    instant,
    lifetime,
    plain,
    sealed,
    stamp,
)

SCHEMA = 1
GOOD = (Status.PASS, Status.WAIVED)
ORDER = (Status.FAIL, Status.UNKNOWN, Status.WAIVED, Status.PASS)
AREAS = {
    "account": "Account and guardrails",
    "state": "Terraform state",
    "network": "Network",
    "database": "Database",
    "cache": "Sessions and queues",
    "service": "Application and workers",
    "registry": "Images",
    "secrets": "Secrets",
    "audit": "Audit",
    "observability": "Alarms and observability",
    "edge": "Edge: CDN, WAF, TLS",
    "backups": "Backups",
    "rehearsals": "Rehearsals",
    "protection": "Data protection",
    "messaging": "Mail",
    "capacity": "Quotas",
    "runbooks": "Runbooks",
    "people": "What people have signed",
}


@dataclass(frozen=True)
class Place:
    """Whose readiness it is, and when."""

    environment: str
    account: str
    region: str
    now: datetime


def evidence_of(checks: Iterable[Check], found: Sequence[Json], place: Place) -> list[Json]:
    """The evidence of every check. What is missing, changed, too old, or of another account is unknown."""
    by_name = {record.get("control"): record for record in found}
    return [_trusted(check, by_name.get(check.control), place) for check in checks]


def _trusted(check: Check, record: Json | None, place: Place) -> Json:
    why = ""
    if record is None:
        why = "This check was not run."
    elif sealed(record) != record:
        why = "The evidence was changed after it was taken."
    elif (record["account"], record["region"]) != (place.account, place.region):
        why = "The evidence is of another account or Region."
    elif not timedelta(0) <= place.now - instant(record["observed_at"]) <= lifetime(check.valid_for):
        why = "The evidence is too old."
    if record is not None and not why:
        return record
    return _record(
        control=check.control,
        title=check.title,
        status=Status.UNKNOWN,
        method="api",
        call=", ".join(check.calls),
        assertion=check.title,
        why=why,
        valid_for=check.valid_for,
        place=place,
    )


def _record(
    *, control: str, title: str, status: Status, method: str, call: str, assertion: str, why: str, valid_for: str,
    place: Place, observed: Json | None = None,
) -> Json:  # fmt: skip
    return sealed(
        {
            "control": control,
            "title": title,
            "status": str(status),
            "method": method,
            "call": call,
            "assertion": assertion,
            "observed": observed or {},
            "measured": {},
            "why": why,
            "observed_at": stamp(place.now),
            "valid_for": valid_for,
            "account": place.account,
            "region": place.region,
        }
    )


def attested(wanted: Sequence[Mapping[str, Any]], documents: Sequence[Document], place: Place) -> list[Json]:
    """The evidence of what people have to attest, one record for each."""
    return [_attested(item, by_control(documents, str(item["control"])), place) for item in wanted]


def _attested(wanted: Mapping[str, Any], documents: Sequence[Document], place: Place) -> Json:
    reasons: list[str] = []
    counted: dict[str, Document] = {}
    for role in wanted["roles"]:
        mine = [item for item in documents if item.role == role]
        faults = {item.name: [*item.faults, *_unfit(item, wanted)] for item in mine}
        good = [item for item in mine if not faults[item.name]]
        if good:
            counted[role] = max(good, key=lambda item: item.expires)
        elif mine:
            reasons += [fault for item in mine for fault in faults[item.name]]
        else:
            reasons.append(f"Nobody has signed it as {_words(role)}.")
    people = Counter(item.signer for item in counted.values())
    twice = [signer for signer, count in people.items() if count > 1]
    if twice:
        reasons.append(f"{twice[0]} has signed for two roles: another person has to sign for one of them.")
    strangers = [item for item in documents if item.role not in wanted["roles"]]
    if reasons:
        reasons += [
            f"{item.name} is signed as {item.role}, which is not a role that this control asks for."
            for item in strangers
            if not item.faults
        ]
    seen_something = any(item.role in wanted["roles"] for item in documents) or strangers
    status = Status.PASS if not reasons else Status.FAIL if seen_something else Status.UNKNOWN
    return _record(
        control=str(wanted["control"]),
        title=str(wanted["title"]),
        status=status,
        method="attest",
        call="ssh-keygen -Y verify",
        assertion=f"signed by {' and '.join(map(_words, wanted['roles']))}, for {wanted['days']} days at most"
        + (", with the artifact that it is about" if wanted["artifact"] else ""),
        why=" ".join(reasons),
        valid_for=f"{wanted['days']}d",
        observed={role: _signed(item) for role, item in counted.items()},
        place=place,
    )


def _words(role: str) -> str:
    return role.replace("_", " ")


def _unfit(document: Document, wanted: Mapping[str, Any]) -> list[str]:
    """Why a document that is good in itself is not enough for what is asked."""
    if document.faults:
        return []
    faults = []
    if (document.expires - document.date).days > wanted["days"]:
        faults.append(
            f"{document.name} is meant to hold for {(document.expires - document.date).days} days: "
            f"{wanted['days']} days are the most for this control."
        )
    if wanted["artifact"] and not document.artifact:
        faults.append(f"{document.name} names no artifact: sign what it is about, by its digest.")
    return faults


def _signed(document: Document) -> Json:
    values = {name: str(value) for name, value in document.values.items() if name not in ("control", "environment")}
    return {**values, "file": document.name}


def waived(records: Sequence[Json], waivers: Sequence[Document], role: str) -> tuple[list[Json], list[str]]:
    """The records with valid waivers applied, and why the other waivers were refused."""
    refused = [fault for item in waivers for fault in item.faults]
    controls = {record["control"]: record for record in records}
    valid: dict[str, Document] = {}
    for item in waivers:
        if item.faults:
            continue
        if item.control not in controls:
            refused.append(f"{item.name} waives {item.control}, which is no control: correct its name.")
        elif controls[item.control]["method"] == "attest":
            refused.append(f"{item.name} waives {item.control}, which people have to sign: that cannot be waived.")
        elif item.role != role:
            refused.append(f"{item.name} is signed as {item.role}: only a {role} may own a risk.")
        else:
            valid[str(item.control)] = item
    return [_waived(record, valid.get(record["control"])) for record in records], refused


def _waived(record: Json, waiver: Document | None) -> Json:
    if waiver is None or record["status"] not in (Status.FAIL, Status.UNKNOWN):
        return record
    waiver_of = {
        "owner": waiver.signer,
        "reason": waiver.reason,
        "expires": str(waiver.expires),
        "file": waiver.name,
        "instead_of": record["status"],
    }
    return sealed({**record, "status": str(Status.WAIVED), "waiver": waiver_of})


def drift(before: Mapping[str, Any] | None, records: Sequence[Json]) -> Json | None:
    """What changed since the report before: statuses and what was observed. None when there was none before."""
    if before is None:
        return None
    old = {record["control"]: record for record in before["controls"]}
    new = {record["control"]: record for record in records}
    changes = []
    for control in [*new, *(name for name in old if name not in new)]:
        was, now = old.get(control), new.get(control)
        facts = _changed_facts(was, now)
        statuses = [record["status"] if record else "not there" for record in (was, now)]
        if statuses[0] != statuses[1] or facts:
            title = (now or was or {})["title"]
            changes.append(
                {"control": control, "title": title, "before": statuses[0], "after": statuses[1], "facts": facts}
            )
    return {"since": before["run_at"], "sha256": before["sha256"], "changes": changes}


def _changed_facts(was: Json | None, now: Json | None) -> list[Json]:
    if was is None or now is None or Status.UNKNOWN in (was["status"], now["status"]):
        return []
    names = sorted({*was["observed"], *now["observed"]})
    return [
        {"name": name, "before": was["observed"].get(name), "after": now["observed"].get(name)}
        for name in names
        if was["observed"].get(name) != now["observed"].get(name)
    ]


def until(records: Iterable[Json]) -> datetime | None:
    """Until when the verdict holds: the first of its evidence, attestations and waivers that ends."""
    ends = []
    for record in records:
        if record["status"] in GOOD:
            if record["method"] == "api":
                ends.append(instant(record["observed_at"]) + lifetime(record["valid_for"]))
            ends += [_end_of(item["expires"]) for item in record["observed"].values() if record["method"] == "attest"]
            ends += [_end_of(record["waiver"]["expires"])] if "waiver" in record else []
    return min(ends, default=None)


def _end_of(day: str) -> datetime:
    return datetime.combine(datetime.fromisoformat(day).date(), time(23, 59, 59), UTC)


def judge(
    checks: Sequence[Check],
    evidence: Sequence[Json],
    attestations: Sequence[Mapping[str, Any]],
    documents: Sequence[Document],
    waivers: Sequence[Document],
    waiver_role: str,
    before: Mapping[str, Any] | None,
    place: Place,
    calls: int,
) -> Json:
    """The report over everything that is known."""
    records = [*evidence_of(checks, evidence, place), *attested(attestations, documents, place)]
    records, refused = waived(records, waivers, waiver_role)
    known = {item["control"] for item in attestations}
    for item in documents:
        if item.control not in known:
            # Faults of the others stand at their control.
            refused += item.faults or [f"{item.name} attests {item.control}, which nobody asked for: correct its name."]
    return report(records, refused, before, place, calls)


def report(
    records: Sequence[Json], refused: Sequence[str], before: Mapping[str, Any] | None, place: Place, calls: int
) -> Json:
    """Everything that a board has to know, with the digest of all of it."""
    counts = Counter(record["status"] for record in records)
    blockers = [record["control"] for record in records if record["status"] not in GOOD]
    ready = bool(records) and not blockers
    end = until(records) if ready else None
    made = {
        "schema": SCHEMA,
        "environment": place.environment,
        "account": place.account,
        "region": place.region,
        "run_at": stamp(place.now),
        "ready": ready,
        "sentence": _sentence(ready, place.environment, counts, end),
        "valid_until": stamp(end) if end else "",
        "counts": {str(status): counts.get(status, 0) for status in ORDER},
        "blockers": blockers,
        "controls": plain(list(records)),
        "refused": list(refused),
        "drift": drift(before, records),
        "calls": calls,
    }
    return {**made, "sha256": digest(made)}


def _sentence(ready: bool, environment: str, counts: Mapping[str, int], end: datetime | None) -> str:
    total = sum(counts.values())
    if ready:
        owned = counts.get(Status.WAIVED, 0)
        waivers = f", {owned} of them waived by an owner" if owned else ""
        holds = f" This holds until {stamp(end)}." if end else ""
        return f"{environment} is ready: {total} of {total} controls are met{waivers}.{holds}"
    parts = [
        f"{counts[status]} {word}"
        for status, word in ((Status.FAIL, "failed"), (Status.UNKNOWN, "unknown"))
        if counts.get(status)
    ]
    return f"{environment} is not ready: of {total} controls {' and '.join(parts) or 'none was looked at'}."


def rows(records: Sequence[Json]) -> list[Json]:
    """How each area stands, in the order of the report."""
    found = []
    for area, title in AREAS.items():
        mine = [record for record in records if record["control"].partition(".")[0] == area]
        counts = Counter(record["status"] for record in mine)
        if mine:
            worst = next(str(status) for status in ORDER if counts.get(status))
            numbers = {str(status): counts.get(status, 0) for status in ORDER}
            found.append({"area": area, "title": title, "status": worst, "total": len(mine), **numbers})
    return found


def table(made: Mapping[str, Any]) -> str:
    """The verdict for a terminal: areas, then each control that stands in the way, and why."""
    lines = [made["sentence"], ""]
    lines.append(f"{'area':<28}{'pass':>6}{'waived':>8}{'unknown':>9}{'fail':>6}")
    lines += [
        f"{row['title']:<28}{row['pass']:>6}{row['waived']:>8}{row['unknown']:>9}{row['fail']:>6}"
        for row in rows(made["controls"])
    ]
    records = {record["control"]: record for record in made["controls"]}
    if made["blockers"]:
        lines += ["", "In the way:"]
        blockers = sorted(made["blockers"], key=lambda name: ORDER.index(Status(records[name]["status"])))
        lines += [f"  {records[name]['status']:<8} {name}: {why(records[name])}" for name in blockers]
    waivers = [record for record in made["controls"] if record["status"] == Status.WAIVED]
    if waivers:
        lines += ["", "Waived:"]
        lines += [
            "  {control}: {reason} ({owner}, until {expires})".format(control=item["control"], **item["waiver"])
            for item in waivers
        ]
    if made["refused"]:
        lines += ["", "Refused:", *(f"  {sentence}" for sentence in made["refused"])]
    if made["drift"]:
        lines += ["", f"Changed since {made['drift']['since']}: {len(made['drift']['changes']) or 'nothing'}"]
        lines += [
            f"  {item['control']}: {item['before']} -> {item['after']}"
            + "".join(f"; {fact['name']} {shown(fact['before'])} -> {shown(fact['after'])}" for fact in item["facts"])
            for item in made["drift"]["changes"]
        ]
    return "\n".join(lines) + "\n"


def why(record: Mapping[str, Any]) -> str:
    """Why a control is not met: what could not be seen, or what was wanted and what was seen."""
    if record["why"]:
        return str(record["why"])
    found = ", ".join(
        f"{name.replace('_', ' ')} {shown(value)}"
        for name, value in {**record["observed"], **record["measured"]}.items()
    )
    return f"wanted: {record['assertion']}; seen: {found or 'nothing'}"


def shown(value: Any) -> str:
    """A value of evidence as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {shown(item)}" for name, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value) or "none"
    return "none" if value in (None, "") else str(value)
