"""One look at live telehealth: what it sees, what it does not, and what it leaves behind."""

from __future__ import annotations

import json

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_provider import Provider, key_variable

from tests.unit.changes.world import Json

from .conftest import Telehealth
from .readings import line
from .servers import API_KEY, PASSWORD


def look(telehealth: Telehealth, *, check: bool = False) -> Json:
    result = telehealth.read("telehealth_health", check=check)
    assert not result.get("failed"), result["msg"]
    assert result["changed"] is False
    return result


def with_status(result: Json, status: str) -> set[str]:
    return {item["name"] for item in result["observations"] if item["status"] == status}


def test_healthy_telehealth_is_healthy(telehealth: Telehealth) -> None:
    result = look(telehealth)
    assert with_status(result, "finding") | with_status(result, "unknown") == set()
    assert (result["healthy"], result["sentence"]) == (True, "emr-telehealth is healthy.")
    assert telehealth.said == [result["sentence"]]
    subjects = {"active_provider": "primary", "other_provider": "secondary", "other_region": "eu-west-1"}
    assert subjects.items() <= result["subjects"].items()
    assert result["facts"]["joins"]["isp"]["safaricom"] == {"tried": 64, "good": 64}
    assert (result["facts"]["bookings"], result["facts"]["secondary"]["sessions"]) == ({"video": 12}, 14)


@pytest.mark.parametrize("check", [False, True])
def test_check_mode_makes_no_room(telehealth: Telehealth, check: bool) -> None:
    look(telehealth, check=check)
    rooms = [] if check else ["/v1/rooms"]
    for provider in (telehealth.primary, telehealth.secondary):
        assert sorted(provider.sent("POST")) == [*rooms, "/v1/tokens"]
        assert all(body.get("test", True) is True for _method, _path, body in provider.requests)
        assert provider.relay.freed.wait(2)
    assert telehealth.sent() == []
    assert (telehealth.flags.previews, telehealth.flags.patches) == (0, [])


def test_rooms_that_cannot_be_made_are_seen_only_when_they_are_asked_for(telehealth: Telehealth) -> None:
    telehealth.primary.answers["POST /v1/rooms"] = (503, {})
    telehealth.world.joins = []
    telehealth.bot_fails("primary")
    assert with_status(look(telehealth), "finding") == {"api_down", "joins_missing"}
    assert with_status(look(telehealth, check=True), "finding") == {"joins_missing"}


# What could not be read -> observations that rest on it, among others.
LOST = {
    "GetMetricData": {"clock_skewed", "primary_recovered", "reopening_due", "webhook_silent"},
    "ListSecretVersionIds": {"secret_rotated"},
    "StartQuery": {"joins_failing", "one_isp", "api_down", "udp_blocked", "quality_poor"},
}


@pytest.mark.parametrize("operation", sorted(LOST))
def test_what_could_not_be_read_is_unknown_never_ok(telehealth: Telehealth, operation: str) -> None:
    telehealth.world.broken.add(operation)
    result = look(telehealth)
    assert LOST[operation] <= with_status(result, "unknown")
    assert with_status(result, "finding") == set()
    assert result["healthy"] is (True if operation == "ListSecretVersionIds" else None)


def test_without_flags_nobody_knows_which_provider_it_is(telehealth: Telehealth) -> None:
    telehealth.flags.flags.clear()
    result = look(telehealth)
    assert {"api_down", "media_down", "other_unusable", "bookings_by_phone"} <= with_status(result, "unknown")
    assert "joins_failing" in with_status(result, "ok")
    assert (result["healthy"], result["subjects"]["active_provider"]) == (None, None)


def test_without_a_key_a_provider_is_unknown(telehealth: Telehealth) -> None:
    (telehealth.run.folder / "telehealth_keys").write_text(json.dumps({"secondary": API_KEY}))
    result = look(telehealth)
    assert {"api_down", "key_refused", "media_down"} <= with_status(result, "unknown")
    assert "other_unusable" in with_status(result, "ok")
    assert telehealth.primary.requests == []


def test_an_api_that_is_down_leaves_the_relays_half_known(telehealth: Telehealth) -> None:
    """Without a token there is no credential: a binding still says that somebody is there."""
    telehealth.down("primary")
    telehealth.patients_fail("token_503")
    result = look(telehealth)
    assert with_status(result, "finding") == {"joins_failing", "api_down", "relay_unusable"}
    assert result["facts"]["primary"]["relays"][0].startswith("udp: bound in")
    assert ("udp", "ALLOCATE") not in telehealth.primary.relay.asked


def test_no_joins_are_an_answer_of_their_own(telehealth: Telehealth) -> None:
    telehealth.world.joins = []
    result = look(telehealth)
    assert with_status(result, "finding") == {"joins_missing"}
    assert with_status(result, "unknown") == {"joins_failing"}
    assert result["healthy"] is None


def test_one_network_is_named(telehealth: Telehealth) -> None:
    telehealth.world.joins.append(line(40, 0, isp="faiba", failure="ice"))
    telehealth.world.joins.append(line(20, 0, isp="faiba", transport="tcp", app_version="2026.46.0", failure="ice"))
    result = look(telehealth)
    assert {"joins_failing", "one_isp"} <= with_status(result, "finding")
    assert result["subjects"]["bad_isp"] == "faiba"


def test_nothing_secret_gets_out(telehealth: Telehealth) -> None:
    for what in ("GET /v1/status", "POST /v1/rooms", "GET /v1/webhooks"):
        telehealth.primary.body(what, room="consultation of Otieno", note="0712345678")
    text = json.dumps(look(telehealth))
    for planted in ("Otieno", "0712345678", "eyJ.secret", PASSWORD, API_KEY):
        assert planted not in text


def test_an_account_that_is_not_ours_ends_the_diagnosis(telehealth: Telehealth) -> None:
    telehealth.run.environment["account_id"] = "999999999999"
    result = telehealth.read("telehealth_health")
    assert (result["failed"], result["refused"]) == (True, True)
    assert telehealth.primary.requests == []


PRODUCTION = Environment("production", "1" * 12, "af-south-1", ".*", "t", "/f")
PLACE: Json = {"api_url": "https://video.test", "turn_host": "turn.test", "turn_port": 3478}


def test_outside_of_the_sandbox_the_key_comes_from_the_surroundings() -> None:
    known = {"TELEHEALTH_PRIMARY_PROBE_KEY": "k"}
    assert Provider("primary", PLACE, PRODUCTION, 3, known).name == "primary"
    assert key_variable("secondary") == "TELEHEALTH_SECONDARY_PROBE_KEY"
    with pytest.raises(OpsError, match="TELEHEALTH_SECONDARY_PROBE_KEY is not set"):
        Provider("secondary", PLACE, PRODUCTION, 3, known)


@pytest.mark.parametrize("url", ["http://video.test", "http://127.0.0.1:1", "ftp://video.test"])
def test_a_key_is_only_sent_over_https(url: str) -> None:
    with pytest.raises(OpsError, match="not an https address"):
        Provider("primary", {**PLACE, "api_url": url}, PRODUCTION, 3, {"TELEHEALTH_PRIMARY_PROBE_KEY": "k"})


def test_the_sandbox_never_leaves_this_machine(telehealth: Telehealth) -> None:
    telehealth.settings["providers"]["primary"]["api_url"] = "https://video.test"
    result = look(telehealth)
    assert "api_down" in with_status(result, "unknown")
