# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""CloudFront in front of the load balancer, what proves to the web ACL that a request came through it, and its log."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import State
from ansible_collections.daily_emr.ops.plugins.module_utils._edge_rule import CANARY, exactly, same
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._resources import Json, Resource, absent

GLOBAL = "us-east-1"
"""Where AWS keeps what belongs to CloudFront: https://docs.aws.amazon.com/general/latest/gr/cf_region.html"""
CURRENT, PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"
VALUE_BYTES = 48


class SecretValue(Resource):
    """A secret that nobody is given, because only services of AWS need it: its first value is made here.

    A value that stands is left; a new version is for who rotates it.
    """

    name: ClassVar[str] = "secret_value"
    spec: ClassVar[Json] = {"kms_key": {"type": "str", "required": True}}

    def read(self) -> Json | None:
        client = self.clients.read("secretsmanager")
        found = absent(lambda: client.describe_secret(SecretId=self.called), "ResourceNotFoundException")
        if found is None:
            return None
        stages = [stage for some in (found.get("VersionIdsToStages") or {}).values() for stage in some]
        return {"has_value": CURRENT in stages, "context": {"deleted": bool(found.get("DeletedDate"))}}

    def desired(self) -> Json:
        return {"has_value": True}

    def refusals(self, before: State) -> list[str]:
        if before["present"] and before["context"]["deleted"]:
            return [f"{self.called} is scheduled for deletion: restore it first."]
        return []

    def apply(self, before: State) -> None:
        value = secrets.token_urlsafe(VALUE_BYTES)
        if before["present"]:
            client = self.clients.write("secretsmanager", "PutSecretValue")
            client.put_secret_value(SecretId=self.called, SecretString=value)
            return
        self.clients.write("secretsmanager", "CreateSecret").create_secret(
            Name=self.called, SecretString=value, KmsKeyId=self.settings["kms_key"], Tags=self.tags
        )


class BySecret(Resource):
    """What holds the value of a secret. No value is ever part of what observe() returns."""

    def value(self, stage: str = CURRENT) -> str:
        """The value in a stage; empty where there is none."""
        name = self.settings["secret"]
        found = absent(lambda: self.clients.secret_value(name, stage=stage), "ResourceNotFoundException")
        return found.reveal() if found else ""

    def needed(self) -> str:
        """The current value, for the call that needs it."""
        value = self.value()
        if not value:
            raise Refused(f"The secret {self.settings['secret']} has no value: put one in first.")
        return value


