"""RDS: a read replica is an instance of its own, in its own region, and is refused where RDS refuses it.

moto copies its source, with the source's region, tags and settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.rds.responses import RDSResponse

from ..errors import AwsError

if TYPE_CHECKING:
    from ..server import AwsServer

INHERITED = (
    "engine", "engine_version", "db_instance_class", "allocated_storage", "storage_type", "db_name", "port",
    "master_username", "storage_encrypted",
)  # fmt: skip


def create_db_instance_read_replica(self: Any) -> ActionResult:
    """Raises AwsError for what RDS refuses."""
    asked = dict(self.params)
    source = self.backend.find_db_from_id(asked["source_db_instance_identifier"])
    abroad = source.region != self.region
    check(source, asked.get("kms_key_id"), abroad=abroad)
    for name in ("source_region", "pre_signed_url"):
        asked.pop(name, None)
    inherited = {name: getattr(source, name) for name in INHERITED}
    # It has no backups of its own until somebody asks for them, and follows an instance abroad by its ARN.
    replica = self.backend.create_db_instance({**inherited, "backup_retention_period": 0, **asked})
    replica.source_db_instance_identifier = source.db_instance_arn if abroad else source.db_instance_identifier
    replica.set_as_replica()
    source.add_replica(replica)
    return ActionResult({"DBInstance": replica})


def check(source: Any, kms_key: str | None, *, abroad: bool) -> None:
    """Refuse what RDS refuses.

    Raises:
        AwsError: InvalidDBInstanceState, InvalidParameterValue, InvalidParameterCombination.
    """
    name = source.db_instance_identifier
    if source.status != "available":
        raise AwsError("InvalidDBInstanceState", f"DB instance {name} is not in the available state.")
    if not source.backup_retention_period:
        raise AwsError("InvalidDBInstanceState", f"Automated backups are not enabled for {name}.")
    if source.manage_master_user_password:
        raise AwsError(
            "InvalidParameterValue",
            f"Creating read replicas for source instance with engine {source.engine} where ManageMasterUserPassword is "
            "enabled is not supported.",
        )
    if abroad and source.storage_encrypted and not kms_key:
        raise AwsError(
            "InvalidParameterCombination", "A cross-region read replica of an encrypted instance needs a KMS key."
        )


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's RDS. Harmless when done twice."""
    RDSResponse.create_db_instance_read_replica = create_db_instance_read_replica
