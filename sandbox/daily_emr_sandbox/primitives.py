"""The small faults that named faults are made of. Each can be made and taken back at any time, also twice."""

from __future__ import annotations

import inspect
import signal
from typing import TYPE_CHECKING, Any, ClassVar

from .traffic import DAY_RATE

if TYPE_CHECKING:
    from .sha import Sha
    from .world import World


class Primitives:
    """What can be done to the real parts of one sandbox.

    `NAMES` are those that somebody may ask for by name; what ends each of them is done by `end`.
    """

    NAMES: ClassVar[tuple[str, ...]] = (
        "kill_task",
        "hang_zone",
        "flow_zone",
        "delay_database",
        "stop_database",
        "start_database",
        "stop_cache",
        "start_cache",
        "delay_claims",
        "fail_claims",
        "refuse_sha",
        "accept_sha",
        "recover_sha",
        "delay_gateway",
        "fail_gateway",
        "set_traffic",
    )

    def __init__(self, world: World) -> None:
        self._world = world
        self._stopped: set[str] = set()

    def ask(self, name: str, options: dict[str, Any]) -> None:
        """Do a primitive by its name.

        Raises:
            ValueError: an option that it does not have, or that is missing.
            LookupError: what an option names does not exist.
        """
        do = getattr(self, name)
        try:
            inspect.signature(do).bind(**options)
        except TypeError as error:
            raise ValueError(f"{name} takes other options ({error}): give them as name=value.") from None
        do(**options)

    def end(self) -> None:
        """Take back everything that is still in force."""
        self._world.instance.wait_settled()  # a walk may be between two primaries
        for task in sorted(self._stopped & {task.id for task in self._world.web.running()}):
            self.kill_task(task, "CONT")
        self._stopped.clear()
        for zone in self._world.settings.zones:
            self.flow_zone(zone)
        self.delay_database(0)
        self.start_database()
        self.start_cache()
        self._world.claims.mend()
        if "claims" in self._world.parts:
            self.accept_sha()
        self.set_traffic(DAY_RATE)

    def kill_task(self, task: str, signal_name: str = "KILL") -> None:
        """Send a signal to the process of a task: KILL, TERM, STOP (hang), CONT, USR1 (leak every connection), USR2
        (keep dead connections).
        """
        try:
            number = signal.Signals[f"SIG{signal_name}"]
        except KeyError:
            raise ValueError(f"There is no signal {signal_name!r}: use KILL, TERM, STOP, CONT, USR1 or USR2.") from None
        self._world.scheduler.kill(task, number)
        if number is signal.SIGSTOP:
            self._stopped.add(task)

    def hang_zone(self, zone: str) -> None:
        """Nothing gets through between a zone and database and cache; nothing is refused either."""
        self._world.database.hang(self._zone(zone))
        self._world.cache.hang(zone)

    def flow_zone(self, zone: str) -> None:
        self._world.database.flow(self._zone(zone))
        self._world.cache.flow(zone)

    def delay_database(self, seconds: float) -> None:
        """Every round trip to the database takes so many seconds longer; 0 ends it."""
        self._world.database.slow(float(seconds))

    def stop_database(self) -> None:
        """The database refuses connections."""
        self._world.database.stop_primary()

    def start_database(self) -> None:
        self._world.database.start_primary()

    def stop_cache(self) -> None:
        """The session cache refuses connections."""
        self._world.cache.refuse()

    def start_cache(self) -> None:
        self._world.cache.accept()

    def delay_claims(self, seconds: float) -> None:
        """Every answer of the claims service takes so many seconds; 0 ends it."""
        self._world.claims.slow(float(seconds))

    def fail_claims(self, status: int) -> None:
        """The claims service answers with this status; 200 ends it."""
        self._world.claims.fail(int(status))

    def refuse_sha(self) -> None:
        """Nobody listens at the claims API."""
        self._sha().refuse()

    def accept_sha(self) -> None:
        self._sha().accept()

    def recover_sha(self) -> None:
        """The payer is well again, and knows our newest key only; what the fault left behind stays for a runbook."""
        self._sha().mend()
        self._world.claims.mend()

    def delay_gateway(self, seconds: float) -> None:
        """The provider of messages takes so many seconds for each; 0.4 is the usual."""
        self._world.queues.gateway.slow(float(seconds))

    def fail_gateway(self, status: int) -> None:
        """The provider of messages refuses with this status; 200 ends it."""
        self._world.queues.gateway.fail(int(status))

    def set_traffic(self, rate: float) -> None:
        """Users send so many requests per second."""
        if float(rate) <= 0:
            raise ValueError(f"There is no traffic of {rate} requests per second: give more than 0.")
        self._world.traffic.rate = float(rate)

    def _sha(self) -> Sha:
        if "claims" not in self._world.parts:
            raise LookupError("The claims API needs a sandbox with claims: take one up with --parts claims.")
        return self._world.sha.api

    def _zone(self, zone: str) -> str:
        if zone not in self._world.settings.zones:
            raise LookupError(f"There is no zone {zone!r}: use one of {', '.join(self._world.settings.zones)}.")
        return zone
