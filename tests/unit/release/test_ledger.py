"""A day is written once, whole, and never made worse; what is missing is said."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_days import Day, item_of

from tests.unit.core.conftest import ENVIRONMENT, TABLE, account
from tests.unit.release.conftest import House, midnight

Json = dict[str, Any]
YESTERDAY = midnight(1)
DAY = str(YESTERDAY.date())


@pytest.fixture(autouse=True)
def _late_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever time it is: a day is settled when it is over."""
    from ansible_collections.daily_emr.ops.plugins.modules import slo_ledger

    given = slo_ledger.unwritable
    monkeypatch.setattr(slo_ledger, "unwritable", lambda day, now, _settle: given(day, now, 0))


def stored(day: str = DAY) -> Json:
    found: Json = account("dynamodb").get_item(
        TableName=TABLE, Key={"pk": {"S": "slo#emr-web"}, "sk": {"S": f"day#{day}"}}
    )
    return dict(found.get("Item", {}))


def test_the_four_steps_of_a_day(house: House) -> None:
    house.count(YESTERDAY, range(1440))
    house.count(YESTERDAY, range(600, 603), 6, "ELB_5XX")
    planned = house("slo_ledger", check=True, day=DAY)
    assert (planned["outcome"], planned["changed"], stored()) == ("planned", True, {})
    assert planned["prediction"] == [f"{DAY} is kept, with 0 of 1440 minutes missing."]
    assert house.wire.count("PutItem") == 0

    done = house("slo_ledger", day=DAY)
    assert (done["outcome"], done["missing_minutes"], done["missing"]) == ("ok", 0, [])
    assert done["target"] == f"slo/emr-web/{DAY}"
    item = stored()
    assert item["requests"]["S"].startswith("0:60,60,")
    assert "6/66,6/66,6/66" in item["requests"]["S"]
    assert (item["missing"]["N"], item["source"]["S"], item["synthetic"]["S"]) == ("0", "cloudwatch", "")
    assert item["sha256"]["S"] == done["diff"]["after"]["sha256"]

    again = [house("slo_ledger", check=check, day=DAY) for check in (True, False)]
    assert [(one["outcome"], one["changed"]) for one in again] == [("noop", False)] * 2
    assert (house.wire.count("PutItem"), stored()) == (1, item)


def test_a_day_with_gaps_says_which_minutes_are_missing_and_they_are_not_0(house: House) -> None:
    house.count(YESTERDAY, range(60, 120))
    done = house("slo_ledger", day=DAY)
    assert (done["outcome"], done["missing_minutes"]) == ("ok", 1380)
    assert done["missing"] == ["00:00-00:59", "02:00-23:59"]
    assert stored()["requests"]["S"] == "60:" + ",".join(["60"] * 60)


def test_a_day_becomes_better_and_never_worse(house: House) -> None:
    house.count(YESTERDAY, range(60))
    assert house("slo_ledger", day=DAY)["outcome"] == "ok"
    house.count(YESTERDAY, range(60, 1440))
    better = house("slo_ledger", day=DAY)
    assert (better["outcome"], better["missing_minutes"]) == ("ok", 0)
    assert (better["diff"]["before"]["missing_minutes"], better["diff"]["after"]["missing_minutes"]) == (1380, 0)


def test_a_day_of_which_as_much_is_known_is_left_as_it_is(house: House) -> None:
    known = Day(YESTERDAY.date(), "0:" + ",".join(["7"] * 100), "")
    account("dynamodb").put_item(TableName=TABLE, Item=item_of("emr-web", known, "then"))
    house.count(YESTERDAY, range(100))
    assert house("slo_ledger", day=DAY)["outcome"] == "noop"
    assert stored()["written_at"]["S"] == "then"


def test_whoever_wrote_the_day_in_this_moment_wins(house: House) -> None:
    house.count(YESTERDAY, range(30))
    whole = Day(YESTERDAY.date(), "0:" + ",".join(["7"] * 1440), "")

    def first(operation: str) -> None:
        if operation == "PutItem":
            account("dynamodb").put_item(TableName=TABLE, Item=item_of("emr-web", whole, "first"))

    house.wire.watchers.append(first)
    assert house("slo_ledger", day=DAY)["outcome"] == "noop"
    assert (stored()["written_at"]["S"], stored()["missing"]["N"]) == ("first", "0")


