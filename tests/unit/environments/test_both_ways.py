"""What was called may be called; what may be called was called, or no test makes the call for a stated reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from daily_emr_runbooks.calls import Sources
from daily_emr_runbooks.permissions import (
    BUILDER,
    CHECKED,
    KEYS,
    action,
    actions,
    modules_behind,
    tagging,
    unseen,
)
from tests.recording import recorded, undeclared
from tests.unit.environments.conftest import ROOT, names

UNSEEN = unseen(ROOT)
BUILT = set((ROOT / BUILDER).read_text().split())
RECORDED = set().union(*recorded().values())


def sites(sources: Sources, policies: Iterable[str]) -> dict[str, set]:
    """What the modules behind each of these policies may call."""
    behind = modules_behind(ROOT)
    building = behind.pop("bootstrap")
    behind |= dict.fromkeys((name for name in policies if name.startswith("bootstrap-")), building)
    return {policy: {site for one in some for site in sources.calls(one)} for policy, some in behind.items()}


@pytest.fixture(scope="module")
def declared(sources: Sources, made: dict[str, Any]) -> dict[str, set]:
    return sites(sources, made)


def test_what_was_recorded_is_declared():
    assert undeclared(RECORDED) == []


def test_a_call_that_nobody_declares_is_told():
    assert undeclared({("_waf", "wafv2:DeleteWebACL")}) == [
        "_waf made wafv2:DeleteWebACL and does not declare it: no policy of IAM lets it through."
    ]


def test_what_may_be_called_was_recorded_or_has_a_reason(declared):
    seen = RECORDED
    anywhere = {call for file, call in seen if not file}
    missing = defaultdict(set)
    building = {site for policy, some in declared.items() if policy.startswith("bootstrap") for site in some}
    for site in {site for some in declared.values() for site in some}:
        built = site in building and site.call in BUILT
        if not built and (site.file, site.call) not in seen and site.call not in anywhere:
            missing[site.file].add(site.call)
    told = {file: set(calls) for file, calls in UNSEEN.items() if file != "bootstrap"}
    assert {file: sorted(calls) for file, calls in missing.items()} == {
        file: sorted(calls) for file, calls in told.items()
    }


def test_what_bootstrap_was_seen_to_call_needs_no_reason():
    assert set(UNSEEN["bootstrap"]) & BUILT == set()


def test_each_reason_is_a_sentence():
    assert [reason for calls in UNSEEN.values() for reason in calls.values() if not reason.endswith(".")] == []


def test_a_policy_allows_nothing_that_is_not_called(made, declared):
    assert declared.keys() == made.keys()
    recording = {*BUILT, *UNSEEN["bootstrap"]}
    for policy, some in declared.items():
        called = actions(some)
        if policy.startswith("bootstrap"):
            called |= {one for call in recording for one in action(*call.split(":"))} | {
                "iam:PassRole",
                "iam:CreateServiceLinkedRole",
                "kms:CreateGrant",
            }
            called |= {one for name in called for one in tagging(name)}
        called |= {other for one in called for other in (*KEYS.get(one, ()), *CHECKED.get(one, ()))}
        assert names(made[policy]) - called == set(), policy
