# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where events of the audit go: a domain of OpenSearch, in which they are searched, and a bucket, which keeps all."""

from __future__ import annotations

import json
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import State
from ansible_collections.daily_emr.ops.plugins.module_utils._resources import Json, Resource, absent


class SearchDomain(Resource):
    """A domain of OpenSearch in the data subnets: encrypted, over TLS alone, and open to named roles alone.

    Who may do what in it, OpenSearch itself decides (fine-grained access control), by the roles of IAM: the master maps
    them. https://docs.aws.amazon.com/opensearch-service/latest/developerguide/fgac.html
    """

    TLS: ClassVar[str] = "Policy-Min-TLS-1-2-2019-07"
    name: ClassVar[str] = "search_domain"
    spec: ClassVar[Json] = {
        "engine_version": {"type": "str", "required": True},
        "instance_type": {"type": "str", "required": True},
        "instances": {"type": "int", "required": True},
        "volume_gib": {"type": "int", "required": True},
        "subnets": {"type": "list", "elements": "str", "required": True},
        "security_groups": {"type": "list", "elements": "str", "required": True},
        "kms_key": {"type": "str", "required": True},
        "master_role_arn": {"type": "str", "required": True},
        "role_arns": {"type": "list", "elements": "str", "required": True},
    }

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("opensearch").describe_domain(DomainName=self.called), "ResourceNotFoundException"
        )
        if not answer:
            return None
        found = answer["DomainStatus"]
        cluster, endpoint = found["ClusterConfig"], found.get("DomainEndpointOptions") or {}
        return {
            "instance_type": cluster["InstanceType"],
            "instances": cluster["InstanceCount"],
            "zones": cluster.get("ZoneAwarenessEnabled", False),
            "volume_gib": (found.get("EBSOptions") or {}).get("VolumeSize", 0),
            "subnets": sorted((found.get("VPCOptions") or {}).get("SubnetIds") or []),
            "security_groups": sorted((found.get("VPCOptions") or {}).get("SecurityGroupIds") or []),
            "encrypted": _enabled(found, "EncryptionAtRestOptions"),
            "encrypted_between": _enabled(found, "NodeToNodeEncryptionOptions"),
            "fine_grained": _enabled(found, "AdvancedSecurityOptions"),
            "https_only": endpoint.get("EnforceHTTPS", False),
            "tls": endpoint.get("TLSSecurityPolicy", ""),
            "roles": _roles(found.get("AccessPolicies") or "{}"),
            "ready": not found.get("Processing") and bool(found.get("Endpoints") or found.get("Endpoint")),
        }

    def desired(self) -> Json:
        settings = self.settings
        return {
            "instance_type": settings["instance_type"],
            "instances": settings["instances"],
            "zones": settings["instances"] > 1,
            "volume_gib": settings["volume_gib"],
            "subnets": sorted(settings["subnets"]),
            "security_groups": sorted(settings["security_groups"]),
            "encrypted": True,
            "encrypted_between": True,
            "fine_grained": True,
            "https_only": True,
            "tls": self.TLS,
            "roles": sorted(settings["role_arns"]),
        }

    def refusals(self, before: State) -> list[str]:
        if before["present"] and not before["ready"]:
            return [f"{self.called} is being changed: run again when it is done."]
        return []

    def _options(self) -> Json:
        """What both calls say."""
        settings = self.settings
        several = settings["instances"] > 1
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": sorted(settings["role_arns"])},
            "Action": "es:ESHttp*",
            "Resource": f"arn:aws:es:{self._here()}:domain/{self.called}/*",
        }
        return {
            "DomainName": self.called,
            "ClusterConfig": {
                "InstanceType": settings["instance_type"],
                "InstanceCount": settings["instances"],
                "ZoneAwarenessEnabled": several,
                **({"ZoneAwarenessConfig": {"AvailabilityZoneCount": 2}} if several else {}),
            },
            "EBSOptions": {"EBSEnabled": True, "VolumeType": "gp3", "VolumeSize": settings["volume_gib"]},
            "VPCOptions": {"SubnetIds": settings["subnets"], "SecurityGroupIds": settings["security_groups"]},
            "EncryptionAtRestOptions": {"Enabled": True, "KmsKeyId": settings["kms_key"]},
            "NodeToNodeEncryptionOptions": {"Enabled": True},
            "DomainEndpointOptions": {"EnforceHTTPS": True, "TLSSecurityPolicy": self.TLS},
            "AdvancedSecurityOptions": {
                "Enabled": True,
                "InternalUserDatabaseEnabled": False,
                "MasterUserOptions": {"MasterUserARN": settings["master_role_arn"]},
            },
            "AccessPolicies": json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        }

    def _here(self) -> str:
        environment = self.clients.environment
        return f"{environment.region}:{environment.account_id}"

    def apply(self, before: State) -> None:
        if before["present"]:
            # The version is left: an upgrade is a work of hours that somebody has to plan.
            self.clients.write("opensearch", "UpdateDomainConfig").update_domain_config(**self._options())
            return
        self.clients.write("opensearch", "CreateDomain").create_domain(
            **self._options(), EngineVersion=self.settings["engine_version"], TagList=self.tags
        )


