# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: web ACLs. May change without notice.

"""Read a web ACL and what a rule of it blocks, and give one rule another action."""

from __future__ import annotations

import copy
import ipaddress
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError

if TYPE_CHECKING:
    from typing import TypeAlias

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

# What a rate-based rule may count by, for one client to be told from another.
COUNTS_BY_ADDRESS = ("IP", "FORWARDED_IP")
# The rest of what a rule counts may be a second client just above the limit; more of it are users.
NEARLY_ALL = 0.8
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


def update_acl(clients: Clients, read: Json, changed: Json, scope: str) -> None:
    """Replace the web ACL that was read by a changed copy of it; refused by AWS when somebody was faster."""
    client = clients.write("wafv2", "UpdateWebACL")
    # What UpdateWebACL takes, of what GetWebACL gave: everything left out would be removed. A web ACL without a
    # description is given back with an empty one, which is not taken.
    takes = client.meta.service_model.operation_model("UpdateWebACL").input_shape.members
    kept = {key: value for key, value in changed.items() if key in takes and value != ""}
    client.update_web_acl(**kept, Scope=scope, LockToken=read["lock_token"])


def acl_resources(clients: Clients, acl: Json) -> list[str]:
    """The web ACL, and the sets and groups of this account that its rules may name: AWS looks at these as well."""
    kinds = ("ipset", "regexpatternset", "rulegroup", "managedruleset")
    return [acl["ARN"], *(clients.environment.arn("wafv2", f"regional/{kind}/*") for kind in kinds)]


def blocked_requests(
    clients: Clients, acl: Json, scope: str, rule: Json, *, window_s: float, routes: list[str]
) -> Json:
    """What the rule blocked lately, by route. Nothing of a request is kept but the route it belongs to."""
    return summary(_samples(clients, acl, scope, rule, window_s), window_s, routes)


def _samples(clients: Clients, acl: Json, scope: str, rule: Json, window_s: float) -> Json:
    now = datetime.now(UTC)
    answer: Json = clients.read("wafv2").get_sampled_requests(
        WebAclArn=acl["ARN"],
        RuleMetricName=rule["VisibilityConfig"]["MetricName"],
        Scope=scope,
        TimeWindow={"StartTime": now - timedelta(seconds=window_s), "EndTime": now},
        MaxItems=_SAMPLES,
    )
    return answer


def counted_requests(
    clients: Clients, acl: Json, scope: str, rule: Json, *, window_s: float, shared: list[Network]
) -> Json:
    """What a rate-based rule counted lately: how many clients, and whether one of them is shared by many users.

    No address is kept.
    """
    answer = _samples(clients, acl, scope, rule, window_s)
    counted = [item for item in answer["SampledRequests"] if item.get("Action") == "COUNT"]
    header = forwarded_header(rule)
    senders = Counter(_client(item["Request"], header) for item in counted)
    now = datetime.now(UTC)
    ages = [(now - item["Timestamp"]).total_seconds() for item in counted]
    total = answer.get("PopulationSize", len(counted))
    most = max(senders.values(), default=0)
    return {
        "window_s": window_s,
        "samples": len(counted),
        "clients": len(senders),
        "unreadable": senders[None],
        "most": most,
        "shared": sum(count for client, count in senders.items() if client and _within(client, shared)),
        "counted_for_s": max(ages, default=0.0),
        # What WAF sampled from is not all counted when the rule was changed in the window.
        "most_per_minute": total * most / max(len(answer["SampledRequests"]), 1) * 60 / window_s,
    }


def counts_clients(rule: Json) -> bool:
    """Whether it is a rate-based rule that counts addresses of clients and does not block them."""
    statement = rule["Statement"].get("RateBasedStatement", {})
    return statement.get("AggregateKeyType") in COUNTS_BY_ADDRESS and action_of(rule)["action"] == "count"


def forwarded_header(rule: Json) -> str | None:
    """The header a rate-based rule takes the client from; None when it is the address of the connection."""
    statement = rule["Statement"]["RateBasedStatement"]
    if statement["AggregateKeyType"] != "FORWARDED_IP":
        return None
    return str(statement["ForwardedIPConfig"]["HeaderName"])


def _client(request: Json, header: str | None) -> str | None:
    """The address that the rule counts by; None when the sample does not show it."""
    if header is None:
        text = str(request.get("ClientIP", ""))
    else:
        values = [item["Value"] for item in request.get("Headers", []) if item["Name"].lower() == header.lower()]
        text = values[0].partition(",")[0].strip() if values else ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _within(client: str, networks: list[Network]) -> bool:
    address = ipaddress.ip_address(client)
    return any(address.version == network.version and address in network for network in networks)


def read_shared_networks(clients: Clients, acl: Json, scope: str, rule: Json, given: list[str]) -> list[Network]:
    """Networks that many users come from: those given, and the IP sets that the web ACL allows or the rule spares."""
    allowing = [item["Statement"] for item in acl["Rules"] if "Allow" in item.get("Action", {})]
    arns = sorted({arn for statement in (*allowing, rule["Statement"]) for arn in _ip_sets(statement)})
    addresses = list(given)
    for arn in arns:
        name, identity = arn.split("/")[-2:]
        addresses += clients.read("wafv2").get_ip_set(Name=name, Scope=scope, Id=identity)["IPSet"]["Addresses"]
    try:
        return [ipaddress.ip_network(address, strict=False) for address in addresses]
    except ValueError:
        raise OpsError("one of them is not a network such as 192.0.2.0/24; correct shared_networks") from None


def _ip_sets(value: Any) -> Iterator[str]:
    """The IP sets that a statement names, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get("IPSetReferenceStatement"), dict):
            yield value["IPSetReferenceStatement"]["ARN"]
        for item in value.values():
            yield from _ip_sets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _ip_sets(item)


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
