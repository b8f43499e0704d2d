"""The awslogs driver: carries what containers write into the log group that their task definition names.

It reads the files of the tasks once a second, outside the mutex, and hands over what is new in one go. Both are
bounded: a group keeps its newest events, a file is emptied when it was read and has become long.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..loop import Rounds
from .images import Backends, StartError

if TYPE_CHECKING:
    from ..aws.server import AwsServer

LOOK_S = 1.0
EVENTS_KEPT = 20_000
"""Newest events of a log group: half an hour of the sandbox's traffic."""
FILE_BYTES = 4 * 1024 * 1024
READ_BYTES = 1024 * 1024
OWN_TIME = re.compile(rb'\{"time":(\d{13})[,}]')
"""A line of JSON that begins with its time: the driver of AWS knows it from the pipe, a reader of files does not."""


@dataclass
class Followed:
    """The output of one container."""

    path: Path
    group: str
    stream: str
    offset: int = 0
    ended: bool = False
    """The process is gone: what is in the file now is all."""

    def read(self) -> list[dict[str, Any]]:
        """Events of the whole lines that are new, in the form of PutLogEvents."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            new = file.read(READ_BYTES)
        whole = new[: new.rfind(b"\n") + 1]
        self.offset += len(whole)
        if self.offset > FILE_BYTES and len(whole) == len(new):
            self.path.open("r+b").truncate(0)  # the container appends: it goes on at the beginning
            self.offset = 0
        now_ms = time.time_ns() // 1_000_000
        events = []
        for line in filter(None, whole.splitlines()):
            own = OWN_TIME.match(line)
            events.append({"timestamp": int(own[1]) if own else now_ms, "message": line.decode(errors="replace")})
        return sorted(events, key=lambda event: int(event["timestamp"]))


class LogDriver(Rounds):
    """One thread for the containers of all tasks."""

    def __init__(self, aws: AwsServer, logs_dir: Path) -> None:
        super().__init__("awslogs", LOOK_S)
        self._aws, self._logs_dir = aws, logs_dir
        self._followed: dict[str, Followed] = {}
        self._lock = threading.Lock()

    def follow(self, task_id: str, container: dict[str, Any]) -> None:
        """Carry the output of a task from now on; nothing happens when its container has no awslogs."""
        if options := awslogs_options(container):
            stream = f"{options.get('awslogs-stream-prefix', container['name'])}/{container['name']}/{task_id}"
            path = self._logs_dir / f"task-{task_id}.log"
            with self._lock:
                self._followed[task_id] = Followed(path, options["awslogs-group"], stream)

    def ended(self, task_id: str) -> None:
        """The process of a task is gone: carry what is left, and forget it."""
        with self._lock:
            if found := self._followed.get(task_id):
                found.ended = True

    def _round(self) -> None:
        with self._lock:
            taken = list(self._followed.items())
            done = [task_id for task_id, followed in taken if followed.ended]
        read = [(followed, events) for _, followed in taken if (events := followed.read())]
        if read:
            with self._aws.mutex:
                for followed, events in read:
                    deliver(self._aws.backend("logs"), followed.group, followed.stream, events)
        with self._lock:
            for task_id in done:
                del self._followed[task_id]


def awslogs_options(container: dict[str, Any]) -> dict[str, str] | None:
    """Options of a container's awslogs driver, None when it has none."""
    configuration = container.get("logConfiguration") or {}
    options: dict[str, str] | None = configuration.get("options")
    return options if configuration.get("logDriver") == "awslogs" else None


def check_logging(aws: Backends, container: dict[str, Any]) -> None:
    """A container starts only where its log group is.

    Raises:
        StartError: it is not there.
    """
    options = awslogs_options(container)
    if options and options["awslogs-group"] not in aws.backend("logs").groups:
        raise StartError(
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
            "failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist."
        )


def deliver(logs: Any, group: str, stream: str, events: list[dict[str, Any]]) -> None:
    """Put events into a stream, which is made when it is new. Hold the mutex."""
    if group not in logs.groups:
        return  # somebody deleted it: the events are lost, as on AWS
    streams = logs.groups[group].streams
    if stream not in streams:
        logs.create_log_stream(group, stream)
    logs.put_log_events(group, stream, events)
    kept = sum(len(one.events) for one in streams.values())
    for one in list(streams.values()):  # the oldest stream first
        surplus = kept - EVENTS_KEPT
        if surplus <= 0:
            break
        kept -= min(surplus, len(one.events))
        del one.events[:surplus]
