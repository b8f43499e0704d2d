"""A task of the service that makes exports: takes messages from SQS, makes each export once, deletes the message.

The row of the export's business key decides whether it was made. A message that cannot be made is left alone: SQS
delivers it again, and after three times puts it among the dead letters.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

import psycopg
from botocore.config import Config
from botocore.session import Session

from ..app.database import connector

POLL_S = 1.0
BATCH = 10
WORK_S = 0.05
KNOWN = {"monthly-register", "dhis2-upload"}

stop = threading.Event()


class ExportFailed(Exception):
    """The export cannot be made."""


def log(event: str, **facts: object) -> None:
    known = {"queue": os.environ["QUEUE"], "task": os.environ["TASK_ID"], "zone": os.environ["TASK_ZONE"]}
    sys.stdout.write(json.dumps({"time": int(time.time() * 1000), "event": event, **known, **facts}) + "\n")
    sys.stdout.flush()


def client() -> Any:
    """SQS as this task sees it."""
    sqs = Session().create_client(
        "sqs",
        region_name=os.environ["AWS_REGION"],
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=os.environ["AWS_SESSION_TOKEN"],
        config=Config(proxies={}, retries={"mode": "standard", "total_max_attempts": 2}),
    )

    def mark(params: dict[str, Any], **_event: Any) -> None:
        params["headers"]["X-Daily-Emr-Sandbox"] = os.environ["SANDBOX_TOKEN"]

    sqs.meta.events.register("before-call.*.*", mark)
    return sqs


def export(session: psycopg.Connection[Any], message: dict[str, Any]) -> None:
    """Make one export.

    Raises:
        ExportFailed: it cannot be made.
    """
    body = json.loads(message["Body"])
    if body["kind"] not in KNOWN:
        raise ExportFailed(f"no such export: {body}")
    stop.wait(WORK_S)
    session.execute(
        "INSERT INTO deliveries (business_key, queue, job_id, state, sent_at) VALUES (%s, %s, %s, 'sent', now())"
        " ON CONFLICT (business_key) DO NOTHING",
        (body["key"], os.environ["QUEUE"], message["MessageId"]),
    )


def work(sqs: Any, url: str, session: psycopg.Connection[Any]) -> None:
    """One look into the queue."""
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=BATCH).get("Messages", []):
        try:
            export(session, message)
        except ExportFailed as error:
            log("failed", **{"class": type(error).__name__})
            continue
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    connect = connector(os.environ["DATABASE_URL"], os.environ["DATABASE_PATH"], "emr-worker")
    sqs = client()
    url = sqs.get_queue_url(QueueName=os.environ["QUEUE_NAME"])["QueueUrl"]
    log("ready")
    while not stop.is_set():
        try:
            with connect() as session:
                while not stop.wait(POLL_S):
                    work(sqs, url, session)
        except Exception as error:  # noqa: BLE001 - a worker goes on, whatever is down
            log("queue_error", **{"class": type(error).__name__})
            stop.wait(POLL_S)
    log("closed")


if __name__ == "__main__":
    main()
