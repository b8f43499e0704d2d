"""The LaunchDarkly stand-in, over HTTP as a runbook uses it."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from daily_emr_sandbox.launchdarkly import LaunchDarkly, now_ms
from daily_emr_sandbox.loop import LoopThread
from daily_emr_sandbox.settings import Settings

FLAG = "/api/v2/flags/daily-emr/new-chart-view"
PATCH_TYPE = "application/json; domain-model=launchdarkly.semanticpatch"


@pytest.fixture
def service(settings: Settings, loop: LoopThread) -> Iterator[LaunchDarkly]:
    built = LaunchDarkly(settings, loop)
    built.start()
    yield built
    built.stop()


class Operator:
    """Calls with the token that the sandbox left in its file."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.token = settings.launchdarkly_token_file.read_text()

    def send(
        self, method: str, path: str, body: Any = None, content_type: str = PATCH_TYPE
    ) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            self._settings.launchdarkly_url + path,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": self.token, "Content-Type": content_type},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def turn(self, kind: str, query: str = "") -> tuple[int, dict[str, Any]]:
        body = {"environmentKey": "sandbox", "instructions": [{"kind": kind}], "comment": "INC-1"}
        return self.send("PATCH", FLAG + query, body)

    def on(self) -> bool:
        return self.send("GET", f"{FLAG}?env=sandbox")[1]["environments"]["sandbox"]["on"]


@pytest.fixture
def operator(service: LaunchDarkly, settings: Settings) -> Operator:  # noqa: ARG001 - it must run
    return Operator(settings)


def test_the_token_is_private_and_needed(operator: Operator, settings: Settings) -> None:
    assert settings.launchdarkly_token_file.stat().st_mode & 0o077 == 0
    assert operator.send("GET", FLAG)[0] == 200
    operator.token = "another"
    assert operator.send("GET", FLAG)[0] == 401
    assert operator.turn("turnFlagOn")[0] == 401


def test_flags_are_listed_with_tags_and_state(operator: Operator) -> None:
    status, answer = operator.send("GET", "/api/v2/flags/daily-emr?env=sandbox")

    flags = {flag["key"]: flag for flag in answer["items"]}
    assert status == 200
    assert "route:/api/charts" in flags["new-chart-view"]["tags"]
    assert flags["new-chart-view"]["environments"]["sandbox"]["on"] is False
    assert now_ms() - flags["new-chart-view"]["environments"]["sandbox"]["lastModified"] > 24 * 3600 * 1000
    assert "migration" in flags["chart-dual-write"]["tags"]
    assert "safety" in flags["allergy-interlock"]["tags"]


def test_turning_a_flag_changes_it_once_and_leaves_a_trace(operator: Operator, service: LaunchDarkly) -> None:
    before = now_ms() - 1
    version = operator.send("GET", FLAG)[1]["environments"]["sandbox"]["version"]

    status, flag = operator.turn("turnFlagOn")
    operator.turn("turnFlagOn")

    assert (status, flag["environments"]["sandbox"]["on"]) == (200, True)
    assert operator.on() is True
    assert operator.send("GET", FLAG)[1]["environments"]["sandbox"]["version"] == version + 1
    audit = operator.send("GET", f"/api/v2/auditlog?after={before}")[1]["items"]
    assert [(entry["name"], entry["titleVerb"], entry["comment"]) for entry in audit] == [
        ("new-chart-view", "turned on the flag", "INC-1")
    ]
    assert operator.send("GET", f"/api/v2/auditlog?after={now_ms()}")[1]["items"] == []
    assert [(entry["instructions"], entry["status"]) for entry in service.log()] == [(["turnFlagOn"], 200)] * 2


