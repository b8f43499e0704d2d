"""What tasks write arrives in their log group, once and whole, and neither group nor file grows for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daily_emr_sandbox.compute import awslogs
from daily_emr_sandbox.compute.awslogs import Followed, LogDriver, check_logging, deliver
from daily_emr_sandbox.compute.images import StartError
from daily_emr_sandbox.loop import wait_until

from tests.sandbox.aws_only import Aws, running_aws

GROUP = "/ecs/web"


def container(group: str = GROUP) -> dict[str, Any]:
    options = {"awslogs-group": group, "awslogs-region": "af-south-1", "awslogs-stream-prefix": "emr"}
    return {"name": "web", "logConfiguration": {"logDriver": "awslogs", "options": options}}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("awslogs")) as running:
        running.client("logs").create_log_group(logGroupName=GROUP)
        yield running


@pytest.fixture
def driver(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogDriver]:
    monkeypatch.setattr(awslogs, "LOOK_S", 0.05)
    made = LogDriver(aws.server, tmp_path)
    made.start()
    yield made
    made.stop()


def messages(aws: Aws, stream: str) -> list[str]:
    found = aws.client("logs").get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
    return [event["message"] for event in found["events"]]


def test_lines_arrive_when_they_are_whole(aws: Aws, driver: LogDriver, tmp_path: Path) -> None:
    with (tmp_path / "task-t1.log").open("ab", buffering=0) as out:
        out.write(b'{"time":%d,"route":"/login"}\nplain\nhalf' % (time.time() * 1000))
        driver.follow("t1", container())
        wait_until(lambda: "emr/web/t1" in aws.server.backend("logs").groups[GROUP].streams, "the stream is there")
        assert messages(aws, "emr/web/t1")[-1] == "plain"
        out.write(b" a line\n")
    driver.ended("t1")
    wait_until(lambda: len(messages(aws, "emr/web/t1")) == 3, "the last line arrived")

    assert messages(aws, "emr/web/t1")[-1] == "half a line"
    time.sleep(0.2)
    assert len(messages(aws, "emr/web/t1")) == 3, "nothing arrives twice"


def test_a_line_with_a_time_has_that_time(tmp_path: Path) -> None:
    file = tmp_path / "task.log"
    file.write_bytes(b'plain\n{"time":1795392000000,"status":200}\n\xff\n')

    dated, first, second = Followed(file, GROUP, "s").read()

    assert dated == {"timestamp": 1_795_392_000_000, "message": '{"time":1795392000000,"status":200}'}
    assert abs(first["timestamp"] / 1000 - time.time()) < 60
    assert second["message"] == "\N{REPLACEMENT CHARACTER}"


def test_a_long_file_is_emptied_when_it_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awslogs, "FILE_BYTES", 10)
    file = tmp_path / "task.log"
    followed = Followed(file, GROUP, "s")
    with file.open("ab", buffering=0) as out:
        out.write(b"the first line\n")
        assert len(followed.read()) == 1
        assert file.stat().st_size == 0
        out.write(b"the second line\n")
    assert [event["message"] for event in followed.read()] == ["the second line"]


def test_a_group_keeps_its_newest_events(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awslogs, "EVENTS_KEPT", 5)
    aws.client("logs").create_log_group(logGroupName="/ecs/small")
    now = int(time.time() * 1000)
    with aws.server.mutex:
        logs = aws.server.backend("logs")
        for stream in ("old", "new"):
            events = [{"timestamp": now + number, "message": f"{stream} {number}"} for number in range(4)]
            deliver(logs, "/ecs/small", stream, events)
        kept = {
            name: [event.message for event in one.events] for name, one in logs.groups["/ecs/small"].streams.items()
        }
    assert kept == {"old": ["old 3"], "new": ["new 0", "new 1", "new 2", "new 3"]}


def test_a_task_does_not_start_without_its_log_group(aws: Aws) -> None:
    check_logging(aws.server, container())
    check_logging(aws.server, {"name": "web"})
    with pytest.raises(StartError, match="The specified log group does not exist"):
        check_logging(aws.server, container("/ecs/forgotten"))
