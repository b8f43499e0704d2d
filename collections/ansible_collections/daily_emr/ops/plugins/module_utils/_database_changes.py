# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the changes of a database share. May change without notice.

"""A change of one database, named by the option ``database``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import endpoint

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json


class DatabaseChange(Change):
    """A change of the RDS instance, or of something in it."""

    @property
    def database(self) -> Json:
        found: Json = self.params["database"]
        return found

    @property
    def instance(self) -> str:
        return str(self.database["instance"])

    @property
    def target(self) -> str:
        return f"db/{self.instance}"

    @property
    def place(self) -> tuple[str, int]:
        return endpoint(self.clients, self.database)

    def aws_seconds(self, seconds: float) -> float:
        """A period of AWS's own pace, as long as it is in this environment."""
        return float(self.clients.environment.seconds(seconds))
