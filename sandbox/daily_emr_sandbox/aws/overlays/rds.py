"""RDS: the one instance of the sandbox is the real database: its address, its state, its zones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.rds.models import DBInstance
from moto.rds.responses import RDSResponse

from ..errors import AwsError

if TYPE_CHECKING:
    from ..server import AwsServer

_address = DBInstance.address


def install(aws: AwsServer) -> None:
    """Put the overlay on moto's RDS, for this server. Done again, the newest server counts."""
    identifier = aws.settings.database_name

    def is_real(instance: Any) -> bool:
        return bool(instance.db_instance_identifier == identifier)

    def status(self: Any) -> str:
        # What moto was told last counts unless that is "available": then the real database is asked.
        kept = str(self.__dict__.get("status", "available"))
        return aws.database_status() if kept == "available" and is_real(self) else kept

    def set_status(self: Any, value: str) -> None:
        self.__dict__["status"] = value

    def address(self: Any) -> str:
        return aws.settings.database_address if is_real(self) else _address.fget(self)

    def secondary_availability_zone(self: Any) -> str | None:
        """Zone of the standby: another one of the subnet group."""
        group = getattr(self, "db_subnet_group", None)
        if not self.multi_az or group is None:
            return None
        zones = sorted({subnet.availability_zone for subnet in group._subnets} - {self.availability_zone})
        return zones[0] if zones else None

    def reboot_db_instance(self: Any) -> Any:
        """Refused rather than pretended: the database behind the instance would not be rebooted."""
        instance = self.backend.describe_db_instances(self.params["DBInstanceIdentifier"])[0]
        if self.params.get("ForceFailover") and not instance.multi_az:
            raise AwsError(
                "InvalidParameterCombination", "ForceFailover cannot be specified since the instance is not Multi-AZ."
            )
        if instance.status != "available":
            raise AwsError("InvalidDBInstanceState", f"Instance {instance.db_instance_identifier} is not available.")
        raise AwsError("SandboxNotImplemented", "The sandbox does not have rds:RebootDBInstance.", 400)

    DBInstance.status = property(status, set_status)
    DBInstance.address = property(address)
    DBInstance.secondary_availability_zone = property(secondary_availability_zone)
    RDSResponse.reboot_db_instance = reboot_db_instance
