# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what stops changes from the runbooks' table. May change without notice.

"""The switch that stops all changes of an environment, and how long a component rests after one.

Both stand in the table of the leases, so that the transaction of an intent looks at the one and writes the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

Item = Mapping[str, Any]

SWITCH: Item = {"pk": {"S": "switch"}, "sk": {"S": "all"}}


def switch_check(table: str) -> dict[str, Any]:
    """The part of a transaction that fails while all changes are stopped."""
    return {
        "ConditionCheck": {
            "TableName": table,
            "Key": SWITCH,
            "ConditionExpression": "attribute_not_exists(pk) OR stopped = :no",
            "ExpressionAttributeValues": {":no": {"BOOL": False}},
        }
    }


def stopped(item: Item) -> str:
    """Why all changes are stopped: a sentence; empty when they are not. Pure."""
    if not item or not item["stopped"]["BOOL"]:
        return ""
    said = {name: item.get(name, {}).get("S", "unknown") for name in ("by", "at", "reason")}
    return (
        f"All changes are stopped by {said['by']} since {said['at']}: {said['reason']}. Talk to them; "
        "playbooks/stop.yml with -e stop_state=absent lets changes go on."
    )


def changed_key(component: str) -> dict[str, Any]:
    return {"pk": {"S": f"changed#{component}"}, "sk": {"S": "last"}}


def changed_put(table: str, component: str, entry: Mapping[str, Any], at: str) -> dict[str, Any]:
    """The part of a transaction that notes which incident changes a component. at: by AWS's clock."""
    said = {"incident": entry["incident"], "run": entry["run"], "at": at}
    item = {**changed_key(component), **{name: {"S": str(text)} for name, text in said.items()}}
    return {"Put": {"TableName": table, "Item": item}}


def resting(item: Item, component: str, incident: str, acknowledged: str, now: datetime, rest: timedelta) -> str:
    """Why a component is not changed again yet: a sentence; empty when it may be. Pure."""
    if not item:
        return ""
    other, at = item["incident"]["S"], datetime.fromisoformat(item["at"]["S"])
    age = now - at
    if other in (incident, acknowledged) or age >= rest:
        return ""
    return (
        f"{component} was changed for incident {other} at {item['at']['S']}, {age.total_seconds() / 60:.0f} minutes "
        "ago, and what that did may not show yet: read its record; if this is the same trouble, run with "
        f"incident_id={other}, else with incident_acknowledge={other} (runbook: --input, ansible-playbook: -e)."
    )
