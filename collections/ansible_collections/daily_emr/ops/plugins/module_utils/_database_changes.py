# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the changes of a database share. May change without notice.

"""A change of one database, and the one way in which such a change sends a statement."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import (
    DatabaseFailed,
    DatabaseUnknown,
    Trouble,
    endpoint,
    session,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

# A session that reads or sends one statement takes tens of milliseconds; on a sick host each round trip takes seconds.
LIMIT_S = 10.0
# A transaction that has written and the states of others are only seen by who may see them; else all of it looks idle.
SEES_ALL = "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all"
BLIND = "The role of the runbooks does not see the sessions of others: grant pg_monitor to it."


class DatabaseChange(Change):
    """A change of one database, named by the option ``database``."""

    @property
    def database(self) -> Json:
        found: Json = self.params["database"]
        return found

    @property
    def instance(self) -> str:
        """Identifier of the RDS instance."""
        return str(self.database["instance"])

    @property
    def target(self) -> str:
        return f"database/{self.instance}"

    def resources(self, before: Json) -> list[str]:
        return [self.clients.environment.arn("rds", f"db:{self.instance}")]

    def aws_seconds(self, seconds: float) -> float:
        """A period of AWS's own pace, as long as it is in this environment."""
        return float(self.clients.environment.seconds(seconds))

    def rows(self, *statements: str, place: tuple[str, int] | None = None, **values: Any) -> list[Json | None]:
        """The first row of each statement, None where there is none, in one read-only session.

        place: the endpoint, where it is known already. Statements with values are sent alone.
        """
        place = place or endpoint(self.clients, self.database)
        with session(self.clients, self.database, place, limit_s=LIMIT_S) as found:
            # One round trip for all: on a sick host each costs seconds.
            cursor = found.execute(";".join(statements), values or None)
            rows = [cursor.fetchone()]
            for _statement in statements[1:]:
                cursor.nextset()
                rows.append(cursor.fetchone())
        return rows

    def send(self, operation: str, statement: str, **values: Any) -> None:
        """Send the one statement that changes something. Its own condition decides whether it does.

        Raises:
            CallFailed: nothing was sent, or what the statement was about is no longer what was seen.
            DatabaseUnknown: it was sent, and nobody can say whether it was done.
        """
        place, sent = endpoint(self.clients, self.database), False
        try:
            with session(self.clients, self.database, place, limit_s=LIMIT_S) as found:
                self.clients.declare("postgres", operation)
                sent = True
                row = found.execute(statement, values).fetchone()
        except DatabaseFailed as error:
            # A signal is not taken back, and a slot does not come back, when the statement fails afterwards.
            if sent and error.trouble is not Trouble.DENIED:
                raise DatabaseUnknown(error.trouble, f"postgres:{operation}") from None
            raise
        if row is None:
            raise CallFailed(f"{self.target} is no longer what was seen, so nothing was done to it: look again.")