def _enabled(found: Json, options: str) -> bool:
    return bool((found.get(options) or {}).get("Enabled"))


def _roles(policy: str) -> list[str]:
    """The roles that the policy of a domain lets in; another statement of it is a role that nobody named."""
    roles = set()
    for statement in json.loads(policy).get("Statement") or []:
        principal = statement.get("Principal")
        named = principal.get("AWS", "*") if isinstance(principal, dict) else principal
        roles |= {str(one) for one in ([named] if isinstance(named, str) else named or ["*"])}
    return sorted(roles)


class DeliveryStream(Resource):
    """A delivery stream of Firehose for audit events: to OpenSearch, and every record to S3 as well."""

    name: ClassVar[str] = "delivery_stream"
    spec: ClassVar[Json] = {
        "role_arn": {"type": "str", "required": True},
        "bucket": {"type": "str", "required": True},
        "kms_key": {"type": "str", "required": True},
        "domain_arn": {"type": "str"},
        "index": {"type": "str", "default": "audit"},
        "subnets": {"type": "list", "elements": "str", "default": []},
        "security_groups": {"type": "list", "elements": "str", "default": []},
        "log_group": {"type": "str", "required": True},
    }

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("firehose").describe_delivery_stream(DeliveryStreamName=self.called),
            "ResourceNotFoundException",
        )
        if not answer:
            return None
        found = answer["DeliveryStreamDescription"]["Destinations"][0]
        search = found.get("AmazonopensearchserviceDestinationDescription") or {}
        plain = found.get("ExtendedS3DestinationDescription") or found.get("S3DestinationDescription") or {}
        stored = search.get("S3DestinationDescription") or plain
        # Only a stream to OpenSearch can lose what it has not delivered: S3 is then the copy of everything.
        kept = search.get("S3BackupMode", "") if search else "AllDocuments"
        return {"bucket": stored.get("BucketARN"), "domain": search.get("DomainARN"), "kept": kept}

    def desired(self) -> Json:
        bucket = f"arn:aws:s3:::{self.settings['bucket']}"
        return {"bucket": bucket, "domain": self.settings["domain_arn"], "kept": "AllDocuments"}

    def refusals(self, before: State) -> list[str]:
        if before["present"]:
            return [f"{self.called} delivers to another place: make a new stream, then remove this one by hand."]
        return []

    def apply(self, before: State) -> None:
        settings = self.settings
        stored = {
            "RoleARN": settings["role_arn"],
            "BucketARN": f"arn:aws:s3:::{settings['bucket']}",
            "Prefix": "events/",
            "ErrorOutputPrefix": "undelivered/",
            "CompressionFormat": "GZIP",
            "EncryptionConfiguration": {"KMSEncryptionConfig": {"AWSKMSKeyARN": settings["kms_key"]}},
            "CloudWatchLoggingOptions": {
                "Enabled": True,
                "LogGroupName": settings["log_group"],
                "LogStreamName": "delivery",
            },
        }
        destination: Json = {"ExtendedS3DestinationConfiguration": stored}
        if settings["domain_arn"]:
            destination = {
                "AmazonopensearchserviceDestinationConfiguration": {
                    "RoleARN": settings["role_arn"],
                    "DomainARN": settings["domain_arn"],
                    "IndexName": settings["index"],
                    "IndexRotationPeriod": "OneMonth",
                    "S3BackupMode": "AllDocuments",
                    "S3Configuration": stored,
                    # The domain is inside the VPC; Firehose reaches it by interfaces of its own.
                    "VpcConfiguration": {
                        "SubnetIds": settings["subnets"],
                        "RoleARN": settings["role_arn"],
                        "SecurityGroupIds": settings["security_groups"],
                    },
                }
            }
        self.clients.write("firehose", "CreateDeliveryStream").create_delivery_stream(
            DeliveryStreamName=self.called, DeliveryStreamType="DirectPut", Tags=self.tags, **destination
        )


AUDIT_KINDS: dict[str, type[Resource]] = {kind.name: kind for kind in (DeliveryStream, SearchDomain)}
