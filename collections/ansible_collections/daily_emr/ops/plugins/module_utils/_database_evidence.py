# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the observations of one look at a database. May change without notice.

"""What the rules of a database have in common: the component, its role, and the pace of its environment."""

from __future__ import annotations

from datetime import timedelta

from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import Evidence
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, since

# What users feel, what stands between them and their data, or what leaves them without a spare part.
SYMPTOMS = (
    "instance_not_available",
    "endpoint_refusing",
    "login_failing",
    "connections_refused",
    "starting_up",
    "node_read_only",
    "write_failing",
    "database_slow",
    "application_failing",
    "application_auth_failing",
    "sessions_blocked",
    "connections_exhausted",
    "storage_low",
    "corruption",
    "standby_missing",
    "read_only_mode",
)
_SUBJECTS = {
    "instance_not_available": "status",
    "instance_in_transition": "status",
    "instance_broken": "status",
    "storage_full": "status",
    "slot_orphaned": "orphaned_slot",
    "secret_rotated": "rotated_secret",
    "read_only_mode": "read_only_flag",
}


class DatabaseEvidence(Evidence):
    """time_factor: how many times faster than AWS the environment runs."""

    def __init__(
        self, readings: Readings, database: Json, thresholds: Json, at: str, *, time_factor: float = 1.0
    ) -> None:
        super().__init__(readings, database["component"], thresholds, at, symptoms=SYMPTOMS, about=_SUBJECTS)
        self.database = database
        self.time_factor = time_factor

    def aws(self, **span: float) -> timedelta:
        """A period at the pace of AWS, as long as it is here."""
        return timedelta(**span) / self.time_factor

    def aws_seconds(self, seconds: float) -> float:
        return self.aws(seconds=seconds).total_seconds()

    def older(self, moment: str, now: str, **span: float) -> bool:
        """Whether a moment lies longer back than a period at the pace of AWS."""
        return since(moment, now) > self.aws(**span)

    def found(self, *names: str) -> list[str]:
        return [name for name in names if self.status(name) == "finding"]

    def unknown(self, *names: str) -> list[str]:
        return [name for name in names if self.status(name) == "unknown"]