class Distribution(BySecret):
    """The distribution of CloudFront, by its alias: one origin, nothing cached, and the secret header.

    Compared is what is said here; other origins and behaviours are left as they are.
    """

    ORIGIN: ClassVar[str] = "balancer"
    METHODS: ClassVar[tuple[str, ...]] = ("GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE")
    # AWS's own policies, of the same id in every account: nothing is cached, and everything of a request is sent on.
    # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html
    UNCACHED: ClassVar[str] = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    ALL_OF_THE_VIEWER: ClassVar[str] = "216adef6-5c7f-47e4-b989-5492eafa07d3"
    # How behaviours said it before there were policies. A behaviour cannot have both.
    LEGACY: ClassVar[tuple[str, ...]] = ("ForwardedValues", "MinTTL", "DefaultTTL", "MaxTTL")
    name: ClassVar[str] = "distribution"
    spec: ClassVar[Json] = {
        "alias": {"type": "str", "required": True},
        "origin": {"type": "str", "required": True},
        "certificate": {"type": "str", "required": True},
        "header": {"type": "str", "required": True},
        "secret": {"type": "str", "required": True},
    }

    def read(self) -> Json | None:
        client, alias = self.clients.read("cloudfront"), self.settings["alias"]
        pages = client.get_paginator("list_distributions").paginate()
        listed = [one for page in pages for one in page["DistributionList"].get("Items") or []]
        ours = [one for one in listed if alias in (one.get("Aliases", {}).get("Items") or [])]
        if not ours:
            return None
        answer = client.get_distribution_config(Id=ours[0]["Id"])
        context = {"id": ours[0]["Id"], "etag": answer["ETag"], "config": answer["DistributionConfig"]}
        return {**self._said(answer["DistributionConfig"]), "arn": ours[0]["ARN"], "context": context}

    def _said(self, config: Json) -> Json:
        """The compared settings of a configuration. Whether the header is right is said, and not what it is."""
        origin: Json = next((one for one in config["Origins"]["Items"] if one["Id"] == self.ORIGIN), {})
        custom = origin.get("CustomOriginConfig") or {}
        sent = {
            one["HeaderName"].lower(): one["HeaderValue"]
            for one in (origin.get("CustomHeaders") or {}).get("Items") or []
        }
        value = self.value()
        behaviour = config["DefaultCacheBehavior"]
        viewer = config.get("ViewerCertificate") or {}
        return {
            "enabled": config["Enabled"],
            "certificate": viewer.get("ACMCertificateArn", ""),
            "tls": viewer.get("MinimumProtocolVersion", ""),
            "sni": viewer.get("SSLSupportMethod", ""),
            "http": config.get("HttpVersion", ""),
            "origin": origin.get("DomainName", ""),
            "origin_protocol": custom.get("OriginProtocolPolicy", ""),
            "origin_tls": sorted((custom.get("OriginSslProtocols") or {}).get("Items") or []),
            "secret_header": bool(value) and sent.get(self.settings["header"].lower()) == value,
            "to": behaviour["TargetOriginId"],
            "plain_http": behaviour["ViewerProtocolPolicy"],
            "methods": sorted((behaviour.get("AllowedMethods") or {}).get("Items") or []),
            "cache_policy": behaviour.get("CachePolicyId", ""),
            "request_policy": behaviour.get("OriginRequestPolicyId", ""),
        }

    def desired(self) -> Json:
        return {
            "enabled": True,
            "certificate": self.settings["certificate"],
            "tls": "TLSv1.2_2021",
            "sni": "sni-only",
            "http": "http2",
            "origin": self.settings["origin"],
            "origin_protocol": "https-only",
            "origin_tls": ["TLSv1.2"],
            "secret_header": True,
            "to": self.ORIGIN,
            "plain_http": "redirect-to-https",
            "methods": sorted(self.METHODS),
            "cache_policy": self.UNCACHED,
            "request_policy": self.ALL_OF_THE_VIEWER,
        }

    def _configuration(self, standing: Json) -> Json:
        """A standing configuration, or none, with everything that is said here laid over it."""
        others = [one for one in (standing.get("Origins") or {}).get("Items") or [] if one["Id"] != self.ORIGIN]
        aliases = sorted({*((standing.get("Aliases") or {}).get("Items") or []), self.settings["alias"]})
        behaviour = {
            key: value
            for key, value in (standing.get("DefaultCacheBehavior") or {"Compress": True}).items()
            if key not in self.LEGACY
        }
        return {
            "CallerReference": self.called,
            "Comment": "Daily EMR",
            "PriceClass": "PriceClass_All",
            **standing,
            "Enabled": True,
            "HttpVersion": "http2",
            "Aliases": _counted(aliases),
            "ViewerCertificate": {
                "ACMCertificateArn": self.settings["certificate"],
                "SSLSupportMethod": "sni-only",
                "MinimumProtocolVersion": "TLSv1.2_2021",
            },
            "Origins": _counted([*others, self._origin()]),
            "DefaultCacheBehavior": {
                **behaviour,
                "TargetOriginId": self.ORIGIN,
                "ViewerProtocolPolicy": "redirect-to-https",
                "AllowedMethods": {**_counted(list(self.METHODS)), "CachedMethods": _counted(["GET", "HEAD"])},
                "CachePolicyId": self.UNCACHED,
                "OriginRequestPolicyId": self.ALL_OF_THE_VIEWER,
            },
        }

    def _origin(self) -> Json:
        return {
            "Id": self.ORIGIN,
            "DomainName": self.settings["origin"],
            "OriginPath": "",
            "CustomHeaders": _counted([{"HeaderName": self.settings["header"], "HeaderValue": self.needed()}]),
            "CustomOriginConfig": {
                "HTTPPort": 80,
                "HTTPSPort": 443,
                "OriginProtocolPolicy": "https-only",
                "OriginSslProtocols": _counted(["TLSv1.2"]),
            },
        }

    def apply(self, before: State) -> None:
        if not before["present"]:
            self.clients.write("cloudfront", "CreateDistributionWithTags").create_distribution_with_tags(
                DistributionConfigWithTags={
                    "DistributionConfig": self._configuration({}),
                    "Tags": {"Items": self.tags},
                }
            )
            return
        context = before["context"]
        # With the ETag of what was compared, so that nobody else's change is overwritten.
        self.clients.write("cloudfront", "UpdateDistribution").update_distribution(
            Id=context["id"], IfMatch=context["etag"], DistributionConfig=self._configuration(context["config"])
        )


def _counted(items: list[Any]) -> Json:
    """A list as CloudFront wants it."""
    return {"Quantity": len(items), "Items": items}


