# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the users of telehealth see. May change without notice.

"""The rules of the joins: whether they succeed, what the failed ones have in common, and how good the others were."""

from __future__ import annotations

from functools import partial

from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_evidence import TelehealthEvidence
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import REGION
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_joins import Culprit, Joins, Pace, culprit
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

# What joins can have in common.
_COMMON = {"one_version": "app_version", "one_isp": "isp", "one_region": "region"}


def users(evidence: TelehealthEvidence) -> None:
    """Every observation that is made of the joins alone."""
    for part in (_joins, _clusters, _region, _quality):
        part(evidence)


def _joins(evidence: TelehealthEvidence) -> None:
    thresholds = evidence.thresholds

    def failing() -> tuple[bool | None, str]:
        """Too few joins are neither good nor bad: at night two failures are half of all."""
        good, total = evidence.good(evidence.joins), evidence.joins.total
        if good is None:
            return None, f"{total.seen}: fewer than {thresholds['min_joins']} say nothing"
        ways = ", ".join(f"{way} {count}" for way, count in list(evidence.joins.failures.items())[:3])
        return not good, f"{total.seen}{f': {ways}' if ways else ''}"

    expected = f"{thresholds['join_success']:.0%} of at least {thresholds['min_joins']} joins succeed"
    call = "logs:StartQuery"
    evidence.look("joins_failing", ("joins",), failing, expected=expected, call=call)
    evidence.look(
        "joins_missing",
        ("joins",),
        lambda: (not evidence.joins.total.joins, evidence.joins.total.seen),
        expected="the application tells of joins",
        call=call,
    )


def _clusters(evidence: TelehealthEvidence) -> None:
    """Whether all who cannot join have one thing in common."""
    thresholds = evidence.thresholds
    joins: Joins | None = evidence.readings.values.get("joins")
    found = {part: _culprit(joins, part, thresholds) if joins else None for part in _COMMON.values()}

    def one(part: str) -> tuple[bool | None, str]:
        named = found[part]
        if named:
            return True, named.seen
        if evidence.joins.total.bad < thresholds["min_failures"]:
            return False, evidence.joins.total.seen
        words = part.replace("_", " ")
        # Where another part explains the failures, others with the same value of this one are well.
        if len(evidence.joins.by(part)) == 1 and not any(found.values()):
            return None, f"all joins have the same {words}, so there is nothing to compare"
        return False, f"joins do not fail by {words}"

    for name, part in _COMMON.items():
        named = found[part]
        evidence.subjects[f"bad_{part}"] = named.value if named else None
        evidence.look(
            name,
            ("joins",),
            partial(one, part),
            expected=f"no {part.replace('_', ' ')} has all the failures",
            call="logs:StartQuery",
        )


def _culprit(joins: Joins, part: str, thresholds: Json) -> Culprit | None:
    return culprit(
        joins,
        part,
        explains=thresholds["explains_share"],
        success=thresholds["join_success"],
        least=thresholds["min_failures"],
    )


def _region(evidence: TelehealthEvidence) -> None:
    thresholds = evidence.thresholds

    def far() -> tuple[bool | None, str]:
        region = evidence.flag(REGION).value
        here: Pace | None = next((pace for pace in evidence.read("pace") if pace.region == region), None)
        if here is None or here.rtt_ms is None or here.joins < thresholds["min_joins"]:
            return False, f"too few joins in {region or 'no region'} to measure"
        return here.rtt_ms > thresholds["relay_rtt_ms"], f"{here.rtt_ms:.0f} ms in {region}"

    evidence.look(
        "region_far",
        ("pace", f"{REGION}_flag"),
        far,
        expected=f"at most {thresholds['relay_rtt_ms']} ms to the relay and back",
        call="logs:StartQuery",
    )


def _quality(evidence: TelehealthEvidence) -> None:
    thresholds = evidence.thresholds

    def poor() -> tuple[bool | None, str]:
        total = evidence.joins.total
        if total.good < thresholds["min_joins"]:
            return False, f"{total.good} consultations are too few to tell"
        share = total.poor / total.good
        return share > thresholds["poor_share"], f"{share:.0%} of {total.good} were of poor quality"

    def slow() -> tuple[bool | None, str]:
        paces = [pace for pace in evidence.read("pace") if pace.joins >= thresholds["min_joins"]]
        if not paces:
            return False, "too few joins to measure"
        worst = max(paces, key=lambda pace: pace.p95_ms)
        return worst.p95_ms > thresholds["media_slow_ms"], f"P95 {worst.p95_ms:.0f} ms in {worst.region}"

    call = "logs:StartQuery"
    evidence.look(
        "quality_poor",
        ("joins",),
        poor,
        expected=f"at most {thresholds['poor_share']:.0%} with loss above 5 %, 400 ms or 50 ms of jitter",
        call=call,
    )
    evidence.look(
        "media_slow",
        ("pace",),
        slow,
        expected=f"sound and pictures within {thresholds['media_slow_ms']} ms (P95)",
        call=call,
    )
