"""SQS: message move tasks, counts for the metrics, and a receive that never waits with the mutex held.

A task moves messages at its rate from the moment it starts; how far it is gets worked out whenever somebody looks.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.sqs.models import SQSBackend
from moto.sqs.responses import SQSResponse

from ..errors import AwsError

if TYPE_CHECKING:
    from ..server import AwsServer

_receive_message = SQSBackend.receive_message
_get_queue_attributes = SQSBackend.get_queue_attributes
_send_message = SQSBackend.send_message
_delete_message = SQSBackend.delete_message

SENT, DELETED = "NumberOfMessagesSent", "NumberOfMessagesDeleted"

MOST_PER_SECOND = 500
SYSTEM_RATE = 100
"""Messages per second of a task without a rate: SQS chooses it by the size of the backlog."""
MOST_LISTED = 10


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message, 400)


@dataclass
class MoveTask:
    """One message move task."""

    source: Any
    destination: Any
    destination_arn: str | None
    rate: int | None
    to_move: int
    handle: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: str = "RUNNING"
    moved: int = 0
    failure: str | None = None
    started: float = field(default_factory=time.time)
    _began: float = field(default_factory=time.monotonic)

    def advance(self) -> None:
        """Move what should have been moved until now. Hold the mutex."""
        if self.status != "RUNNING":
            return
        due = min(self.to_move, int((time.monotonic() - self._began) * (self.rate or SYSTEM_RATE)))
        for message in [message for message in self.source._messages if message.visible][: due - self.moved]:
            self.source._messages.remove(message)
            self.source.pending_messages.discard(message)
            message.approximate_receive_count = 0
            self.destination.add_message(message)
            self.moved += 1
        if self.moved >= self.to_move or (due > self.moved and not self.source._messages):
            self.status = "COMPLETED"

    def described(self) -> dict[str, Any]:
        shown = {
            "TaskHandle": self.handle if self.status == "RUNNING" else None,
            "Status": self.status,
            "SourceArn": self.source.queue_arn,
            "DestinationArn": self.destination_arn,
            "MaxNumberOfMessagesPerSecond": self.rate,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.to_move,
            "FailureReason": self.failure,
            "StartedTimestamp": int(self.started * 1000),
        }
        return {name: value for name, value in shown.items() if value is not None}


class MoveTasks:
    """The tasks of one server, oldest first."""

    def __init__(self) -> None:
        self._tasks: list[MoveTask] = []

    def advance(self) -> None:
        for task in self._tasks:
            task.advance()

    def forget(self) -> None:
        self._tasks.clear()

    def start(self, backend: Any, source_arn: str, destination_arn: str | None, rate: int | None) -> MoveTask:
        """Refuses what SQS refuses."""
        if rate is not None and not 1 <= rate <= MOST_PER_SECOND:
            raise _invalid(
                f"Value {rate} for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: Must be between 1 and "
                f"{MOST_PER_SECOND}, if provided."
            )
        source = self._queue(backend, source_arn, "SourceArn")
        feeding = [queue for queue in backend.queues.values() if queue.dead_letter_queue is source]
        if not feeding:
            raise _invalid("Source queue must be configured as a Dead Letter Queue.")
        if destination_arn == source_arn:
            raise _invalid("Source queue arn and destination queue arn cannot be the same.")
        if destination_arn:
            destination = self._queue(backend, destination_arn, "DestinationArn")
        elif len(feeding) > 1:
            raise AwsError("UnsupportedOperation", "The sandbox does not know which queue a message came from.", 400)
        else:
            destination = feeding[0]
        self.advance()
        if any(task.source is source and task.status == "RUNNING" for task in self._tasks):
            raise _invalid(
                "There is already a task running. Only one active task is allowed for a source queue arn at a given "
                "time."
            )
        task = MoveTask(source, destination, destination_arn, rate, len(source._messages))
        self._tasks.append(task)
        return task

    def of(self, backend: Any, source_arn: str, most: int) -> list[MoveTask]:
        """The newest tasks of a dead-letter queue, newest first."""
        if not 1 <= most <= MOST_LISTED:
            raise _invalid(f"Value {most} for parameter MaxResults is invalid. Reason: Must be between 1 and 10.")
        source = self._queue(backend, source_arn, "SourceArn")
        if not any(queue.dead_letter_queue is source for queue in backend.queues.values()):
            raise _invalid("Source queue must be configured as a Dead Letter Queue.")
        self.advance()
        return [task for task in reversed(self._tasks) if task.source is source][:most]

    def cancel(self, handle: str) -> MoveTask:
        self.advance()
        task = next((task for task in self._tasks if task.handle == handle), None)
        if task is None:
            raise AwsError("ResourceNotFoundException", "Task does not exist.", 404)
        if task.status != "RUNNING":
            raise _invalid("Only active tasks can be cancelled.")
        task.status = "CANCELLED"
        return task

    @staticmethod
    def _queue(backend: Any, arn: str, parameter: str) -> Any:
        found = next((queue for queue in backend.queues.values() if queue.queue_arn == arn), None)
        if found is None:
            message = f"The resource that you specified for the {parameter} parameter doesn't exist."
            raise AwsError("ResourceNotFoundException", message, 404)
        return found


def install(aws: AwsServer) -> None:
    """Put the overlay on moto's SQS, for this server. Done again, the newest server counts."""
    tasks = aws.move_tasks = MoveTasks()
    counts = aws.sqs_counts = Counter[tuple[str, str]]()

    def start_message_move_task(self: Any) -> ActionResult:
        asked = self.params
        rate = asked.get("MaxNumberOfMessagesPerSecond")
        task = tasks.start(self.sqs_backend, asked["SourceArn"], asked.get("DestinationArn"), rate)
        return ActionResult({"TaskHandle": task.handle})

    def list_message_move_tasks(self: Any) -> ActionResult:
        found = tasks.of(self.sqs_backend, self.params["SourceArn"], int(self.params.get("MaxResults") or 1))
        return ActionResult({"Results": [task.described() for task in found]})

    def cancel_message_move_task(self: Any) -> ActionResult:
        task = tasks.cancel(self.params["TaskHandle"])
        return ActionResult({"ApproximateNumberOfMessagesMoved": task.moved})

    def receive_message(self: Any, queue_name: str, count: int, _wait_s: int, *more: Any) -> Any:
        """Short polling, whatever is asked for: a long poll would hold the mutex of everything."""
        tasks.advance()
        return _receive_message(self, queue_name, count, 0, *more)

    def get_queue_attributes(self: Any, *names: Any) -> Any:
        tasks.advance()
        return _get_queue_attributes(self, *names)

    def send_message(self: Any, queue_name: str, *what: Any, **more: Any) -> Any:
        sent = _send_message(self, queue_name, *what, **more)
        counts[queue_name, SENT] += 1
        return sent

    def delete_message(self: Any, queue_name: str, receipt_handle: str) -> None:
        _delete_message(self, queue_name, receipt_handle)
        counts[queue_name, DELETED] += 1

    SQSResponse.start_message_move_task = start_message_move_task
    SQSResponse.list_message_move_tasks = list_message_move_tasks
    SQSResponse.cancel_message_move_task = cancel_message_move_task
    SQSBackend.receive_message = receive_message
    SQSBackend.send_message = send_message
    SQSBackend.delete_message = delete_message
    SQSBackend.get_queue_attributes = get_queue_attributes
