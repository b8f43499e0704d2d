"""What every optional part of a sandbox is: `Settings.parts` says which of them one has."""

from __future__ import annotations

from typing import Any, Protocol


class Part(Protocol):
    """A part that the world starts after the database and the AWS emulation, and before the tasks.

    `start` also makes what it has in AWS (secrets, services, queues) and registers its routes of the control API.
    """

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def healthy(self) -> bool:
        """Whether it works as it does when nothing is broken, its tasks included."""
        ...

    def restore(self) -> None:
        """Take back what is left when no fault is: a throttle of somebody, a scaled service, a switch, failed jobs."""
        ...

    def plant(self, value: str) -> None:
        """Put a synthetic patient value where real ones would be, so that tests can look where it must not be."""
        ...

    def describe(self) -> dict[str, Any]:
        """What sandbox.json says about it to the outside."""
        ...

    @property
    def pids(self) -> dict[str, int]:
        """Its processes that are no tasks."""
        ...
