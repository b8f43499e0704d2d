"""RDS: a parameter group that does not exist is an error, and no maintenance waits for an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.rds.responses import RDSResponse

from ..errors import AwsError

if TYPE_CHECKING:
    from ..server import AwsServer

_describe_db_parameter_groups = RDSResponse.describe_db_parameter_groups


def describe_db_parameter_groups(self: Any) -> Any:
    name = self.params.get("DBParameterGroupName")
    if name and not self.backend.describe_db_parameter_groups({"db_parameter_group_name": name}):
        raise AwsError("DBParameterGroupNotFound", f"DBParameterGroup {name} not found.", 404)
    return _describe_db_parameter_groups(self)


def describe_pending_maintenance_actions(self: Any) -> ActionResult:
    """None; an instance that waits for a change says so itself."""
    del self
    return ActionResult({"PendingMaintenanceActions": []})


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's RDS. Harmless when done twice."""
    RDSResponse.describe_db_parameter_groups = describe_db_parameter_groups
    RDSResponse.describe_pending_maintenance_actions = describe_pending_maintenance_actions