class AddressSet(Resource):
    """A set of addresses for rules of a web ACL."""

    name: ClassVar[str] = "address_set"
    spec: ClassVar[Json] = {
        "scope": {"type": "str", "required": True, "choices": ["REGIONAL"]},
        "addresses": {"type": "list", "elements": "str", "required": True},
    }

    def read(self) -> Json | None:
        client, scope = self.clients.read("wafv2"), self.settings["scope"]
        found = [one for one in client.list_ip_sets(Scope=scope)["IPSets"] if one["Name"] == self.called]
        if not found:
            return None
        answer = client.get_ip_set(Name=self.called, Scope=scope, Id=found[0]["Id"])
        context = {"id": found[0]["Id"], "token": answer["LockToken"]}
        return {"addresses": sorted(answer["IPSet"]["Addresses"]), "arn": found[0]["ARN"], "context": context}

    def desired(self) -> Json:
        return {"addresses": sorted(self.settings["addresses"])}

    def apply(self, before: State) -> None:
        common = {"Name": self.called, "Scope": self.settings["scope"], "Addresses": self.desired()["addresses"]}
        if before["present"]:
            self.clients.write("wafv2", "UpdateIPSet").update_ip_set(
                **common, Id=before["context"]["id"], LockToken=before["context"]["token"]
            )
            return
        self.clients.write("wafv2", "CreateIPSet").create_ip_set(**common, IPAddressVersion="IPV4", Tags=self.tags)


class OriginRule(BySecret):
    """The rule of a web ACL that refuses what did not come through CloudFront, nor from who probes past it, nor is what
    the second region's canary asks for.

    The secret header is the proof. The value before is taken as well, because CloudFront needs minutes for a new one.
    What the rule does is left when it stands: a runbook may have set it to count.
    """

    RULE: ClassVar[str] = "only-through-the-edge"
    name: ClassVar[str] = "origin_rule"
    spec: ClassVar[Json] = {
        "scope": {"type": "str", "required": True, "choices": ["REGIONAL"]},
        "header": {"type": "str", "required": True},
        "secret": {"type": "str", "required": True},
        "addresses_arn": {"type": "str", "required": True},
    }

    def read(self) -> Json | None:
        client, scope = self.clients.read("wafv2"), self.settings["scope"]
        listed = [one for one in client.list_web_acls(Scope=scope)["WebACLs"] if one["Name"] == self.called]
        if not listed:
            return None
        answer = client.get_web_acl(Name=self.called, Scope=scope, Id=listed[0]["Id"])
        acl = answer["WebACL"]
        rule = next((one for one in acl["Rules"] if one["Name"] == self.RULE), None)
        values = [value for value in (self.value(), self.value(PREVIOUS)) if value]
        context = {"id": listed[0]["Id"], "token": answer["LockToken"], "acl": acl, "values": len(values)}
        right = rule is not None and same(rule["Statement"], self._statement(values))
        return {"refuses_the_rest": right, "context": context}

    def desired(self) -> Json:
        return {"refuses_the_rest": True}

    def refusals(self, before: State) -> list[str]:
        if not before["present"]:
            return [f"There is no web ACL {self.called}: make it first."]
        if not before["context"]["values"]:
            return [f"The secret {self.settings['secret']} has no value: put one in first."]
        return []

    def _statement(self, values: list[str]) -> Json:
        header = {"SingleHeader": {"Name": self.settings["header"].lower()}}
        proofs = [exactly(header, value) for value in values]
        probes = {"IPSetReferenceStatement": {"ARN": self.settings["addresses_arn"]}}
        return {"NotStatement": {"Statement": {"OrStatement": {"Statements": [*proofs, probes, CANARY]}}}}

    def apply(self, before: State) -> None:
        acl = before["context"]["acl"]
        standing = next((one for one in acl["Rules"] if one["Name"] == self.RULE), None)
        others = [one for one in acl["Rules"] if one["Name"] != self.RULE]
        taken = {one["Priority"] for one in others}
        values = [value for value in (self.needed(), self.value(PREVIOUS)) if value]
        rule = {
            # Before anything else is looked at, and counted by the rate limit.
            "Priority": next(number for number in range(1000) if number not in taken),
            "Action": {"Block": {}},
            **(standing or {}),
            "Name": self.RULE,
            "Statement": self._statement(values),
            "VisibilityConfig": {
                # A sample would show the header to whoever may look.
                "SampledRequestsEnabled": False,
                "CloudWatchMetricsEnabled": True,
                "MetricName": f"{self.called}-{self.RULE}",
            },
        }
        kept = ("DefaultAction", "Description", "VisibilityConfig", "CustomResponseBodies", "CaptchaConfig",
                "ChallengeConfig", "TokenDomains", "AssociationConfig")  # fmt: skip
        self.clients.write("wafv2", "UpdateWebACL").update_web_acl(
            Name=self.called,
            Scope=self.settings["scope"],
            Id=before["context"]["id"],
            LockToken=before["context"]["token"],
            Rules=[*others, rule],
            **{key: acl[key] for key in kept if acl.get(key)},
        )


