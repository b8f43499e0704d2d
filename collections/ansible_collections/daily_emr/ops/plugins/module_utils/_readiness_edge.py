# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of the edge. May change without notice.

"""CloudFront, the web ACL and the load balancer: nobody gets in beside them."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._edge_rule import CANARY, same
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import (
    Look,
    Registry,
    Seen,
    Unknown,
    instant,
    seen,
)

AREA = Registry("edge")
check = AREA.check

ACLS, DISTRIBUTIONS, BALANCERS = "wafv2:ListWebACLs", "cloudfront:ListDistributions", "elbv2:DescribeLoadBalancers"
GLOBAL = "us-east-1"
"""Where certificates of CloudFront live."""


def _balancer(look: Look) -> dict[str, Any]:
    return look.one(BALANCERS, "LoadBalancers", Names=[look.names["load_balancer"]])


def _acl(look: Look) -> dict[str, Any]:
    found = [item for item in look.listed(ACLS, "WebACLs", Scope="REGIONAL") if item["Name"] == look.names["web_acl"]]
    if len(found) != 1:
        raise Unknown(f"There are {len(found)} web ACLs named {look.names['web_acl']}.")
    return dict(found[0])


def _distribution(look: Look) -> dict[str, Any]:
    items = look.read(DISTRIBUTIONS)["DistributionList"].get("Items", [])
    found = [item for item in items if look.names["domain"] in item.get("Aliases", {}).get("Items", [])]
    if len(found) != 1:
        raise Unknown(f"{len(found)} distributions of CloudFront have the alias {look.names['domain']}.")
    return dict(found[0])


@check(
    "web_acl",
    "Web ACL in front of the load balancer",
    "the web ACL is attached to the load balancer and has groups of managed rules that block",
    calls=(ACLS, "wafv2:GetWebACL", "wafv2:ListResourcesForWebACL", BALANCERS),
)
def web_acl(look: Look) -> Seen:
    acl = _acl(look)
    rules = look.read("wafv2:GetWebACL", Name=acl["Name"], Scope="REGIONAL", Id=acl["Id"])["WebACL"]["Rules"]
    attached = look.listed(
        "wafv2:ListResourcesForWebACL", "ResourceArns", WebACLArn=acl["ARN"], ResourceType="APPLICATION_LOAD_BALANCER"
    )
    managed = sorted(
        rule["Statement"]["ManagedRuleGroupStatement"]["Name"]
        for rule in rules
        # "Count" instead of "None" would only count what the group finds.
        if "ManagedRuleGroupStatement" in rule["Statement"] and "None" in rule.get("OverrideAction", {})
    )
    there = _balancer(look)["LoadBalancerArn"] in attached
    return seen(there and managed, attached=there, managed_rules=managed)


@check(
    "web_acl_logging",
    "Logs of the web ACL",
    "the web ACL logs, without authorization and cookies",
    calls=(ACLS, "wafv2:GetLoggingConfiguration"),
)
def web_acl_logging(look: Look) -> Seen:
    found = look.read_or_none(
        "wafv2:GetLoggingConfiguration", "WAFNonexistentItemException", ResourceArn=_acl(look)["ARN"]
    )
    if found is None:
        return seen(passed=False, logging=False)
    fields = found["LoggingConfiguration"].get("RedactedFields", [])
    hidden = {item["SingleHeader"]["Name"].lower() for item in fields if "SingleHeader" in item}
    return seen({"authorization", "cookie"} <= hidden, logging=True, redacted=hidden)


@check(
    "tls",
    "TLS of the edge",
    "CloudFront is enabled, speaks TLSv1.2_2021 or newer, and sends plain HTTP away",
    calls=(DISTRIBUTIONS,),
)
def tls(look: Look) -> Seen:
    distribution = _distribution(look)
    version = distribution["ViewerCertificate"].get("MinimumProtocolVersion", "")
    policies = {
        behaviour["ViewerProtocolPolicy"]
        for behaviour in (
            distribution["DefaultCacheBehavior"],
            *distribution.get("CacheBehaviors", {}).get("Items", []),
        )
    }
    new_enough = version in ("TLSv1.2_2021", "TLSv1.2_2025", "TLSv1.3_2025")
    return seen(
        distribution["Enabled"] and new_enough and policies <= {"redirect-to-https", "https-only"},
        enabled=distribution["Enabled"],
        version=version,
        plain_http=policies,
    )


@check(
    "certificate",
    "Certificate of the edge",
    "the certificate is ISSUED and valid for more than {certificate_days} days",
    calls=(DISTRIBUTIONS, "acm:DescribeCertificate"),
)
def certificate(look: Look) -> Seen:
    arn = _distribution(look)["ViewerCertificate"]["ACMCertificateArn"]
    found = look.read("acm:DescribeCertificate", region=GLOBAL, CertificateArn=arn)["Certificate"]
    days = (instant(found["NotAfter"]) - look.now).days
    return seen(
        found["Status"] == "ISSUED" and days > look.wanted["certificate_days"],
        measured={"days_left": days},
        status=found["Status"],
    )


@check(
    "origin_ingress",
    "Only CloudFront reaches the load balancer",
    "security groups of the load balancer let in nothing but the prefix list of CloudFront",
    calls=(BALANCERS, "ec2:DescribeSecurityGroups", "ec2:DescribeManagedPrefixLists"),
)
def origin_ingress(look: Look) -> Seen:
    groups = look.listed(
        "ec2:DescribeSecurityGroups", "SecurityGroups", GroupIds=sorted(_balancer(look)["SecurityGroups"])
    )
    filters = [{"Name": "prefix-list-name", "Values": ["com.amazonaws.global.cloudfront.origin-facing"]}]
    lists = look.listed("ec2:DescribeManagedPrefixLists", "PrefixLists", Filters=filters)
    edge = {item["PrefixListId"] for item in lists}
    rules = [rule for group in groups for rule in group["IpPermissions"]]
    let_in = {item["PrefixListId"] for rule in rules for item in rule.get("PrefixListIds", [])}
    others = {item["CidrIp"] for rule in rules for item in rule.get("IpRanges", [])}
    others |= {item["CidrIpv6"] for rule in rules for item in rule.get("Ipv6Ranges", [])}
    others |= {item["GroupId"] for rule in rules for item in rule.get("UserIdGroupPairs", [])}
    others |= let_in - edge
    return seen(let_in & edge and not others, others=others)


@check(
    "origin_secret",
    "The load balancer knows CloudFront",
    "CloudFront sends a secret header, and the web ACL or each listener answers requests without it with 403",
    calls=(
        DISTRIBUTIONS,
        BALANCERS,
        ACLS,
        "wafv2:GetWebACL",
        "elbv2:DescribeListeners",
        "elbv2:DescribeRules",
    ),
)
def origin_secret(look: Look) -> Seen:
    origins = _distribution(look)["Origins"]["Items"]
    sent = {
        header["HeaderName"].lower()
        for origin in origins
        if "CustomOriginConfig" in origin
        for header in origin["CustomHeaders"].get("Items", [])
    }
    acl = _acl(look)
    rules = look.read("wafv2:GetWebACL", Name=acl["Name"], Scope="REGIONAL", Id=acl["Id"])["WebACL"]["Rules"]
    if any(_asks(rule, sent) for rule in rules):
        return seen(passed=True, header_sent=True, refused_by="the web ACL")
    listeners = look.listed("elbv2:DescribeListeners", "Listeners", LoadBalancerArn=_balancer(look)["LoadBalancerArn"])
    open_ports = set()
    for listener in listeners:
        rules = look.listed("elbv2:DescribeRules", "Rules", ListenerArn=listener["ListenerArn"])
        if not all(_guarded(rule, sent) for rule in rules):
            open_ports.add(listener["Port"])
    return seen(sent and listeners and not open_ports, header_sent=bool(sent), open_ports=open_ports)


def _asks(rule: dict[str, Any], sent: set[str]) -> bool:
    """Whether a rule of the web ACL blocks what lacks the headers that CloudFront sends, except from some addresses,
    and except what the second region's canary asks for.
    """
    others = rule["Statement"].get("NotStatement", {}).get("Statement", {})
    parts = others.get("OrStatement", {}).get("Statements") or [others]
    proofs = [part for part in parts if not same(part, CANARY)]
    matches = [part["ByteMatchStatement"] for part in proofs if "ByteMatchStatement" in part]
    asked = {one["FieldToMatch"].get("SingleHeader", {}).get("Name", "").lower() for one in matches}
    known = all(part.keys() <= {"ByteMatchStatement", "IPSetReferenceStatement"} for part in proofs)
    exact = all(one["PositionalConstraint"] == "EXACTLY" for one in matches)
    return "Block" in rule.get("Action", {}) and bool(matches) and asked <= sent and known and exact


def _guarded(rule: dict[str, Any], sent: set[str]) -> bool:
    """Whether a rule refuses, sends away, or asks for the header that CloudFront sends."""
    kinds = {action["Type"] for action in rule["Actions"]}
    asked = {
        condition["HttpHeaderConfig"]["HttpHeaderName"].lower()
        for condition in rule["Conditions"]
        if condition.get("Field") == "http-header"
    }
    refused = kinds == {"fixed-response"} and all(
        action["FixedResponseConfig"]["StatusCode"] == "403" for action in rule["Actions"]
    )
    return refused or kinds == {"redirect"} or bool(asked & sent)
