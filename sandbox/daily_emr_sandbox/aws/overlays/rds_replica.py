"""RDS: the read replica of the second region is a real one: its address, its state, its promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.rds.models import DBInstance
from moto.rds.responses import RDSResponse

from ..errors import AwsError

if TYPE_CHECKING:
    from ...region.replica import Replica


def install(replica: Replica, name: str, place: tuple[str, int]) -> None:
    """Put the overlay on the one of `rds`, for this server."""
    address, status = DBInstance.address, DBInstance.status
    source = DBInstance.read_replica_source_db_instance_identifier
    promote = RDSResponse.promote_read_replica

    def is_real(instance: Any) -> bool:
        return bool(instance.db_instance_identifier == name)

    def address_of(self: Any) -> str:
        return place[0] if is_real(self) else address.fget(self)

    def status_of(self: Any) -> str:
        return replica.status if is_real(self) else status.fget(self)

    def source_of(self: Any) -> str | None:
        if is_real(self) and not replica.follows:
            return None
        found: str | None = source.fget(self)
        return found

    def promote_read_replica(self: Any) -> Any:
        instance = self.backend.describe_db_instances(self.params["DBInstanceIdentifier"])[0]
        if not is_real(instance):
            return promote(self)
        if not replica.follows:
            raise AwsError("InvalidDBInstanceState", f"DB Instance {name} is not a read replica.")
        if replica.status != "available":
            raise AwsError("InvalidDBInstanceState", f"Instance {name} is not available.")
        replica.promote()
        return ActionResult({"DBInstance": instance})

    DBInstance.address = property(address_of)
    DBInstance.status = property(status_of, status.fset)
    DBInstance.read_replica_source_db_instance_identifier = property(source_of)
    RDSResponse.promote_read_replica = promote_read_replica
