# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The page of CloudWatch that who is on call looks at first."""

from __future__ import annotations

import json
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import State
from ansible_collections.daily_emr.ops.plugins.module_utils._resources import Json, Resource, absent


class Dashboard(Resource):
    """A dashboard, compared widget by widget: what somebody moved or took away is put back."""

    name: ClassVar[str] = "dashboard"
    spec: ClassVar[Json] = {"body": {"type": "dict", "required": True}}

    def read(self) -> Json | None:
        found = absent(
            lambda: self.clients.read("cloudwatch").get_dashboard(DashboardName=self.called),
            "ResourceNotFound",
            "DashboardNotFoundError",
        )
        return {"body": json.loads(found["DashboardBody"])} if found else None

    def desired(self) -> Json:
        return {"body": self.settings["body"]}

    def apply(self, before: State) -> None:
        self.clients.write("cloudwatch", "PutDashboard").put_dashboard(
            DashboardName=self.called,
            DashboardBody=json.dumps(self.settings["body"]),
            **({} if before["present"] else {"Tags": self.tags}),
        )


DASHBOARD_KINDS: dict[str, type[Resource]] = {kind.name: kind for kind in (Dashboard,)}