class LogSource(Resource):
    """The access log of a distribution, as what can be delivered."""

    name: ClassVar[str] = "log_source"
    spec: ClassVar[Json] = {"resource_arn": {"type": "str", "required": True}}

    def read(self) -> Json | None:
        client = self.clients.read("logs", GLOBAL)
        found = absent(lambda: client.get_delivery_source(name=self.called), "ResourceNotFoundException")
        return {"of": list(found["deliverySource"]["resourceArns"])} if found else None

    def desired(self) -> Json:
        return {"of": [self.settings["resource_arn"]]}

    def refusals(self, before: State) -> list[str]:
        if before["present"]:
            return [f"{self.called} is the log of another distribution, and AWS does not move it: remove it first."]
        return []

    def apply(self, before: State) -> None:
        self.clients.write("logs", "PutDeliverySource", region=GLOBAL).put_delivery_source(
            name=self.called, resourceArn=self.settings["resource_arn"], logType="ACCESS_LOGS", tags=self._flat()
        )

    def _flat(self) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.tags}


class LogDestination(LogSource):
    """A bucket as a place that logs are delivered to."""

    name: ClassVar[str] = "log_destination"
    spec: ClassVar[Json] = {"bucket": {"type": "str", "required": True}, "prefix": {"type": "str", "required": True}}

    def read(self) -> Json | None:
        client = self.clients.read("logs", GLOBAL)
        found = absent(lambda: client.get_delivery_destination(name=self.called), "ResourceNotFoundException")
        if not found:
            return None
        there = found["deliveryDestination"]
        return {
            "to": there["deliveryDestinationConfiguration"]["destinationResourceArn"],
            "format": there.get("outputFormat", ""),
            "arn": there["arn"],
        }

    def desired(self) -> Json:
        where = f"arn:aws:s3:::{self.settings['bucket']}/{self.settings['prefix']}"
        return {"to": where, "format": "json"}

    def refusals(self, before: State) -> list[str]:
        if before["present"] and before["format"] != "json":
            return [f"{self.called} has the format {before['format']}, and AWS does not change it: remove it first."]
        return []

    def apply(self, before: State) -> None:
        # Tags are only taken when it is made.
        self.clients.write("logs", "PutDeliveryDestination", region=GLOBAL).put_delivery_destination(
            name=self.called,
            outputFormat="json",
            deliveryDestinationConfiguration={"destinationResourceArn": self.desired()["to"]},
            **({} if before["present"] else {"tags": self._flat()}),
        )


class LogDelivery(LogSource):
    """The delivery of an access log: what is wrong and how slow, and nothing that could name a patient.

    Left out are the address that was asked for and its query, cookies and the page before.
    """

    FIELDS: ClassVar[list[str]] = [
        "date", "time", "x-edge-location", "sc-bytes", "c-ip", "cs-method", "cs(Host)", "sc-status",
        "x-edge-result-type", "x-edge-request-id", "cs-protocol", "cs-bytes", "time-taken", "ssl-protocol",
        "ssl-cipher", "x-edge-response-result-type", "cs-protocol-version", "time-to-first-byte",
        "x-edge-detailed-result-type",
    ]  # fmt: skip
    name: ClassVar[str] = "log_delivery"
    spec: ClassVar[Json] = {"destination_arn": {"type": "str", "required": True}}

    def read(self) -> Json | None:
        pages = self.clients.read("logs", GLOBAL).get_paginator("describe_deliveries").paginate()
        found = [one for page in pages for one in page["deliveries"] if one["deliverySourceName"] == self.called]
        if not found:
            return None
        return {
            "to": found[0]["deliveryDestinationArn"],
            "fields": sorted(found[0].get("recordFields") or []),
            "context": {"id": found[0]["id"]},
        }

    def desired(self) -> Json:
        return {"to": self.settings["destination_arn"], "fields": sorted(self.FIELDS)}

    def refusals(self, before: State) -> list[str]:
        if before["present"] and before["to"] != self.settings["destination_arn"]:
            return [f"{self.called} is delivered to another place: remove that delivery first."]
        return []

    def apply(self, before: State) -> None:
        if before["present"]:
            client = self.clients.write("logs", "UpdateDeliveryConfiguration", region=GLOBAL)
            client.update_delivery_configuration(id=before["context"]["id"], recordFields=self.FIELDS)
            return
        self.clients.write("logs", "CreateDelivery", region=GLOBAL).create_delivery(
            deliverySourceName=self.called,
            deliveryDestinationArn=self.settings["destination_arn"],
            recordFields=self.FIELDS,
            tags=self._flat(),
        )


EDGE_KINDS: dict[str, type[Resource]] = {
    kind.name: kind
    for kind in (
        AddressSet,
        Distribution,
        LogDelivery,
        LogDestination,
        LogSource,
        OriginRule,
        SecretValue,
    )
}
