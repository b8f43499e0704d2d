# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What amazon.aws cannot set on a load balancer."""

from __future__ import annotations

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import State
from ansible_collections.daily_emr.ops.plugins.module_utils._resources import Json, Resource, absent

ZONAL_SHIFT = "zonal_shift.config.enabled"
"""Off unless somebody turns it on; without it ARC does not know the load balancer."""


class BalancerZonalShift(Resource):
    """Whether traffic of a load balancer can be moved out of a zone."""

    name: ClassVar[str] = "balancer_zonal_shift"

    def read(self) -> Json | None:
        reader = self.clients.read("elbv2")
        found = absent(lambda: reader.describe_load_balancers(Names=[self.called]), "LoadBalancerNotFound")
        if not found:
            return None
        arn = found["LoadBalancers"][0]["LoadBalancerArn"]
        attributes = reader.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        values = {one["Key"]: one["Value"] for one in attributes}
        return {"enabled": values.get(ZONAL_SHIFT) == "true", "context": {"arn": arn}}

    def desired(self) -> Json:
        return {"enabled": True}

    def refusals(self, before: State) -> list[str]:
        return [] if before["present"] else [f"There is no load balancer {self.called}: make it first."]

    def apply(self, before: State) -> None:
        self.clients.write("elbv2", "ModifyLoadBalancerAttributes").modify_load_balancer_attributes(
            LoadBalancerArn=before["context"]["arn"], Attributes=[{"Key": ZONAL_SHIFT, "Value": "true"}]
        )


BALANCER_KINDS: dict[str, type[Resource]] = {kind.name: kind for kind in (BalancerZonalShift,)}
