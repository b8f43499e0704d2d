"""Where events of the audit go: the domain and the stream that ends in it, four steps each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.building import NAME, Builder, building

ROLE = f"arn:aws:iam::123456789012:role/{NAME}-delivery"
PLACE: dict[str, Any] = {"subnets": ["subnet-2", "subnet-1"], "security_groups": ["sg-1"]}
DOMAIN = {
    **PLACE,
    "engine_version": "OpenSearch_2.19",
    "instance_type": "t3.small.search",
    "instances": 2,
    "volume_gib": 50,
    "kms_key": "alias/emr",
    "master_role_arn": ROLE,
    "role_arns": [ROLE],
}
STREAM = {
    **PLACE,
    "role_arn": ROLE,
    "bucket": "audit",
    "kms_key": "arn:aws:kms:af-south-1:123456789012:key/1",
    "log_group": "/firehose/emr",
    "domain_arn": f"arn:aws:es:af-south-1:123456789012:domain/{NAME}-audit",
}


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    with building(tmp_path_factory.mktemp("audit")) as made:
        yield made


@pytest.fixture(scope="module")
def domain(builder: Builder) -> str:
    builder.four_steps("search_domain", f"{NAME}-audit", "CreateDomain", **DOMAIN)
    return f"{NAME}-audit"


def test_a_domain_is_encrypted_everywhere_and_open_to_one_role(builder, domain):
    found = builder.aws.client("opensearch").describe_domain(DomainName=domain)["DomainStatus"]
    assert found["EncryptionAtRestOptions"]["Enabled"]
    assert found["NodeToNodeEncryptionOptions"]["Enabled"]
    assert found["AdvancedSecurityOptions"]["InternalUserDatabaseEnabled"] is False
    assert found["DomainEndpointOptions"]["TLSSecurityPolicy"] == "Policy-Min-TLS-1-2-2019-07"
    tags = builder.aws.client("opensearch").list_tags(ARN=found["ARN"])["TagList"]
    assert {tag["Key"] for tag in tags} == {"app", "Environment"}


def test_a_domain_that_somebody_opened_is_shown_and_closed_again(builder, domain):
    everybody = '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "es:*", "Resource": "*"}]}'
    builder.aws.client("opensearch").update_domain_config(
        DomainName=domain, AccessPolicies=everybody, DomainEndpointOptions={"EnforceHTTPS": False}
    )
    planned = builder.have("search_domain", domain, check=True, **DOMAIN)[1]["diff"]
    assert (planned["before"]["roles"], planned["before"]["https_only"]) == (["*"], False)
    assert builder.steps("search_domain", domain, **DOMAIN)[:3] == [
        ("planned", []), ("ok", ["UpdateDomainConfig"]), ("noop", []),
    ]  # fmt: skip


def test_a_newer_version_in_the_inventory_upgrades_nothing(builder, domain):
    assert builder.have("search_domain", domain, **{**DOMAIN, "engine_version": "OpenSearch_3.1"})[0] == "noop"


def test_a_stream_to_a_domain_that_is_not_there_is_refused(builder):
    elsewhere = {**STREAM, "domain_arn": "arn:aws:es:af-south-1:123456789012:domain/elsewhere"}
    outcome, result, _sent = builder.have("delivery_stream", "nowhere", **elsewhere)
    assert (outcome, "InvalidArgumentException" in result["msg"]) == ("failed", True)


@pytest.mark.usefixtures("domain")
def test_a_stream_ends_in_the_domain_and_keeps_every_event_in_the_bucket(builder):
    builder.four_steps("delivery_stream", f"{NAME}-audit", "CreateDeliveryStream", **STREAM)
    described = builder.aws.client("firehose").describe_delivery_stream(DeliveryStreamName=f"{NAME}-audit")
    (found,) = described["DeliveryStreamDescription"]["Destinations"]
    search = found["AmazonopensearchserviceDestinationDescription"]
    assert (search["S3BackupMode"], search["S3DestinationDescription"]["BucketARN"]) == (
        "AllDocuments", "arn:aws:s3:::audit",
    )  # fmt: skip
    assert search["VpcConfigurationDescription"]["SecurityGroupIds"] == ["sg-1"]


def test_a_stream_that_only_keeps_what_failed_is_not_as_wanted(builder, domain):
    partly = {
        "RoleARN": ROLE, "DomainARN": STREAM["domain_arn"], "IndexName": "audit",
        "S3Configuration": {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::audit"},
        "VpcConfiguration": {"SubnetIds": ["subnet-1"], "RoleARN": ROLE, "SecurityGroupIds": ["sg-1"]},
    }  # fmt: skip
    assert domain
    builder.aws.client("firehose").create_delivery_stream(
        DeliveryStreamName="partly", AmazonopensearchserviceDestinationConfiguration=partly
    )
    assert builder.have("delivery_stream", "partly", state="adopted", **STREAM)[1]["failed"]
