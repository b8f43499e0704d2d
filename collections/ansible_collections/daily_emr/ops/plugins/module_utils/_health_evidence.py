# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the observations of one look at a component. May change without notice.

"""Readings and the observations made of them: a finding, ok, or unknown when a reading is missing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import TaskProbe
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings

# The class of the reason of tasks that ECS stopped because it wanted other ones.
REPLACED = "scaled in or replaced"


class Evidence:
    """The readings of one look at a component, and the observations that are made of them.

    symptoms: the observations that users feel, or that mean that a spare part is missing. All of them ok means healthy.
    about: where an observation is about something else than the component, the name of its subject.
    """

    def __init__(
        self,
        readings: Readings,
        component: str,
        thresholds: Json,
        at: str,
        *,
        symptoms: Collection[str],
        about: Mapping[str, str],
    ) -> None:
        self.readings, self.component, self.thresholds, self.at = readings, component, thresholds, at
        self._symptoms, self._about = symptoms, about
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
            self.note(name, None, f"could not read the {missing[0].replace('_', ' ')}: {why}", expected, call)
        else:
            self.note(name, *rule(), expected, call)

    def note(self, name: str, found: bool | None, seen: str, expected: str, call: str) -> None:
        """Add what is known already: whether it is a finding (None: unknown), and what was seen."""
        self.observations.append(
            {
                "name": name,
                "status": "unknown" if found is None else "finding" if found else "ok",
                "symptom": name in self._symptoms,
                "subject": plain(self._subject(name)),
                "expected": expected,
                "seen": plain(seen),
                "at": self.at,
                "call": call,
            }
        )

    def _subject(self, name: str) -> str:
        subject = self.subjects.get(self._about.get(name, ""))
        return str((subject["key"] if isinstance(subject, dict) else subject) or self.component)

    def status(self, name: str) -> str:
        return next(str(item["status"]) for item in self.observations if item["name"] == name)

    def describe(self, state: bool | None) -> str:
        """The state in one sentence."""
        if state:
            return f"{self.component} is healthy."
        by_status: dict[str, list[str]] = {"finding": [], "unknown": [], "ok": []}
        for item in self.observations:
            if item["symptom"]:
                by_status[item["status"]].append(item["name"])
        parts = [
            f"{words}: {', '.join(by_status[status])}"
            for status, words in (("finding", "is not healthy"), ("unknown", "could not be read"))
            if by_status[status]
        ]
        return f"{self.component} {'; '.join(parts)}."


def healthy(symptoms: Iterable[Json]) -> bool | None:
    """Whether none of these observations is a finding; None when one of them could not be made."""
    statuses = {item["status"] for item in symptoms}
    if "finding" in statuses:
        return False
    return None if "unknown" in statuses else True


def plain(text: str) -> str:
    """One line without control characters, whatever somebody named a resource."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]


def plain_all(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain_all(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_all(item) for item in value]
    return plain(value) if isinstance(value, str) else value
