# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the observations of one look at a web service. May change without notice.

"""Readings and the observations made of them: a finding, ok, or unknown when a reading is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import TaskProbe
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings

# What users feel, or what leaves them without a spare part. All of them ok means healthy.
SYMPTOMS = (
    "edge_failing",
    "balancer_failing",
    "no_tasks",
    "scaled_to_zero",
    "below_minimum",
    "too_few_targets",
    "tasks_not_live",
    "tasks_not_ready",
    "reads_failing",
    "new_release_crashing",
    "database_unreachable",
    "database_auth_failing",
    "database_slow",
    "cache_unreachable",
    "capacity_exhausted",
    "error_ratio_high",
    "latency_high",
)
# The class of the reason of tasks that ECS stopped because it wanted other ones.
REPLACED = "scaled in or replaced"
# Where an observation is about something else than the component: the name of its subject.
_SUBJECTS = {
    "secret_rotated": "rotated_secret",
    "zone_impaired": "impaired_zone",
    "waf_blocking": "blocking_rule",
    "flag_suspect": "suspect_flag",
    "deployment_in_progress": "service_deployment",
    "rollback_image_missing": "last_known_good",
    "rollback_incompatible": "last_known_good",
    "release_recent": "newest_revision",
    "new_release_crashing": "newest_revision",
    "new_release_failing": "newest_revision",
}


class Evidence:
    """The readings of one look at a service, and the observations that are made of them."""

    symptoms: tuple[str, ...] = SYMPTOMS

    def __init__(self, readings: Readings, service: Json, thresholds: Json, at: str) -> None:
        self.readings, self.service, self.thresholds, self.at = readings, service, thresholds, at
        self.observations: list[Json] = []
        self.subjects: Json = {}
        shift = readings.values.get("shift") or {}
        zones = (readings.values.get("balancer") or {}).get("zones", {})
        self.shifted = zones.get(shift.get("away_from"))

    def read(self, name: str) -> Any:
        return self.readings.values[name]

    @property
    def probes(self) -> list[TaskProbe]:
        """The tasks that users can reach: those of a zone that traffic was shifted away from are nobody's trouble."""
        return [
            probe for probe in self.read("task_probes").values() if not (self.shifted and probe.zone == self.shifted)
        ]

    def look(
        self,
        name: str,
        needs: tuple[str, ...],
        rule: Callable[[], tuple[bool | None, str]],
        *,
        expected: str,
        call: str,
    ) -> None:
        """Add one observation.

        rule says whether it is a finding (None: what was read does not tell), and what was seen; it is not asked when
        a reading is missing.
        """
        missing = [need for need in needs if need not in self.readings.values]
        if missing:
            why = self.readings.unread.get(missing[0], "it depends on a reading that is missing")
            status, seen = "unknown", f"could not read the {missing[0].replace('_', ' ')}: {why}"
        else:
            found, seen = rule()
            status = "unknown" if found is None else "finding" if found else "ok"
        self.observations.append(
            {
                "name": name,
                "status": status,
                "symptom": name in self.symptoms,
                "subject": plain(self._subject(name)),
                "expected": expected,
                "seen": plain(seen),
                "at": self.at,
                "call": call,
            }
        )

    def _subject(self, name: str) -> str:
        subject = self.subjects.get(_SUBJECTS.get(name, ""))
        return str((subject["key"] if isinstance(subject, dict) else subject) or self.service["component"])

    def status(self, name: str) -> str:
        return next(str(item["status"]) for item in self.observations if item["name"] == name)


def plain(text: str) -> str:
    """One line without control characters, whatever somebody named a resource."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]


def plain_all(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain_all(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_all(item) for item in value]
    return plain(value) if isinstance(value, str) else value
