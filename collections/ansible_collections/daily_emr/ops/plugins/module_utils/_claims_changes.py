# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the changes of the claims share. May change without notice.

"""A change of the claims in the outbox, and the one way in which it sends a statement."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._claims_api import ClaimsApi
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ledger import (
    LIMIT_S,
    Ledger,
    read_ledger,
    settle_seconds,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._database_changes import DatabaseChange
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import endpoint, session
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, given

PROBE_TIMEOUT_S = 10.0
DUE_HOURS = 24


class ClaimsChange(DatabaseChange):
    """A change of the claims, which live in the option ``database`` and belong to the option ``claims_api``."""

    @property
    def claims_api(self) -> Json:
        found: Json = self.params["claims_api"]
        return found

    @property
    def target(self) -> str:
        """All changes of the claims share it, so that their leases exclude each other."""
        return f"claims/{self.claims_api['component']}"

    @property
    def api(self) -> ClaimsApi:
        return ClaimsApi(self.clients.environment, self.claims_api, PROBE_TIMEOUT_S)

    def ledger(self, settle_after_s: float = 0.0) -> Ledger:
        settle_s = settle_seconds(self.clients, settle_after_s)
        return read_ledger(self.clients, self.database, window_s=1.0, due_hours=DUE_HOURS, settle_after_s=settle_s)

    def call(self, function: str, statement: str, **values: Any) -> list[Json]:
        """Send the one statement that changes something, and return its rows.

        It is a transaction of its own: one that fails on the server was not done.

        Raises:
            CallFailed: nothing was sent, or the server refused it.
            DatabaseUnknown: it was sent, and nobody can say whether it was done.
        """
        place = endpoint(self.clients, self.database)
        with session(self.clients, self.database, place, write=True, limit_s=LIMIT_S) as found:
            self.clients.declare("postgres", function)
            rows: list[Json] = found.execute(statement, values).fetchall()
        if not rows:
            raise CallFailed(f"postgres:{function} answered nothing, so nothing was done.")
        return rows

    def step_back(self, module: str, **args: Any) -> Json:
        """An inverse: the same claims given to ``module`` with other arguments."""
        same = {"claims_api": given(self.claims_api), "database": given(self.database)}
        return {"module": f"daily_emr.ops.{module}", "args": {**same, **args}}
