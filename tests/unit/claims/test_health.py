"""One look at a claims API: what it sees from here and of the workers, and what it never shows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.unit.changes.world import Json, ago
from tests.unit.claims.conftest import CACHED, CANARIES, CIRCUIT, THRESHOLDS, Claims
from tests.unit.claims.sha import OLD_KEY, Server, Sha

Servers = dict[str, tuple[Server, Sha]]


def look(claims: Claims, **more: object) -> Json:
    result = claims.read("claims_api_health", **more)
    assert not result.get("failed"), result["msg"]
    return result


def test_a_healthy_api_has_no_finding_and_no_unknown(claims: Claims) -> None:
    result = look(claims)
    assert {item["status"] for item in result["observations"]} == {"ok"}, result["sentence"]
    assert result["healthy"] is True
    assert result["facts"]["claims"] == {"acked": 40}
    assert claims.sha.asked("submit") == []
    assert claims.outbox.sent == []


def test_it_does_the_same_in_check_mode(claims: Claims) -> None:
    assert look(claims, check=True)["healthy"] is True
    assert [name for name, _at in claims.sha.requests] == ["token", "facility"]


def keyless(claims: Claims) -> None:
    claims.sha.keys = []


def failing(operation: str, status: int) -> Callable[[Claims], object]:
    return lambda claims: claims.sha.statuses.update({operation: status})


def answers(*entries: tuple[str, int]) -> Callable[[Claims], None]:
    def spoil(claims: Claims) -> None:
        claims.outbox.attempts.clear()
        for outcome, calls in entries:
            claims.outbox.tried(outcome, calls)

    return spoil


def flag_on(key: str) -> Callable[[Claims], object]:
    return lambda claims: claims.provider.flags[key]["environments"]["sandbox"].update({"on": True})


def near(claims: Claims, state: str) -> None:
    """A claim in this state is due soon."""
    claims.outbox.claims.clear()
    claims.outbox.add(state, age_s=1.0)
    claims.outbox.due = 1


# Observation -> what makes it a finding, and the near miss that does not.
RULES: dict[str, tuple[Callable[[Claims], object], Callable[[Claims], object]]] = {
    "api_down": (failing("facility", 503), failing("facility", 429)),
    "credentials_refused": (keyless, failing("token", 503)),
    "throttled_here": (failing("facility", 429), failing("facility", 403)),
    "clock_skewed": (lambda c: setattr(c.sha, "skew_s", 130.0), lambda c: setattr(c.sha, "skew_s", 100.0)),
    "submissions_failing": (answers(("acked", 15), ("timeout", 5)), answers(("acked", 16), ("timeout", 4))),
    "submissions_unauthorized": (
        answers(("acked", 18), ("unauthorized", 2)),
        answers(("acked", 19), ("unauthorized", 1)),
    ),
    "submissions_rejected": (answers(("acked", 15), ("rejected", 5)), answers(("acked", 16), ("rejected", 4))),
    "submissions_throttled": (answers(("acked", 39), ("throttled", 1)), answers(("acked", 39), ("server_error", 1))),
    "submissions_slow": (
        lambda c: c.outbox.tried("acked", 20, p95_ms=10001),
        lambda c: c.outbox.tried("acked", 20, p95_ms=10000),
    ),
    "egress_failing": (answers(("acked", 15), ("connect", 5)), answers(("acked", 15), ("timeout", 5))),
    "unknown_outcomes": (lambda c: c.outbox.add("unknown", age_s=1.0), lambda c: c.outbox.add("sending", age_s=1.0)),
    "claims_waiting": (lambda c: c.outbox.add("ready", age_s=901.0), lambda c: c.outbox.add("ready", age_s=899.0)),
    "claims_put_off": (
        lambda c: c.outbox.add("deferred", age_s=301.0),
        lambda c: (c.outbox.add("deferred", age_s=301.0), flag_on(CIRCUIT)(c)),
    ),
    "deadline_near": (lambda c: near(c, "deferred"), lambda c: near(c, "acked")),
    "duplicates_found": (lambda c: c.outbox.add("acked", copies=2), lambda c: c.outbox.add("acked", copies=1)),
    "totals_differ": (lambda c: c.outbox.add("acked", sent=False), lambda c: c.outbox.add("rejected")),
    "claims_held": (flag_on(CIRCUIT), flag_on(CACHED)),
    "eligibility_unverified": (flag_on(CACHED), flag_on(CIRCUIT)),
    "eligibility_failing": (
        lambda c: setattr(c.world, "log", [({"status": 200}, 15), ({"status": 504}, 5)]),
        lambda c: setattr(c.world, "log", [({"status": 200}, 16), ({"status": 504}, 4)]),
    ),
    "key_pending": (
        lambda c: c.world.versions.update(AWSPENDING=("p" * 32, OLD_KEY, ago(days=1))),
        lambda c: c.world.versions.update(AWSPENDING=("p" * 32, OLD_KEY, ago(days=31))),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_at_its_edge(claims: Claims, name: str) -> None:
    spoil, _near_miss = RULES[name]
    spoil(claims)
    assert name in claims.status(look(claims), "finding")


@pytest.mark.parametrize("name", RULES)
def test_the_near_miss_is_no_finding(claims: Claims, name: str) -> None:
    _spoil, near_miss = RULES[name]
    near_miss(claims)
    assert name not in claims.status(look(claims), "finding")


def test_a_refused_key_and_a_rejected_claim_are_no_outage(claims: Claims) -> None:
    keyless(claims)
    answers(("acked", 2), ("rejected", 30))(claims)
    result = look(claims)
    assert {"credentials_refused", "submissions_rejected"} <= claims.status(result, "finding")
    assert not {"api_down", "submissions_failing"} & claims.status(result, "finding")


def test_a_failure_is_tried_three_times_and_an_answer_once(claims: Claims) -> None:
    look(claims)
    assert len(claims.sha.asked("facility")) == 1
    claims.sha.statuses["facility"] = 503
    look(claims)
    assert len(claims.sha.asked("facility")) == 4


def test_a_failure_that_takes_long_is_tried_once(claims: Claims) -> None:
    claims.sha.silent.add("facility")
    result = look(claims, thresholds={**THRESHOLDS, "probe_timeout_s": 1})
    assert "api_down" in claims.status(result, "finding")
    assert len(claims.sha.asked("facility")) == 1


@pytest.mark.parametrize(("tls", "words"), [("expired", "certificate expired"), ("foreign", "certificate not trusted")])
def test_a_certificate_that_is_not_proved_stops_everything_behind_it(
    claims: Claims, servers: Servers, tls: str, words: str
) -> None:
    server, sha = servers[tls]
    sha.requests.clear()
    claims.serve(server)
    result = look(claims)
    found = {item["name"]: item for item in result["observations"]}
    assert words in found["certificate_invalid"]["seen"]
    assert found["credentials_refused"]["status"] == "unknown"
    assert "api_down" not in claims.status(result, "finding"), "it is not an outage"
    assert sha.requests == [], "the key is sent to nobody who is not proved"


def test_a_port_that_nobody_listens_on_and_a_name_that_stands_for_nothing(claims: Claims) -> None:
    claims.settings["base_url"] = "https://127.0.0.1:9"
    assert {"endpoint_unreachable", "api_down"} <= claims.status(look(claims), "finding")


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "https://payer.example", "https://192.0.2.1"])
def test_the_sandbox_asks_nobody_outside_of_this_machine(claims: Claims, address: str) -> None:
    claims.settings["base_url"] = address
    result = claims.read("claims_api_health")
    assert result["refused"] is True


def test_a_facility_that_is_not_known_is_neither_up_nor_down(claims: Claims) -> None:
    claims.settings["facility_id"] = "FID-0"
    result = look(claims)
    assert "api_down" in claims.status(result, "unknown")
    assert result["healthy"] is None


def held(claims: Claims, minutes: float) -> None:
    """Claims are held for so long; what was sent before is not in the last five minutes any more."""
    flag_on(CIRCUIT)(claims)
    here = claims.provider.flags[CIRCUIT]["environments"]["sandbox"]
    here["lastModified"] = int(ago(minutes=minutes).timestamp() * 1000)


@pytest.mark.parametrize(
    ("attempts", "redriven", "found"),
    [
        ((("acked", 5), ("rejected", 25)), (), True),
        ((("acked", 28), ("rejected", 2)), (), False),
        ((("rejected", 3),), (), False),
        # A redrive sends little, and one claim that it burnt is enough.
        ((("timeout", 40),), (("INC-1/1", "rejected", 1, 10),), True),
        ((("timeout", 40),), (("INC-1/1", "acked", 1, 10), ("INC-1/2", "acked", 5, 11)), False),
        ((("timeout", 40),), (("INC-1/1", "acked", 1, 10), ("INC-1/2", "rejected", 1, 11)), True),
        ((("timeout", 40),), (("INC-1/1", "rejected", 1, 10), ("INC-2/1", "acked", 1, 20)), False),
        ((("timeout", 40),), (("INC-1/6", "acked", 59, 10), ("INC-1/6", "rejected", 3, 11)), False),
        ((("timeout", 40),), (("INC-1/6", "acked", 57, 10), ("INC-1/6", "rejected", 4, 11)), True),
    ],
)
def test_held_claims_whose_like_was_rejected_last(
    claims: Claims, attempts: tuple[tuple[str, int], ...], redriven: tuple[tuple[str, str, int, int], ...], found: bool
) -> None:
    """Before they were held, or in the last step of a redrive since."""
    held(claims, minutes=60)
    answers(*attempts)(claims)
    for step in redriven:
        claims.outbox.redrove(*step)
    assert ("rejected_last" in claims.status(look(claims), "finding")) is found
    since = (datetime.now(UTC) - ago(minutes=65)).total_seconds()
    assert max(claims.outbox.windows) == pytest.approx(since, abs=10), "from before they were held"

    mended = look(claims, rejections_mended=True)
    assert "rejected_last" in claims.status(mended, "ok"), "nothing but a person says that it is mended"


def test_while_claims_flow_nothing_older_is_asked_for(claims: Claims) -> None:
    answers(("rejected", 40))(claims)
    assert "rejected_last" in claims.status(look(claims), "ok")
    assert claims.outbox.windows == [300.0]


LOST = {
    "GetSecretValue": {"credentials_refused", "api_down", "throttled_here"},
    "DescribeDBInstances": {"submissions_failing", "unknown_outcomes", "totals_differ", "claims_waiting"},
    "StartQuery": {"eligibility_failing"},
    "ListSecretVersionIds": {"key_pending"},
}


@pytest.mark.parametrize("operation", LOST)
def test_what_could_not_be_read_is_unknown_never_ok(claims: Claims, operation: str) -> None:
    claims.world.broken.add(operation)
    result = look(claims)
    assert LOST[operation] <= claims.status(result, "unknown")
    assert claims.status(result, "finding") == set()
    assert result["healthy"] is (True if operation == "ListSecretVersionIds" else None)


def test_a_flag_that_is_missing_is_unknown(claims: Claims) -> None:
    del claims.provider.flags[CIRCUIT]
    assert {"claims_held", "eligibility_unverified"} <= claims.status(look(claims), "unknown")


def test_a_secret_in_another_form_is_unknown_and_is_not_shown(claims: Claims) -> None:
    claims.world.versions["AWSCURRENT"] = ("v" * 32, {"wrong": CANARIES[0]}, ago(days=1))
    assert "credentials_refused" in claims.status(look(claims), "unknown")


def test_the_control_finds_what_is_planted(claims: Claims) -> None:
    """Every look above was searched for what was planted; the same search finds it where it is."""
    (claims.folder / "leak.log").write_text(f"Patient {CANARIES[-1]}")
    with pytest.raises(AssertionError):
        claims.clean({})
