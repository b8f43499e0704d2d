"""The read replica of the database in the second region: a real PostgreSQL that follows the pair asynchronously.

Its stream goes through a link that can be cut, so that it falls behind for real. Promotion walks the states of RDS.
"""

from __future__ import annotations

import logging
import shutil
import threading
from typing import TYPE_CHECKING

from .. import children
from ..loop import LoopThread, wait_until
from ..postgres_node import STANDBY_PORT, Node, binary
from ..proxy import Proxy

if TYPE_CHECKING:
    from ..postgres import DatabasePair
    from ..settings import Settings

logger = logging.getLogger(__name__)

PROMOTION_S, RESTARTED_S = 60.0, 60.0
"""AWS seconds: "a few minutes", with a restart (RDS User Guide, promoting a read replica)."""
FOLLOWING = "SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"


class Replica:
    """The replica, its endpoint, and the link that it follows by.

    Args:
        settings: those of the second region.
    """

    def __init__(self, settings: Settings, loop: LoopThread, pair: DatabasePair) -> None:
        self._settings, self._loop, self._pair = settings, loop, pair
        self.link = Proxy(settings.address(9), settings.database_port, self._source)
        self.node = Node(
            "region",
            settings.data_dir / "postgres" / "region",
            settings.address(7),
            STANDBY_PORT,
            settings.logs_dir / "postgres-region.log",
            primary_conninfo=f"host={self.link.address} port={self.link.port} user=postgres",
            synchronous_standby_names="",  # what it copied with the rest would keep its commits waiting
        )
        self.endpoint = Proxy(
            settings.database_address, settings.database_port, lambda: (self.node.address, self.node.port)
        )
        self.status = "available"
        self.follows = True
        """Whether RDS calls it a replica of somebody."""
        self._walk = threading.Thread()
        self._stop = threading.Event()

    def start(self) -> None:
        """Copy the primary, follow it, and serve the endpoint."""
        self._loop.run(self._open())
        self.rebuild()

    def stop(self) -> None:
        self._stop.set()
        if self._walk.is_alive():
            self._walk.join()
        self._loop.run(self._close())
        self.node.stop()

    def rebuild(self) -> None:
        """Be a replica again, whatever it was."""
        if self._walk.is_alive():
            self._walk.join()
        self.node.stop()
        shutil.rmtree(self.node.data, ignore_errors=True)
        folder = self.node.data.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        children.hand_over(folder)
        address, port = self._source()
        how = ["-X", "stream", "-c", "fast", "--no-sync"]
        source = f"host={address} port={port} user=postgres"
        log = self._settings.logs_dir / "postgres-region.log"
        children.run([binary("pg_basebackup"), "-D", self.node.data, "-d", source, *how], log)
        (self.node.data / "standby.signal").touch()
        children.hand_over(self.node.data / "standby.signal")
        self.status, self.follows = "available", True
        self.catch_up()
        self.node.start()
        wait_until(self.following, "the replica of the second region follows")

    def following(self) -> bool:
        """Whether it is connected to its source."""
        with self.node.connect("postgres") as session:
            return session.execute(FOLLOWING).fetchone() is not None

    def fall_behind(self) -> None:
        """Nothing comes over the link any more."""
        self._loop.run(self.link.hang())

    def catch_up(self) -> None:
        """What fell behind comes over the link again."""
        self._loop.run(self.link.flow())

    def promote(self) -> None:
        """As RDS does: at once a state, the promotion behind it."""
        self.status = "modifying"
        self._walk = threading.Thread(target=self._promote, name="rds-promotion", daemon=True)
        self._walk.start()

    def _promote(self) -> None:
        try:
            if self._stop.wait(self._settings.scaled(PROMOTION_S)):
                return
            with self.node.connect("postgres") as session:
                session.execute("SELECT pg_promote(true, 30)")
            self.follows = False
            if not self._stop.wait(self._settings.scaled(RESTARTED_S)):
                self.status = "available"
        except Exception:
            logger.exception("the promotion of the replica stopped in the middle")

    def _source(self) -> tuple[str, int]:
        return self._pair.primary.address, self._pair.primary.port

    async def _open(self) -> None:
        await self.link.open()
        await self.endpoint.open()

    async def _close(self) -> None:
        await self.link.flow()
        await self.link.close()
        await self.endpoint.close()
