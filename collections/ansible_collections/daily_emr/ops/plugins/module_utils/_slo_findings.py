# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the counted requests of a web service mean for its service level. May change without notice.

"""From series to ledgers, verdicts and observations: pure. What could not be read is unknown, and so is silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from functools import partial

from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import Evidence
from ansible_collections.daily_emr.ops.plugins.module_utils._slo import (
    LATENCY_PAIRS,
    PAIRS,
    Burn,
    Forecast,
    Ledgers,
    Policy,
    Series,
    State,
    Verdict,
    burn_over,
    call_for,
    forecast_freeze,
    freeze_state,
    judge,
    keep_ledgers,
    together,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, iso, spoken

_SILENT = Series()


# What is spent already nobody feels any more.
_SYMPTOMS = ("burning_fast", "latency_burning")


@dataclass(frozen=True)
class Budget:
    """Everything that follows from what was counted until ``at``."""

    at: datetime
    policy: Policy
    ledgers: Ledgers | None
    state: State
    burns: Sequence[Burn]
    pairs: Sequence[Verdict]
    latency: Sequence[Verdict]
    forecast: Forecast

    @property
    def verdict(self) -> str:
        """page, ticket, none or unknown. That releases will freeze soon is worth a page, too."""
        return "page" if self.forecast.page else call_for((*self.pairs, *self.latency_known))

    @property
    def latency_known(self) -> Sequence[Verdict]:
        """Whoever cannot say how slow requests were says nothing about the errors."""
        return [verdict for verdict in self.latency if verdict.fires is not None]


def assess(readings: Readings, policy: Policy, at: datetime) -> Budget:
    """Judge what was read; a reading that is missing is an empty series, of which nobody knows anything."""
    requests: Series = readings.values.get("requests", _SILENT)
    slow: Series = readings.values.get("slow_requests", _SILENT)
    # A day of the ledger has kept what the canaries saw together, and not what each of them saw.
    synthetic: Series = readings.values.get("synthetic") or together(readings.values.get("canaries", []))
    # A month of canaries without one request is no reading of the requests.
    ledgers = None if "requests" in readings.unread else keep_ledgers(requests, synthetic, policy, at)
    state = freeze_state(ledgers, policy)
    # Down minutes that only canaries saw are missing then.
    unsure = "canaries" in readings.unread
    pairs = [judge(requests, synthetic, pair, policy.budget, policy, at) for pair in PAIRS]
    windows = sorted({minutes for pair in PAIRS for minutes in (pair.short_minutes, pair.long_minutes)})
    return Budget(
        at=at,
        policy=policy,
        ledgers=ledgers,
        state=State.UNKNOWN if unsure and state != State.FREEZE else state,
        burns=[burn_over(requests, window, policy.budget, at) for window in windows],
        pairs=pairs,
        # Canaries measure no latency of users.
        latency=[judge(slow, _SILENT, pair, policy.slow_ratio, policy, at) for pair in LATENCY_PAIRS],
        forecast=forecast_freeze(ledgers, pairs[0], policy),
    )


def observe_budget(budget: Budget, readings: Readings, service: Json, call: str) -> list[Json]:
    """The observations, in the form of web_service_health."""
    evidence = Evidence(readings, service["component"], {}, str(iso(budget.at)), symptoms=_SYMPTOMS, about={})
    policy = budget.policy
    by_severity = {
        severity: [verdict for verdict in budget.pairs if verdict.pair.severity == severity]
        for severity in ("page", "ticket")
    }
    look = partial(evidence.look, call=call)

    def needed(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
        """Synthetic requests may tell what the others, which could not be read, do not."""
        return () if any(verdict.fires for verdict in verdicts) else ("requests",)

    look(
        "burning_fast",
        needed(by_severity["page"]),
        lambda: _burning(by_severity["page"], budget.forecast),
        expected="burn of at most 14.4 over 1 h and 5 min, and of 6 over 6 h and 30 min",
    )
    look(
        "burning_slow",
        needed(by_severity["ticket"]),
        lambda: _burning(by_severity["ticket"]),
        expected="burn of at most 3 over 1 day and 2 h, and of 1 over 3 days and 6 h",
    )
    look(
        "latency_burning",
        ("slow_requests",),
        lambda: _burning(budget.latency),
        expected="burn of the budget for slow requests of at most 4 over 1 h and 5 min, and of 2 over 6 h and 30 min",
    )
    look(
        "budget_spent",
        ("requests",),
        lambda: (None if budget.state == State.UNKNOWN else budget.state == State.FREEZE, _spent(budget)),
        expected=f"less than {float(policy.freeze_minutes):g} min spent in either ledger",
    )
    look(
        "no_data",
        ("requests",),
        lambda: _no_data(budget),
        expected=f"requests counted in the last {policy.stale_minutes} min",
    )
    look(
        "low_traffic",
        ("requests",),
        lambda: _low_traffic(budget),
        expected=f"at least {policy.min_valid} requests in 5 min, and no verdict that rests on fewer",
    )
    return evidence.observations


def describe_budget(budget: Budget, service: Json) -> str:
    """The state in one sentence."""
    calls = {
        "page": "somebody must look now",
        "ticket": "somebody must look in the next days",
        "none": "nobody needs to be called",
        "unknown": "whether somebody must be called is unknown",
    }
    return f"{service['component']} is {budget.state}: {_spent(budget)}; {calls[budget.verdict]}."


def _burning(verdicts: Sequence[Verdict], forecast: Forecast | None = None) -> tuple[bool | None, str]:
    firing = [verdict for verdict in verdicts if verdict.fires]
    if firing:
        return True, "; ".join(map(_burn_words, firing))
    if forecast and forecast.page and forecast.minutes is not None:
        return True, f"releases freeze in {spoken(timedelta(minutes=forecast.minutes))} if it goes on like this"
    silent = [verdict for verdict in verdicts if verdict.fires is None or verdict.held_back]
    if silent:
        return None, silent[0].why
    return False, "; ".join(map(_burn_words, verdicts))


def _burn_words(verdict: Verdict) -> str:
    parts = [
        f"{burn.burn or 0:.1f} over {spoken(timedelta(minutes=burn.minutes))}" for burn in (verdict.long, verdict.short)
    ]
    by = " of synthetic requests" if verdict.source == "synthetic" else ""
    return f"{' and '.join(parts)}{by}"


def _spent(budget: Budget) -> str:
    ledgers, policy = budget.ledgers, budget.policy
    if ledgers is None:
        return "nothing is known of this month"
    parts = [f"{ledgers.down_minutes:.1f} min down"]
    used, equivalent = ledgers.budget_used(policy), ledgers.equivalent_minutes(policy)
    if used is not None and equivalent is not None:
        parts.append(f"requests worth {float(equivalent):.1f} min failed ({used:.0%} of the budget)")
    parts.append(f"releases freeze at {float(policy.freeze_minutes):g} min")
    if ledgers.missing_minutes:
        parts.append(f"nothing is known of {ledgers.missing_minutes:.0f} min")
    if ledgers.data_age_minutes > policy.stale_minutes:
        parts.append(f"the newest data is {spoken(timedelta(minutes=ledgers.data_age_minutes))} old")
    return ", ".join(parts)


def _no_data(budget: Budget) -> tuple[bool, str]:
    if budget.ledgers is None:
        return True, "no request at all was counted, which is not the same as none that failed"
    age = budget.ledgers.data_age_minutes
    return age > budget.policy.stale_minutes, f"the newest request is {spoken(timedelta(minutes=age))} old"


def _low_traffic(budget: Budget) -> tuple[bool, str]:
    fastest = next(verdict for verdict in budget.pairs if verdict.pair is PAIRS[0])
    newest, hour = budget.burns[0], next(burn for burn in budget.burns if burn.window_minutes == PAIRS[0].long_minutes)
    held_back = any(verdict.held_back for verdict in budget.pairs)
    seen = f"{newest.valid:.0f} requests in 5 min, {hour.bad:.0f} bad in 1 h"
    if fastest.source == "synthetic":
        seen += "; synthetic requests decide"
    return held_back or newest.valid < budget.policy.min_valid, seen


def as_json(budget: Budget) -> Json:
    """The numbers, as plain data. None is a number that nobody knows."""
    return {
        "state": str(budget.state),
        "verdict": budget.verdict,
        "ledgers": _ledgers(budget),
        "burns": [_burn(burn) for burn in budget.burns],
        "pairs": [_verdict(verdict) for verdict in budget.pairs],
        "latency_pairs": [_verdict(verdict) for verdict in budget.latency],
        "freeze_in_minutes": _rounded(budget.forecast.minutes),
    }


def _ledgers(budget: Budget) -> Json:
    policy, ledgers = budget.policy, budget.ledgers
    month: Json = {
        "month_minutes": policy.month_minutes,
        "budget_minutes": _rounded(policy.budget_minutes),
        "freeze_minutes": _rounded(policy.freeze_minutes),
    }
    if ledgers is None:
        return {**month, "known": False}
    spent = ledgers.spent_minutes(policy)
    return {
        **month,
        "known": True,
        "since": iso(ledgers.since),
        "requests": {
            "bad": _rounded(ledgers.bad),
            "valid": _rounded(ledgers.valid),
            "ratio": _rounded(ledgers.ratio),
            "budget_used": _rounded(ledgers.budget_used(policy)),
            "equivalent_minutes": _rounded(ledgers.equivalent_minutes(policy)),
        },
        "minutes": {
            "down": _rounded(ledgers.down_minutes),
            "fractional": _rounded(ledgers.fractional_minutes),
            "undecided": _rounded(ledgers.undecided_minutes),
            "missing": _rounded(ledgers.missing_minutes),
            "coarse": _rounded(ledgers.coarse_minutes),
        },
        "budget_left_minutes": _rounded(policy.budget_minutes - spent),
        "freeze_left_minutes": _rounded(policy.freeze_minutes - spent),
        "data_age_minutes": _rounded(ledgers.data_age_minutes),
    }


def _burn(burn: Burn) -> Json:
    return {
        "window_minutes": burn.window_minutes,
        "read_minutes": _rounded(burn.minutes),
        "bad": _rounded(burn.bad),
        "valid": _rounded(burn.valid),
        "ratio": _rounded(burn.ratio),
        "burn": _rounded(burn.burn),
    }


def _verdict(verdict: Verdict) -> Json:
    return {
        "severity": verdict.pair.severity,
        "threshold": _rounded(verdict.pair.burn),
        "long": _burn(verdict.long),
        "short": _burn(verdict.short),
        "fires": verdict.fires,
        "held_back": verdict.held_back,
        "source": verdict.source,
        "why": verdict.why,
    }


def _rounded(value: float | Fraction | None) -> float | None:
    return None if value is None else round(float(value), 6)
