"""The process behind one sandbox: `python -m daily_emr_sandbox.daemon --state DIR`.

It detaches, takes the state folder and a network for itself, starts the world, says on a pipe how that went, and
runs until SIGTERM. Whatever it starts dies with it, however it ends.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gc
import json
import logging
import os
import random
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .settings import CORE, DEFAULT_TIME_FACTOR, PORTS, Settings, parts_from

logger = logging.getLogger("daily_emr_sandbox")

NETWORKS = 60
"""Networks tried before giving up."""


def detach() -> None:
    """Leave the caller's session and family: it neither waits for this process nor takes it down."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")


@contextlib.contextmanager
def owned(state_dir: Path) -> Iterator[None]:
    """Hold the state folder; its lock file names this process.

    Raises:
        RuntimeError: another sandbox holds it.
    """
    with (state_dir / "daemon.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"Another sandbox uses {state_dir}: take it down first, or name another folder."
            ) from None
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), "started": process_state(os.getpid()).started}, file)
        file.flush()
        yield
        file.truncate(0)


@dataclass(frozen=True)
class ProcessState:
    """Start time in clock ticks since boot, which names a process for ever together with its pid, and its state."""

    started: int
    zombie: bool


def process_state(pid: int) -> ProcessState:
    """State of a process.

    Raises:
        OSError: there is no such process.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return ProcessState(started=int(fields[19]), zombie=fields[0] == "Z")


@contextlib.contextmanager
def free_network() -> Iterator[str]:
    """Take a 127.x.y network that no other sandbox of this machine has, and hold it.

    The lock is an abstract socket: it belongs to the network namespace, exactly as the addresses do, and the
    kernel frees it when this process ends in whatever way.

    Raises:
        RuntimeError: none was free; says which port another program has on every address.
    """
    taken: Counter[int] = Counter()
    for _ in range(NETWORKS):
        network = f"127.{random.randint(64, 250)}.{random.randint(0, 255)}"
        with contextlib.ExitStack() as held:
            lock = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            try:
                lock.bind(f"\0daily-emr-sandbox/{network}")
            except OSError:
                continue
            if busy := [port for port in PORTS if not _free(f"{network}.1", port)]:
                taken.update(busy)
                continue
            yield network
            return
    if taken:
        raise RuntimeError(
            f"Port {taken.most_common(1)[0][0]} is taken on every address of this machine: "
            "end the program that listens there (`ss -ltnp` names it)."
        )
    raise RuntimeError(f"None of {NETWORKS} networks in 127.64.0.0-127.250.255.0 was free: take other sandboxes down.")


def _free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def serve(arguments: argparse.Namespace, report: int) -> None:
    begun = time.monotonic()
    # What is loaded from here on stays to the end: looking for garbage in it costs a third of the start.
    gc.disable()
    # Here, because the imports cost a second that a refusal should not wait for.
    from .world import World

    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    with free_network() as network:
        parts = parts_from(arguments.parts)
        settings = Settings(arguments.state, network, arguments.name, arguments.time_factor, parts=parts)
        world = World(settings)
        world.start()
        try:
            world.publish()
            gc.freeze()
            gc.enable()
            logger.info("ready after %.1f s on %s.0/24", time.monotonic() - begun, network)
            os.write(report, b"ready\n")
            os.close(report)
            end.wait()
        finally:
            settings.file.unlink(missing_ok=True)
            world.stop()
            logger.info("stopped")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="state folder; it must exist")
    parser.add_argument("--name", default="default")
    parser.add_argument("--time-factor", type=float, default=DEFAULT_TIME_FACTOR)
    parser.add_argument("--parts", default=CORE, help="optional parts, separated by commas")
    parser.add_argument("--report", type=int, required=True, help="file descriptor that gets `ready` or a sentence")
    arguments = parser.parse_args()
    detach()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # its lines hold whole paths and queries
    try:
        with owned(arguments.state):
            serve(arguments, arguments.report)
    except Exception as error:
        logger.exception("the sandbox ends")
        with contextlib.suppress(OSError):
            os.write(arguments.report, f"{type(error).__name__}: {error}\n".encode())
        sys.exit(1)
    # Everything is stopped; taking a hundred thousand objects of moto apart one by one would cost seconds.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
