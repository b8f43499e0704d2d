"""Which release is the last known good one, and what a rollback to it would give up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import passed_over, proven_revisions

from .conftest import Runner, Serve
from .world import DIGESTS, World, ago

DAY_S = 86400.0
Json = dict[str, object]


NOW = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)


def deployment(revision: str, days: float, status: str = "SUCCESSFUL") -> Json:
    at = (NOW - timedelta(days=days)).isoformat()
    return {"revision": revision, "status": status, "created_at": at, "finished_at": at}


def good(*history: Json) -> list[str]:
    return proven_revisions(list(history), DAY_S, NOW.isoformat())


def test_a_deployment_that_failed_in_between_does_not_take_the_proof_away() -> None:
    history = [
        deployment("w:43", 0.1),
        deployment("w:42", 10, "ROLLBACK_SUCCESSFUL"),
        deployment("w:41", 10.1),
        deployment("w:40", 20),
    ]
    assert good(*history) == ["w:41", "w:40"]


def test_a_retry_that_failed_does_not_make_an_old_release_the_newest() -> None:
    history = [
        deployment("w:43", 0.1),
        deployment("w:40", 1, "ROLLBACK_SUCCESSFUL"),
        deployment("w:41", 10),
        deployment("w:40", 20),
    ]
    assert good(*history) == ["w:41", "w:40"]


def test_a_release_that_succeeded_and_was_replaced_soon_has_not_proved_itself() -> None:
    assert good(deployment("w:43", 1), deployment("w:42", 1.5), deployment("w:41", 10)) == ["w:43", "w:41"]


def test_a_rollback_gives_up_everything_that_came_after() -> None:
    history = [deployment("w:43", 0.1), deployment("w:42", 0.3), deployment("w:41", 10)]
    assert passed_over(history, "w:41", "w:43") == ["w:43", "w:42"]  # type: ignore[arg-type]


def test_a_rollback_does_not_pass_over_a_security_fix(
    world: World, serve: Serve, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revision 3 carries the fix and ran for hours only; 4 is bad."""
    monkeypatch.setitem(DIGESTS, 4, "sha256:" + "4" * 64)
    world.deployed(3, ago(hours=5), source=2)
    world.images |= {3, 4}
    world.task_tags[4] = {"release": "2026.48.1", "schema_compat": "13-14"}
    world.deployed(4, ago(minutes=20), source=3)
    world.revision = 4

    def fix(spoiled: World, _serve: Serve) -> None:
        spoiled.task_tags[3]["security_fix"] = "CVE-2026-1"

    refusals = run.refusals(serve, "ecs_service_release", {}, fix)

    assert any("daily-emr-sandbox-web:3 carries a security fix" in text for text in refusals), refusals


def test_a_parameter_that_a_release_needs_must_exist(world: World, run: Runner) -> None:
    world.bad_release()
    world.container_secrets = [f"arn:aws:ssm:af-south-1:123456789012:parameter{name}" for name in ("/emr/TOKEN", "/b")]
    world.parameters = {"/emr/TOKEN"}

    result = run.plan("ecs_service_release", {})

    assert any("parameter/b, which is gone" in text for text in result["refusals"]), result
    world.parameters.add("b")
    assert run.plan("ecs_service_release", {})["outcome"] == "planned"
