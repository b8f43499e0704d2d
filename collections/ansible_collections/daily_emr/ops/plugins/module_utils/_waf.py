# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: web ACLs. May change without notice.

"""Read a web ACL and what a rule of it blocks, and give one rule another action."""

from __future__ import annotations

import copy
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

_SAMPLES = 500  # the most GetSampledRequests gives


def read_acl(clients: Clients, name: str, scope: str) -> Json:
    """The whole web ACL and the token an update of it must carry."""
    wafv2 = clients.read("wafv2")
    page: Json = {}
    while True:
        answer = wafv2.list_web_acls(Scope=scope, Limit=100, **page)
        for item in answer["WebACLs"]:
            if item["Name"] == name:
                found = wafv2.get_web_acl(Name=name, Scope=scope, Id=item["Id"])
                return {"acl": found["WebACL"], "lock_token": found["LockToken"]}
        if not answer.get("NextMarker") or not answer["WebACLs"]:
            raise OpsError(f"there is no web ACL {name} with scope {scope}; check web_service in the inventory")
        page = {"NextMarker": answer["NextMarker"]}


def action_of(rule: Json) -> Json:
    """Action and what it carries. A rule group has an override instead: none or count."""
    name, settings = next(iter((rule.get("OverrideAction") or rule["Action"]).items()))
    return {"action": name.lower(), "settings": settings}


def with_action(acl: Json, name: str, action: str, settings: Json) -> Json:
    """A copy of the web ACL in which one rule has another action."""
    changed = copy.deepcopy(acl)
    for rule in changed["Rules"]:
        if rule["Name"] == name:
            rule["OverrideAction" if "OverrideAction" in rule else "Action"] = {action.capitalize(): settings}
    return changed


def blocked_requests(
    clients: Clients, acl: Json, scope: str, rule: Json, *, window_s: float, routes: list[str]
) -> Json:
    """What the rule blocked lately, by route. Nothing of a request is kept but the route it belongs to."""
    now = datetime.now(UTC)
    answer = clients.read("wafv2").get_sampled_requests(
        WebAclArn=acl["ARN"],
        RuleMetricName=rule["VisibilityConfig"]["MetricName"],
        Scope=scope,
        TimeWindow={"StartTime": now - timedelta(seconds=window_s), "EndTime": now},
        MaxItems=_SAMPLES,
    )
    return summary(answer, window_s, routes)


def summary(answer: Json, window_s: float, routes: list[str]) -> Json:
    blocked = [item for item in answer["SampledRequests"] if item.get("Action") == "BLOCK"]
    places = [_route(item["Request"].get("URI", ""), routes) for item in blocked]
    return {
        "window_s": window_s,
        "samples": len(blocked),
        "routes": dict(sorted(Counter(place for place in places if place).items())),
        "elsewhere": places.count(None),
        "clients": len({item["Request"].get("ClientIP") for item in blocked}),
        "per_minute": answer.get("PopulationSize", len(blocked)) * 60 / window_s,
    }


def _route(uri: str, routes: list[str]) -> str | None:
    path = uri.partition("?")[0]
    return next((route for route in routes if path == route.rstrip("/") or path.startswith(route)), None)