def test_a_day_that_somebody_changed_is_written_anew(house: House) -> None:
    house.count(YESTERDAY, range(1440))
    item = item_of("emr-web", Day(YESTERDAY.date(), "0:" + ",".join(["7"] * 1440), ""), "then")
    account("dynamodb").put_item(TableName=TABLE, Item={**item, "requests": {"S": "0:9"}})
    assert house("slo_ledger", day=DAY)["outcome"] == "ok"
    assert stored()["requests"]["S"].startswith("0:60,60")


@pytest.mark.parametrize(
    ("day", "why"),
    [
        (str(midnight().date()), "is not over"),
        (str(midnight(-1).date()), "is in the future"),
        (str(midnight(16).date()), "no longer has the single minutes"),
        ("2026-02-30", "is no day"),
        ("yesterday", "is no day"),
        ("20261121", "is no day"),
    ],
)
def test_a_day_that_cannot_be_known_whole_is_refused(house: House, day: str, why: str) -> None:
    made = house("slo_ledger", day=day)
    assert (made["outcome"], made["refused"]) == ("refused", True)
    assert why in made["msg"]
    assert house.wire.count("PutItem") == 0


def test_a_reply_that_was_lost_is_looked_for_and_never_sent_again(house: House) -> None:
    house.count(YESTERDAY, range(1440))
    house.wire.lose_reply("PutItem")
    assert house("slo_ledger", day=DAY)["outcome"] == "ok"
    assert house.wire.count("PutItem") == 1


def test_metrics_that_cannot_be_read_write_nothing(house: House) -> None:
    house.wire.unreachable("GetMetricData")
    made = house("slo_ledger", day=DAY)
    assert (made["outcome"], stored()) == ("failed", {})
    assert "Nothing was changed, because a read failed" in made["msg"]


# -- the month that is read from it -----------------------------------------------------------------------------------


def test_the_month_is_read_from_the_ledger_and_live(house: House, tmp_path: Path) -> None:
    (tmp_path / "page.j2").write_text("{{ month.state }} of {{ month.component }}, {{ clocks }}")
    days = [midnight(number).date() for number in range(1, 80)]
    for day in days[1:]:
        item = item_of("emr-web", Day(day, "0:" + ",".join(["100"] * 1440), ""), "then")
        account("dynamodb").put_item(TableName=TABLE, Item=item)
    house.count(YESTERDAY, range(1440))
    made = house("slo_month", folder=str(tmp_path / "pages"), page=str(tmp_path / "page.j2"), settle_minutes=0)
    assert not made.get("failed"), made.get("msg")
    assert made["to_write"] == [DAY]
    assert made["lost"] == []
    assert made["month"]["unread"] == []
    assert made["month"]["rolling"]["ledgers"]["minutes"]["coarse"] == 0
    assert made["month"]["environment"] == ENVIRONMENT["name"]
    assert Path(made["html_file"]).read_text().startswith(f"{made['state']} of emr-web")
    assert house.wire.count("PutItem") == 0
    assert (made["changed"], made["sentence"].split(":")[0]) == (False, f"emr-web is {made['state']}")


def test_a_table_that_cannot_be_read_makes_the_month_unknown(house: House) -> None:
    house.wire.unreachable("Query")
    made = house("slo_month")
    assert (made["state"], made["month"]["days"]) == ("UNKNOWN", [])
    assert "the ledger in daily-emr-staging-runbooks cannot be read" in made["month"]["unread"][0]


def test_canaries_of_one_place_are_refused(house: House) -> None:
    made = house("slo_ledger", day=DAY, canaries=["emr-nairobi"])
    assert made["refused"]
    assert "fewer than 2 places" in made["msg"]


def test_a_folder_without_a_template_is_refused(house: House) -> None:
    assert "page is not" in house("slo_month", folder="/nowhere")["msg"]
    assert "cannot be read from /nowhere/page" in house("slo_month", folder="/nowhere", page="/nowhere/page")["msg"]


def test_what_canaries_saw_together_is_kept_with_the_day(house: House) -> None:
    data = [
        {
            "MetricName": "SuccessPercent",
            "Dimensions": [{"Name": "CanaryName", "Value": name}],
            "Timestamp": YESTERDAY + timedelta(minutes=minute),
            "Value": 0 if minute == 1 else 100,
        }
        for name in ("emr-nairobi", "emr-kisumu")
        for minute in range(3)
    ]
    account("cloudwatch").put_metric_data(Namespace="CloudWatchSynthetics", MetricData=data)
    made = house("slo_ledger", day=DAY, canaries=["emr-nairobi", "emr-kisumu"])
    assert made["missing_minutes"] == 1437
    assert stored()["synthetic"]["S"] == "0:1,1/1,1"
