"""RDS: the one instance of the sandbox is the real database: its address, its state, its zones."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.rds.models import DBInstance
from moto.rds.responses import RDSResponse

from ..errors import AwsError

if TYPE_CHECKING:
    from ...database_instance import DatabaseInstance
    from ..server import AwsServer

_address = DBInstance.address
_modify_db_instance = RDSResponse.modify_db_instance
_init = DBInstance.__init__

CERTIFICATE_DAYS = 365


def describe_events(self: Any) -> ActionResult:
    """Of the last hour unless asked otherwise; RDS keeps them for 14 days."""
    asked = self.params
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    start = asked.get("StartTime") or now - dt.timedelta(minutes=int(asked.get("Duration") or 60))
    end, wanted = asked.get("EndTime") or now, set(asked.get("EventCategories") or [])
    found = [
        event
        for event in self.backend.describe_events(
            source_identifier=asked.get("SourceIdentifier"), source_type=asked.get("SourceType")
        )
        if _plain(start) <= event.date <= _plain(end) and (not wanted or wanted & set(event.event_categories))
    ]
    found.sort(key=lambda event: event.date)
    first, most = int(asked.get("Marker") or 0), int(asked.get("MaxRecords") or 100)
    page: dict[str, Any] = {"Events": found[first : first + most]}
    return ActionResult(page | ({"Marker": str(first + most)} if len(found) > first + most else {}))


def check_reboot(instance: Any, *, failover: bool) -> None:
    """Refuse what RDS refuses.

    Raises:
        AwsError: InvalidParameterCombination, InvalidDBInstanceState.
    """
    if failover and not instance.multi_az:
        raise AwsError(
            "InvalidParameterCombination", "ForceFailover cannot be specified since the instance is not Multi-AZ."
        )
    if instance.status != "available":
        raise AwsError("InvalidDBInstanceState", f"Instance {instance.db_instance_identifier} is not available.")


def install(aws: AwsServer) -> None:
    """Put the overlay on moto's RDS, for this server. Done again, the newest server counts."""
    DBInstance.__init__ = init
    _install_state(aws)
    _install_place(aws)
    _install_reboot(aws)
    _install_storage(aws)


def init(self: Any, *args: Any, **kwargs: Any) -> None:
    """moto keeps neither Performance Insights nor the certificate of the server."""
    _init(self, *args, **kwargs)
    self.performance_insights_enabled = bool(kwargs.get("enable_performance_insights"))
    valid_till = _plain(dt.datetime.now(dt.UTC)) + dt.timedelta(days=CERTIFICATE_DAYS)
    self.certificate_details = {"CAIdentifier": "rds-ca-rsa2048-g1", "ValidTill": valid_till}


def _is_real(aws: AwsServer, instance: Any) -> bool:
    return bool(instance.db_instance_identifier == aws.settings.database_name)


def _install_state(aws: AwsServer) -> None:
    def status(self: Any) -> str:
        # What moto was told last counts unless that is "available": then the real database is asked.
        kept = str(self.__dict__.get("status", "available"))
        if not _is_real(aws, self) or kept != "available":
            return kept
        return (aws.database_instance and aws.database_instance.state) or aws.database_status()

    def set_status(self: Any, value: str) -> None:
        self.__dict__["status"] = value

    def latest_restorable_time(self: Any) -> dt.datetime:
        real = aws.database_instance if _is_real(aws, self) else None
        return real.restorable_at if real else _plain(dt.datetime.now(dt.UTC)) - dt.timedelta(minutes=5)

    DBInstance.status = property(status, set_status)
    DBInstance.latest_restorable_time = property(latest_restorable_time)


def _install_place(aws: AwsServer) -> None:
    def walker(instance: Any) -> DatabaseInstance | None:
        return aws.database_instance if _is_real(aws, instance) else None

    def address(self: Any) -> str:
        return aws.settings.database_address if _is_real(aws, self) else _address.fget(self)

    def port(self: Any) -> int | None:
        """None while moto has not yet taken the usual port of the engine."""
        kept = self.__dict__["port"]
        return aws.settings.database_port if _is_real(aws, self) else kept and int(kept)

    def set_port(self: Any, value: Any) -> None:
        self.__dict__["port"] = value

    def zone(self: Any) -> str:
        real = walker(self)
        return real.zone if real else str(self.__dict__["availability_zone"])

    def set_zone(self: Any, value: str) -> None:
        self.__dict__["availability_zone"] = value

    def secondary_availability_zone(self: Any) -> str | None:
        """Zone of the standby: another one of the subnet group."""
        group = getattr(self, "db_subnet_group", None)
        if not self.multi_az or group is None:
            return None
        if real := walker(self):
            return real.standby_zone
        zones = sorted({subnet.availability_zone for subnet in group._subnets} - {self.availability_zone})
        return zones[0] if zones else None

    DBInstance.address = property(address)
    DBInstance.port = property(port, set_port)
    DBInstance.availability_zone = property(zone, set_zone)
    DBInstance.secondary_availability_zone = property(secondary_availability_zone)


def _install_reboot(aws: AwsServer) -> None:
    def reboot_db_instance(self: Any) -> Any:
        """What RDS refuses is refused; the rest happens to the real pair. Others than the real one are refused."""
        failover = bool(self.params.get("ForceFailover"))
        instance = self.backend.describe_db_instances(self.params["DBInstanceIdentifier"])[0]
        check_reboot(instance, failover=failover)
        if aws.database_instance is None or not _is_real(aws, instance):
            raise AwsError("SandboxNotImplemented", "There is no real database behind this instance.", 400)
        aws.database_instance.reboot(failover=failover)
        return ActionResult({"DBInstance": instance})

    def events_of_now(self: Any) -> ActionResult:
        if aws.database_instance is not None:
            aws.database_instance.look()
        return describe_events(self)

    RDSResponse.reboot_db_instance = reboot_db_instance
    RDSResponse.describe_events = events_of_now


def _install_storage(aws: AwsServer) -> None:
    def modify_db_instance(self: Any) -> Any:
        """The storage of the real database is grown in a walk; everything else is moto's."""
        instance = self.backend.describe_db_instances(self.params["DBInstanceIdentifier"])[0]
        if "EnablePerformanceInsights" in self.params:
            instance.performance_insights_enabled = bool(self.params["EnablePerformanceInsights"])
        real = aws.database_instance if _is_real(aws, instance) else None
        wanted = self.params.get("AllocatedStorage")
        if real is None or wanted is None or int(wanted) == instance.allocated_storage:
            return _modify_db_instance(self)
        real.storage.check(int(wanted), instance.status)
        del self.params["AllocatedStorage"]
        answer = _modify_db_instance(self)
        if self.params.get("ApplyImmediately"):
            real.grow(int(wanted))
        else:
            real.storage.pend({"AllocatedStorage": int(wanted)})  # until the maintenance window
        return answer

    RDSResponse.modify_db_instance = modify_db_instance


def _plain(moment: dt.datetime) -> dt.datetime:
    """moto keeps times without a zone, in UTC."""
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment
