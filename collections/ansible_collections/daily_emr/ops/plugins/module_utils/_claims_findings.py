# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the rules of a claims API. May change without notice.

"""Observations of the API from here, of what the workers see, of what users see, and of the outbox. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._claims_api import Reach, Reply
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ladder import MOST_ERRORS
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ledger import (
    DEFERRED,
    FAILURES,
    UNKNOWN,
    WAITING,
    LastSent,
    Ledger,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import Evidence
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    listed,
    parse_utc,
    plural,
    spoken,
)

# What a facility or its claims suffer, or what still stands from an earlier incident.
SYMPTOMS = (
    "api_down",
    "certificate_invalid",
    "credentials_refused",
    "throttled_here",
    "read_slow",
    "submissions_failing",
    "submissions_slow",
    "submissions_unauthorized",
    "submissions_rejected",
    "submissions_throttled",
    "eligibility_failing",
    "unknown_outcomes",
    "claims_waiting",
    "claims_put_off",
    "claims_held",
    "eligibility_unverified",
    "totals_differ",
    "duplicates_found",
)
# While eligibility is answered without the payer, and claims flow.
WHILE_UNVERIFIED = ("eligibility_unverified",)
# While claims are held on purpose these go on, and are no sign that holding them does not work.
WHILE_HELD = (
    "api_down",
    "certificate_invalid",
    "credentials_refused",
    "throttled_here",
    "read_slow",
    "submissions_failing",
    "submissions_slow",
    "submissions_unauthorized",
    "submissions_rejected",
    "submissions_throttled",
    "unknown_outcomes",
    "claims_waiting",
    "claims_held",
    "eligibility_unverified",
)
_HERE = "GET of our own facility at the claims API"
_REACH = "DNS, TCP and TLS to the claims API"
_WORKERS = "ops.claims_outcomes"
_OUTBOX = "ops.claims_summary"
_ANSWERED = 0.98


def observe(
    readings: Readings,
    claims_api: Json,
    thresholds: Json,
    at: str,
    *,
    time_factor: float = 1.0,
    rejections_mended: bool = False,
) -> Evidence:
    """Every observation of one look. rejections_mended: a person says that what was rejected last would be accepted."""
    evidence = Evidence(readings, claims_api["component"], thresholds, at, symptoms=SYMPTOMS, about={})
    _connection(evidence)
    _answers_here(evidence)
    _of_workers(evidence)
    _of_users(evidence)
    _of_claims(evidence, time_factor)
    _of_switches(evidence)
    _of_the_last_sent(evidence, mended=rejections_mended)
    return evidence


def judged(evidence: Evidence) -> list[Json]:
    return [item for item in evidence.observations if item["symptom"]]


def switched(readings: Readings) -> tuple[bool, bool]:
    """Whether claims are kept back, and whether eligibility is answered without the payer, as far as it was read."""
    flags = readings.values.get("flags") or {"circuit": {"on": False}, "cached": {"on": False}}
    return bool(flags["circuit"]["on"]), bool(flags["cached"]["on"])


def facts(readings: Readings) -> Json:
    """Numbers worth keeping."""
    found: Json = {}
    values = readings.values
    for name in ("reach", "token", "facility"):
        if name in values:
            found[f"{name}_ms"] = values[name].ms
    if "reach" in values:
        found["certificate_days"] = values["reach"].certificate_days
    if "ledger" in values:
        ledger: Ledger = values["ledger"]
        found["claims"] = dict(sorted(ledger.states.items()))
        found["submissions"] = {
            name: ledger.calls(name) for name in sorted({item.outcome for item in ledger.answers} - {""})
        }
    return found


def _connection(evidence: Evidence) -> None:
    read, limits = evidence.read, evidence.thresholds

    def ends_at(stage: str, certificate: bool | None = None) -> Any:
        def rule() -> tuple[bool, str]:
            reach: Reach = read("reach")
            mine = reach.stage == stage
            if certificate is not None:
                mine = mine and ("certificate" in reach.trouble) is certificate
            return mine, reach.seen

        return rule

    for name, rule, expected in (
        ("name_unresolved", ends_at("name"), "the name of the API has an address"),
        ("endpoint_unreachable", ends_at("tcp"), "the API accepts a connection"),
        ("handshake_failing", ends_at("tls", certificate=False), "a TLS handshake ends well"),
        (
            "certificate_invalid",
            ends_at("tls", certificate=True),
            "a certificate that our bundle of authorities proves",
        ),
    ):
        evidence.look(name, ("reach",), rule, expected=expected, call=_REACH)

    def expiring() -> tuple[bool | None, str]:
        days = read("reach").certificate_days
        if days is None:
            return None, "no certificate that could be proved"
        return days < limits["certificate_days"], f"it ends in {days:.0f} days"

    evidence.look(
        "certificate_expiring",
        ("reach",),
        expiring,
        expected=f"a certificate for {limits['certificate_days']} days and more",
        call=_REACH,
    )


def _answers_here(evidence: Evidence) -> None:
    read, limits = evidence.read, evidence.thresholds

    def replies() -> list[Reply]:
        return [evidence.readings.values[name] for name in ("token", "facility") if name in evidence.readings.values]

    def down() -> tuple[bool | None, str]:
        """Not for who asks nor for how often: those are not outages."""
        reach: Reach = read("reach")
        if reach.stage:
            return "certificate" not in reach.trouble, reach.seen
        bad = [reply for reply in replies() if reply.failing]
        odd = [reply for reply in replies() if reply.odd]
        return True if bad else None if odd else False, (bad or odd or replies())[-1].seen

    evidence.look(
        "api_down",
        (_last_word(evidence.readings.values),),
        down,
        expected="a token and an answer about our own facility",
        call=_HERE,
    )

    def refused() -> tuple[bool | None, str]:
        """Only a token says that a key is accepted."""
        found = replies()
        accepted = False if found[0].ok else None
        return True if any(reply.refused for reply in found) else accepted, found[-1].seen

    evidence.look(
        "credentials_refused",
        ("token",),
        refused,
        expected="the API accepts our key",
        call=_HERE,
    )

    def throttled() -> tuple[bool, str]:
        reply = next((reply for reply in replies() if reply.throttled), replies()[-1])
        wait = "" if reply.retry_after_s is None else f", again after {reply.retry_after_s:.0f} s"
        return reply.throttled, reply.seen + wait

    evidence.look("throttled_here", ("token",), throttled, expected="no 429", call=_HERE)
    evidence.look(
        "read_slow",
        ("facility",),
        lambda: (read("facility").ok and read("facility").ms > limits["read_slow_ms"], read("facility").seen),
        expected=f"an answer within {limits['read_slow_ms']} ms",
        call=_HERE,
    )

    def skewed() -> tuple[bool | None, str]:
        skew = read("token").skew_s
        if skew is None:
            return None, "the API does not say what time it is"
        return abs(skew) > limits["clock_s"], f"our clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"

    evidence.look(
        "clock_skewed", ("token",), skewed, expected=f"clocks within {limits['clock_s']} s of each other", call=_HERE
    )


def _last_word(values: Json) -> str:
    """The reading without which nobody can say whether it is up: as far as the answers before it led."""
    if "reach" not in values or values["reach"].stage:
        return "reach"
    return "facility" if "token" in values and values["token"].ok else "token"


def _of_workers(evidence: Evidence) -> None:
    read, limits = evidence.read, evidence.thresholds

    def share(outcomes: tuple[str, ...], limit: float) -> Any:
        def rule() -> tuple[bool, str]:
            ledger: Ledger = read("ledger")
            calls, bad = ledger.calls(), ledger.calls(*outcomes)
            scope = f", of {listed(ledger.types(*outcomes))}" if bad else ""
            return calls >= limits[
                "min_calls"
            ] and bad > limit * calls, f"{bad} of {plural(calls, 'submission')}{scope}"

        return rule

    few = f"at most {limits['refused_ratio']:.0%} of the submissions"
    for name, outcomes, limit, expected in (
        ("submissions_failing", FAILURES, limits["failing_ratio"], f"at most {limits['failing_ratio']:.0%} unanswered"),
        ("submissions_unauthorized", ("unauthorized",), limits["refused_ratio"], f"{few} answered with 401 or 403"),
        ("submissions_rejected", ("rejected",), limits["failing_ratio"], "few answered with 400 or 422"),
    ):
        evidence.look(name, ("ledger",), share(outcomes, limit), expected=expected, call=_WORKERS)

    def throttled() -> tuple[bool, str]:
        """One is enough: it says that we are too fast."""
        number = read("ledger").calls("throttled")
        return number > 0, f"{plural(number, 'submission')} answered with 429"

    evidence.look("submissions_throttled", ("ledger",), throttled, expected="no 429", call=_WORKERS)

    def slow() -> tuple[bool, str]:
        ledger: Ledger = read("ledger")
        p95 = max((item.p95_ms for item in ledger.answers if item.outcome == "acked"), default=0)
        return ledger.calls() >= limits["min_calls"] and p95 > limits["submission_slow_ms"], f"P95 {p95} ms"

    evidence.look(
        "submissions_slow",
        ("ledger",),
        slow,
        expected=f"P95 of at most {limits['submission_slow_ms']} ms",
        call=_WORKERS,
    )

    def egress() -> tuple[bool, str]:
        ledger: Ledger = read("ledger")
        calls, cut = ledger.calls(), ledger.calls("connect")
        theirs = bool(read("reach").stage)
        seen = f"{cut} of {plural(calls, 'submission')} of the workers found no connection, and from here there is "
        found = calls >= limits["min_calls"] and cut > limits["failing_ratio"] * calls and not theirs
        return found, seen + ("none either" if theirs else "one")

    evidence.look(
        "egress_failing",
        ("ledger", "reach"),
        egress,
        expected="the workers get as far as we do from here",
        call=f"{_WORKERS}, {_REACH}",
    )


def _of_users(evidence: Evidence) -> None:
    read, limits = evidence.read, evidence.thresholds

    def failing() -> tuple[bool, str]:
        found: Mapping[str, int] = read("eligibility")
        enough = found["requests"] >= limits["min_calls"]
        seen = f"{found['bad']} of {plural(found['requests'], 'request')} not served"
        return enough and found["bad"] > limits["failing_ratio"] * found["requests"], seen

    evidence.look(
        "eligibility_failing",
        ("eligibility",),
        failing,
        expected="facilities learn whether the payer pays, or that nobody could ask",
        call="logs:StartQuery",
    )


def _of_claims(evidence: Evidence, time_factor: float) -> None:
    read, limits = evidence.read, evidence.thresholds

    def unknown() -> tuple[bool, str]:
        ledger: Ledger = read("ledger")
        number = max(ledger.count(UNKNOWN), ledger.askable)
        return number > 0, f"{plural(number, 'claim')} with an unknown outcome"

    evidence.look(
        "unknown_outcomes",
        ("ledger",),
        unknown,
        expected="of each claim that was sent it is known how it ended",
        call=_OUTBOX,
    )

    def waiting() -> tuple[bool, str]:
        ledger: Ledger = read("ledger")
        oldest = ledger.oldest(*WAITING)
        seen = f"{plural(ledger.count(*WAITING), 'claim')}, the oldest for {spoken(timedelta(seconds=oldest))}"
        return oldest > limits["waiting_minutes"] * 60 / time_factor, seen

    evidence.look(
        "claims_waiting",
        ("ledger",),
        waiting,
        expected=f"no claim waits longer than {limits['waiting_minutes']} min",
        call=_OUTBOX,
    )

    def put_off() -> tuple[bool, str]:
        """Left behind by a redrive that ended, or by somebody who turned the breaker off by hand."""
        ledger: Ledger = read("ledger")
        oldest, flows = ledger.oldest(DEFERRED), not read("flags")["circuit"]["on"]
        seen = f"{plural(ledger.count(DEFERRED), 'claim')} put aside, {'and claims flow' if flows else 'on purpose'}"
        return flows and oldest > limits["window_minutes"] * 60 / time_factor, seen

    evidence.look(
        "claims_put_off",
        ("ledger", "flags"),
        put_off,
        expected="no claim is put aside while others flow",
        call=f"{_OUTBOX}, LaunchDarkly:GetFeatureFlags",
    )

    def deadlines() -> tuple[bool, str]:
        ledger: Ledger = read("ledger")
        return bool(ledger.due or ledger.overdue), (
            f"{plural(ledger.due, 'open claim')} due within {limits['due_hours']} h, {ledger.overdue} overdue"
        )

    evidence.look("deadline_near", ("ledger",), deadlines, expected="no open claim is due soon", call=_OUTBOX)
    evidence.look(
        "totals_differ",
        ("ledger",),
        lambda: (not read("ledger").totals.add_up, read("ledger").totals.sentence),
        expected="sent = accepted + rejected + unknown",
        call="ops.claims_totals",
    )
    evidence.look(
        "duplicates_found",
        ("ledger",),
        lambda: (
            read("ledger").totals.duplicates > 0,
            f"{plural(read('ledger').totals.duplicates, 'claim')} that the payer has more than once",
        ),
        expected="the payer has each claim once",
        call="ops.claims_totals",
    )


def _of_switches(evidence: Evidence) -> None:
    read = evidence.read

    def switch(name: str) -> Any:
        def rule() -> tuple[bool, str]:
            found = read("flags")[name]
            return bool(found["on"]), f"{'on' if found['on'] else 'off'} since {found['changed_at']}"

        return rule

    evidence.look(
        "claims_held", ("flags",), switch("circuit"), expected="claims are sent", call="LaunchDarkly:GetFeatureFlags"
    )
    evidence.look(
        "eligibility_unverified",
        ("flags",),
        switch("cached"),
        expected="eligibility is asked of the payer",
        call="LaunchDarkly:GetFeatureFlags",
    )

    def pending() -> tuple[bool, str]:
        found = read("versions")
        newer = bool(
            found["pending"] and found["current"] and parse_utc(found["pending"]) > parse_utc(found["current"])
        )
        return (
            newer,
            f"current of {found['current']}, pending {'of ' + found['pending'] if found['pending'] else 'none'}",
        )

    evidence.look(
        "key_pending",
        ("versions",),
        pending,
        expected="no newer key waits to be promoted",
        call="secretsmanager:ListSecretVersionIds",
    )


def _of_the_last_sent(evidence: Evidence, *, mended: bool) -> None:
    """Reads tell nothing of it: a payer that rejects claims answers them, and each try burns a claim."""
    read, limits = evidence.read, evidence.thresholds

    def rejected() -> tuple[bool, str]:
        sent: LastSent | None = read("last_sent")
        if sent is None:
            return False, "claims are not held"
        everything, step = sent.everything, sent.last_step
        found = step.more_than(MOST_ERRORS) or (
            everything.calls >= limits["min_calls"] and everything.more_than(limits["failing_ratio"])
        )
        redriven = f", {step.seen} in the last step of a redrive" if step.calls else ""
        said = "; a person says that it is mended" if found and mended else ""
        return found and not mended, f"{everything.seen} rejected since shortly before claims were held{redriven}{said}"

    evidence.look(
        "rejected_last",
        ("last_sent",),
        rejected,
        expected="the payer accepted what was sent before claims were held, and in the last step of a redrive",
        call=f"{_WORKERS}, ops.claims_redriven, LaunchDarkly:GetFeatureFlags",
    )


def not_contained(evidence: Evidence, *, claims_held: bool) -> list[Json]:
    """The symptoms that must not be there while claims are held, or while eligibility is answered without the payer."""
    allowed = WHILE_HELD if claims_held else WHILE_UNVERIFIED
    return [item for item in judged(evidence) if item["name"] not in allowed]


def few_accepted(ledger: Ledger, min_calls: int) -> str:
    """Why too few submissions are accepted for it to be over (A5.5); empty when enough are, or too few to tell."""
    calls, acked = ledger.calls(), ledger.calls("acked")
    if calls >= min_calls and acked < _ANSWERED * calls:
        return f"few_accepted: {acked} of {plural(calls, 'submission')}, less than {_ANSWERED:.0%}"
    return ""
