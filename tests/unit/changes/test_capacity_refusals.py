"""Capacity and zones: each refusal next to its control, the same world without the reason."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from .conftest import Runner, Serve
from .world import Json, Spoil, World, ago, setting

SHIFT = {"away_from": "afs1-az1", "expires_in": "2h"}

OTHERS: list[tuple[str, Json, str, Spoil]] = [
    (
        "ecs_service_count",
        {},
        "planned maintenance",
        lambda world, _serve: world.service_tags.update(maintenance="yes"),
    ),
    ("ecs_service_count", {"at_least": 4}, "above the scaling maximum of 3", setting("maximum", 3)),
    ("ecs_service_count", {}, "has no scaling minimum", setting("minimum", 0)),
    ("ecs_service_count", {}, "only an ACTIVE service has a count", setting("status", "DRAINING")),
    (
        "ecs_service_scaling",
        {"minimum": 4},
        "The CPU of the database is at 93 %",
        lambda world, _serve: world.metrics.update(CPUUtilization=93.0),
    ),
    (
        "ecs_service_scaling",
        {"minimum": 4},
        "The CPU of the cache is at 71 %",
        lambda world, _serve: world.metrics.update(EngineCPUUtilization=71.0),
    ),
    (
        "ecs_service_scaling",
        {"minimum": 4},
        "would need 20 connections, the database has 10 to give",
        lambda world, _serve: world.metrics.update(DatabaseConnections=150.0),
    ),
    ("ecs_service_scaling", {"minimum": 4}, "above the scaling maximum of 3", setting("maximum", 3)),
    ("ecs_service_scaling", {"minimum": 4}, "Scaling out is suspended", setting("suspended", True)),
    (
        "ecs_service_scaling",
        {"minimum": 4},
        "The database is modifying",
        lambda world, _serve: world.database.update(status="modifying"),
    ),
    (
        "ecs_service_scaling",
        {"minimum": 4},
        "has no value in the last 300 s",
        lambda world, _serve: world.metrics.pop("CPUUtilization"),
    ),
    (
        "ecs_service_scaling",
        {"minimum": 4},
        "set the option max_connections",
        setting("max_connections", "{DBInstanceClassMemory/9531392}"),
    ),
    (
        "zonal_shift",
        SHIFT,
        "1 healthy task in the remaining zones cannot carry the load of 2",
        lambda world, _serve: world.metrics.update(CPUUtilization=60.0),
    ),
    ("zonal_shift", SHIFT, "1 target in the remaining zones fail too", lambda world, _serve: world.unhealthy.add("b")),
    ("zonal_shift", SHIFT, "Zonal shift is not enabled", setting("shifts", None)),
    (
        "zonal_shift",
        SHIFT,
        "already shifted away from afs1-az2",
        lambda world, _serve: (
            world.arc_zonal_shift_StartZonalShift(
                {"awayFrom": "afs1-az2", "resourceIdentifier": "arn:aws:lb", "comment": "x"}
            )
            and None
        ),
    ),
    ("zonal_shift", SHIFT, "The database is in that zone", setting("zone_of_database", "af-south-1a")),
]


@pytest.mark.parametrize(("module", "args", "sentence", "spoil"), OTHERS, ids=[f"{row[0]}-{row[2]}" for row in OTHERS])
def test_capacity_and_zones(
    module: str, args: Json, sentence: str, spoil: Spoil, world: World, serve: Serve, run: Runner
) -> None:
    if module == "ecs_service_count":
        world.desired = 0

    refusals = run.refusals(serve, module, args, spoil)

    assert any(sentence in text for text in refusals), refusals


def test_the_database_in_the_zone_is_no_reason_when_the_others_reach_it(
    world: World, serve: Serve, run: Runner
) -> None:
    serve.ready("127.0.0.1", database=None, cache=None)
    run.service["port"] = serve.port
    world.tasks[1]["address"] = "127.0.0.1"
    world.zone_of_database = "af-south-1a"

    assert run.plan("zonal_shift", SHIFT)["outcome"] == "planned"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"away_from": "afs1-az9", "expires_in": "2h"}, "afs1-az9 is not a zone of the load balancer"),
        ({"away_from": "afs1-az1"}, "is not between 1m and 72h"),
        ({"away_from": "afs1-az1", "expires_in": "73h"}, "is not between 1m and 72h"),
        ({"away_from": "afs1-az1", "expires_in": "0m"}, "is not between 1m and 72h"),
        ({"away_from": "afs1-az1", "expires_in": "2 hours"}, "is not between 1m and 72h"),
    ],
)
@pytest.mark.usefixtures("world")
def test_a_shift_needs_a_zone_and_an_end(args: Json, sentence: str, run: Runner) -> None:
    result = run.plan("zonal_shift", args)
    assert any(sentence in text for text in result["refusals"]), result


def test_lowering_the_minimum_asks_no_database(world: World, run: Runner) -> None:
    world.minimum, world.metrics = 4, {}
    assert run.plan("ecs_service_scaling", {"minimum": 2, "lower": True})["outcome"] == "planned"
    assert run.plan("ecs_service_scaling", {"minimum": 0, "lower": True})["outcome"] == "refused"


@pytest.mark.usefixtures("world")
def test_capacity_is_not_taken_away_by_mistake(run: Runner) -> None:
    refused = run.plan("ecs_service_scaling", {"minimum": 1})
    assert "1 is below the minimum of 2, which would take capacity away" in refused["refusals"][0]


def test_a_shift_that_aws_started_is_not_ours_to_end(world: World, run: Runner) -> None:
    world.autoshifts = [{"appliedStatus": "APPLIED", "awayFrom": "afs1-az1", "startTime": ago()}]

    result = run("zonal_shift", state="absent")

    assert "The shift was started by AWS (autoshift)" in result["msg"]
    assert world.mutations == []


def test_a_count_of_nothing_is_no_count(world: World, run: Runner) -> None:
    world.desired, world.minimum = 0, 0

    result = run("ecs_service_count", at_least=0)

    assert "would leave the service without tasks" in result["msg"]
    assert world.mutations == []


class TestCap:
    """A lower maximum takes load away from what the tasks lean on."""

    CAP = MappingProxyType({"maximum": 3, "lower": True})

    def test_check_apply_check_apply(self, world: World, run: Runner) -> None:
        world.minimum, world.metrics = 4, {}
        plan = run.plan("ecs_service_scaling", dict(self.CAP))
        assert plan["diff"] == {"before": {"minimum": 4, "maximum": 6}, "after": {"minimum": 3, "maximum": 3}}
        assert run("ecs_service_scaling", **self.CAP)["outcome"] == "ok"
        assert (world.minimum, world.maximum) == (3, 3)
        for check in (True, False):
            assert run("ecs_service_scaling", check=check, **self.CAP)["outcome"] == "noop"
        assert len(world.mutations) == 1

    def test_a_minimum_that_fits_is_kept(self, world: World, run: Runner) -> None:
        run("ecs_service_scaling", **self.CAP)
        assert (world.minimum, world.maximum) == (2, 3)

    def test_undo_restores_both(self, world: World, run: Runner) -> None:
        world.minimum = 4
        undo = run("ecs_service_scaling", **self.CAP)["undo"]
        args = {key: value for key, value in undo["args"].items() if key != "service"}
        assert run("ecs_service_scaling", **args)["outcome"] == "ok"
        assert (world.minimum, world.maximum) == (4, 6)

    @pytest.mark.parametrize(
        ("args", "sentence"),
        [
            ({"maximum": 1, "lower": True}, "the loss of one task would be an outage"),
            ({"maximum": 3}, "3 is below the maximum of 6, which would take capacity away"),
            ({"maximum": 3, "minimum": 4, "lower": True}, "4 tasks are above the scaling maximum of 3"),
            ({}, "Neither minimum nor maximum is given"),
        ],
    )
    def test_refused(self, args: Json, sentence: str, world: World, run: Runner) -> None:
        result = run("ecs_service_scaling", **args)
        assert (result["refused"], world.mutations) == (True, [])
        assert sentence in result["msg"]