def test_a_flag_of_several_variations_serves_the_one_that_it_was_told(
    operator: Operator, service: LaunchDarkly, settings: Settings
) -> None:
    path = "/api/v2/flags/daily-emr/telehealth-provider"
    flag = operator.send("GET", path)[1]
    ids = {variation["value"]: variation["_id"] for variation in flag["variations"]}

    def serve(variation: str, query: str = "") -> tuple[int, dict[str, Any]]:
        instruction = {"kind": "updateFallthroughVariationOrRollout", "variationId": variation}
        return operator.send("PATCH", path + query, {"environmentKey": "sandbox", "instructions": [instruction]})

    def served() -> str:
        with urllib.request.urlopen(f"{settings.launchdarkly_url}/sdk/latest-all", timeout=10) as answer:
            return json.load(answer)["flags"]["telehealth-provider"]["value"]

    before = now_ms() - 1
    assert (flag["kind"], set(ids), served()) == ("multivariate", {"primary", "secondary"}, "primary")
    status, preview = serve(ids["secondary"], "?dryRun=true")
    assert (status, preview["environments"]["sandbox"]["fallthrough"]) == (200, {"variation": 1})
    assert served() == "primary"
    status, changed = serve(ids["secondary"])
    assert (status, changed["environments"]["sandbox"]["on"]) == (200, True)
    assert changed["environments"]["sandbox"]["lastModified"] > before
    assert served() == "secondary"
    assert serve("another")[0] == 400
    assert served() == "secondary"
    assert [(entry["value"], entry["dry_run"], entry["status"]) for entry in service.log()] == [
        ("secondary", True, 200),
        ("secondary", False, 200),
        (None, False, 400),
    ]
    service.restore("telehealth-provider")
    restored = operator.send("GET", path)[1]["environments"]["sandbox"]
    assert (served(), restored["lastModified"] < before) == ("primary", True)
    assert operator.send("GET", f"/api/v2/auditlog?after={before}")[1]["items"] == []


def test_a_dry_run_shows_the_flag_as_it_would_be(operator: Operator, service: LaunchDarkly) -> None:
    status, preview = operator.turn("turnFlagOn", "?dryRun=true")

    assert (status, preview["environments"]["sandbox"]["on"]) == (200, True)
    assert operator.on() is False
    assert [entry["dry_run"] for entry in service.log()] == [True]


def test_an_environment_with_approvals_refuses_and_changes_nothing(operator: Operator, service: LaunchDarkly) -> None:
    service.require_approval(True)

    assert operator.turn("turnFlagOn")[0] == 405
    assert operator.turn("turnFlagOn", "?dryRun=true")[0] == 405
    service.require_approval(False)
    assert operator.on() is False
    assert operator.turn("turnFlagOn")[0] == 200


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ({"environmentKey": "sandbox", "instructions": [{"kind": "turnFlagOff"}]}, "application/json"),
        ({"environmentKey": "sandbox", "instructions": [{"kind": "deleteFlag"}]}, PATCH_TYPE),
        ({"environmentKey": "sandbox", "instructions": []}, PATCH_TYPE),
        (["turnFlagOff"], PATCH_TYPE),
    ],
)
def test_what_is_not_a_semantic_patch_is_refused(operator: Operator, body: Any, content_type: str) -> None:
    assert operator.send("PATCH", FLAG, body, content_type)[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/flags/daily-emr/unknown-flag",
        "/api/v2/flags/another-project/new-chart-view",
        "/api/v2/flags/daily-emr/new-chart-view?env=production",
    ],
)
def test_what_does_not_exist_is_not_found(operator: Operator, path: str) -> None:
    assert operator.send("GET", path)[0] == 404


@pytest.mark.parametrize(("kind", "changed"), [("drop_before", False), ("drop_after", True)])
def test_a_dropped_answer_hides_whether_it_was_done(
    operator: Operator, service: LaunchDarkly, kind: str, changed: bool
) -> None:
    service.add_fault({"kind": kind})

    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError, urllib.error.URLError)):
        operator.turn("turnFlagOn")

    assert operator.on() is changed
    assert [entry["fault"] for entry in service.log()] == [kind]
    assert operator.turn("turnFlagOn")[0] == 200, "the fault hits one request"


def test_a_fault_lets_a_dry_run_pass_and_waits_for_the_real_request(operator: Operator, service: LaunchDarkly) -> None:
    service.add_fault({"kind": "error", "status": 503})

    assert operator.turn("turnFlagOn", "?dryRun=true")[0] == 200
    assert operator.turn("turnFlagOn")[0] == 503
    assert operator.on() is False


def test_an_unknown_fault_names_the_known_ones(service: LaunchDarkly) -> None:
    with pytest.raises(ValueError, match="drop_after"):
        service.add_fault({"kind": "explode"})
