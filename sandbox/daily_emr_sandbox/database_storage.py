"""Storage of the RDS instance: how much is allocated, how much is left, and what RDS refuses of a change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .aws.errors import AwsError

if TYPE_CHECKING:
    from .aws.server import AwsServer
    from .settings import Settings

GIB = 1024**3
DATA_GIB = 38
"""What the charts take of the instance as it was seeded. The database here is small; its size says nothing."""
COOLING_OFF_S = 6 * 3600.0
"""AWS seconds from one change of the storage to the next."""
LEAST_GROWTH = 1.1


class Storage:
    """Bytes of the one instance. The allocated size is moto's, because clients read it there."""

    def __init__(self, settings: Settings, aws: AwsServer) -> None:
        self._settings, self._aws = settings, aws
        self._seeded_gib = self.allocated_gib
        self._changed_at: float | None = None
        self.filled = 0
        """What something filled beside the charts."""
        self.retained = 0
        """What replication slots keep; the metrics look."""
        with aws.mutex:
            self.pend({})

    @property
    def allocated_gib(self) -> int:
        return int(self._instance().allocated_storage)

    @property
    def room(self) -> int:
        """Bytes for everything beside the charts."""
        return (self.allocated_gib - DATA_GIB) * GIB

    @property
    def free(self) -> int:
        """Bytes that are left."""
        return max(0, self.room - self.filled - self.retained)

    def fill(self) -> None:
        """Take everything, not only what is left now: slots let go of theirs while the database shuts down."""
        self.filled = self.room

    def restore(self) -> None:
        """As it was seeded; a change may be made at once."""
        self.filled, self._changed_at = 0, None
        with self._aws.mutex:
            self._instance().allocated_storage = self._seeded_gib
            self.pend({})

    def forget_change(self) -> None:
        """The last change is long ago."""
        self._changed_at = None

    def check(self, gib: int, status: str) -> None:
        """Refuse what RDS refuses of a growth; call with the mutex held.

        Raises:
            AwsError: InvalidDBInstanceState, InvalidParameterCombination, InvalidParameterValue.
        """
        name = self._settings.database_name
        if status not in {"available", "storage-full"}:
            raise AwsError("InvalidDBInstanceState", f"Database instance is not in available state: {name}.")
        if gib < self.allocated_gib:
            raise AwsError("InvalidParameterCombination", "Requested storage is less than the allocated storage.")
        if gib < self.allocated_gib * LEAST_GROWTH:
            raise AwsError("InvalidParameterValue", "Storage must be increased by at least 10 percent.")
        waited = None if self._changed_at is None else time.monotonic() - self._changed_at
        if waited is not None and waited < self._settings.scaled(COOLING_OFF_S):
            raise AwsError(
                "InvalidParameterCombination",
                "You can't currently modify the storage of this DB instance because the previous storage change is "
                "being optimized.",
            )

    def pend(self, values: dict[str, Any]) -> None:
        """What DescribeDBInstances says is still to be applied. Call with the mutex held."""
        self._instance().pending_modified_values = values

    def grow(self, gib: int) -> None:
        with self._aws.mutex:
            self._instance().allocated_storage = gib
            self.pend({})
            self._changed_at = time.monotonic()

    def _instance(self) -> Any:
        with self._aws.mutex:
            return self._aws.backend("rds").describe_db_instances(self._settings.database_name)[0]
