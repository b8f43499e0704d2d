"""The six flags of telehealth, in the LaunchDarkly of the changes."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import PROMISES, PROVIDER, REGION

from tests.unit.changes import launchdarkly
from tests.unit.changes.world import Json

VALUES: dict[str, tuple[Any, ...]] = {PROVIDER: ("primary", "secondary"), REGION: ("af-south-1", "eu-west-1")}


class Flags(launchdarkly.Provider):
    """LaunchDarkly with flags of several variations."""

    def __init__(self) -> None:
        super().__init__()
        for name in PROMISES:
            self.of(name)

    def of(self, name: str, hours: float = 1000.0) -> Json:
        """Make the flag of a setting anew, as it is when nothing was ever wrong; what is served here."""
        key, several = f"telehealth-{name.replace('_', '-')}", name in VALUES
        here = self.flag(key, on=several, hours=hours, tags=(PROMISES[name],))
        here["lastModified"] = int((self.now() - hours * 3600) * 1000)
        here |= {"fallthrough": {"variation": 0}, "offVariation": 0 if several else 1, "rules": [], "targets": []}
        values = VALUES.get(name, (True, False))
        self.flags[key]["variations"] = [
            {"_id": f"{key}-{number}", "value": value} for number, value in enumerate(values)
        ]
        return here

    def patch(self, key: str, body: Json, preview: bool) -> int:
        (instruction,) = body["instructions"]
        several = instruction["kind"] == "updateFallthroughVariationOrRollout"
        here = self.flags[key]["environments"][body["environmentKey"]]
        on = here["on"]
        status = super().patch(key, body, preview)
        if several:
            here["on"] = on
        if status == 200 and not preview and self.lose != "before":
            here["lastModified"] = int(self.now() * 1000)
            if several:
                ids = [variation["_id"] for variation in self.flags[key]["variations"]]
                here["fallthrough"] = {"variation": ids.index(instruction["variationId"])}
        return status
