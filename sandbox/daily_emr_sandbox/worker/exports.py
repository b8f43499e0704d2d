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
import urllib.request
from typing import Any

import psycopg
from botocore.config import Config
from botocore.session import Session

from ..app.database import connector

POLL_S = 1.0
BATCH = 10
STORE_TIMEOUT_S = 10.0

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
    noted = session.execute(
        "INSERT INTO deliveries (business_key, queue, job_id, state) VALUES (%s, %s, %s, 'sending')"
        " ON CONFLICT (business_key) DO UPDATE SET job_id = excluded.job_id RETURNING state",
        (body["key"], os.environ["QUEUE"], message["MessageId"]),
    ).fetchone()
    if noted and noted[0] == "sent":
        return
    store(body)
    session.execute("UPDATE deliveries SET state = 'sent', sent_at = now() WHERE business_key = %s", (body["key"],))


def store(body: dict[str, Any]) -> None:
    """Put what was made where its reader finds it."""
    content = json.dumps({"reference": body["key"], "kind": body["kind"], "body": body["body"]}).encode()
    request = urllib.request.Request(f"{os.environ['GATEWAY_URL']}/exports", content)  # noqa: S310
    request.add_header("Content-Type", "application/json")
    try:
        urllib.request.urlopen(request, timeout=STORE_TIMEOUT_S).close()  # noqa: S310
    except OSError as error:
        raise ExportFailed(f"{body} could not be stored") from error


def work(sqs: Any, url: str, session: psycopg.Connection[Any]) -> None:
    """Take what is in the queue now."""
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=BATCH).get("Messages", []):
        for message in messages:
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
