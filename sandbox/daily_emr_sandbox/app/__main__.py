"""Starts one task: `python -m daily_emr_sandbox.app`, configured by its environment alone."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from .server import Application, Handler, Server

STACK_BYTES = 256 * 1024


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if os.environ.get("RELEASE_DEFECT") == "crash":
        sys.exit("Configuration error: FACILITY_REGISTRY_URL is not set. The application cannot start.")
    threading.stack_size(STACK_BYTES)
    application = Application(os.environ)
    handler = type("TaskHandler", (Handler,), {"application": application})
    with Server((os.environ["TASK_ADDRESS"], int(os.environ["TASK_PORT"])), handler) as server:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        # In a thread, because taking a connection waits until its borrower is done with it.
        signal.signal(signal.SIGUSR1, lambda *_: threading.Thread(target=application.charts.leak, daemon=True).start())
        signal.signal(signal.SIGUSR2, lambda *_: application.charts.keep_dead())
        signal.signal(signal.SIGURG, lambda *_: application.trouble.fill_disk())
        signal.signal(signal.SIGWINCH, lambda *_: application.trouble.lag())
        logging.info("release %s serves as task %s", application.version["release"], application.version["task"])
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
