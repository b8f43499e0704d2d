"""What bootstrap makes for a failover, where it must not do more than that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Secret
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed
from ansible_collections.daily_emr.ops.plugins.module_utils._resources import DatabaseInstance
from ansible_collections.daily_emr.ops.plugins.module_utils._resources_recovery import DatabaseReplica
from ansible_collections.daily_emr.ops.plugins.modules.region_secret import RegionSecret
from botocore.exceptions import ClientError

Json = dict[str, Any]
SOURCE = "arn:aws:rds:af-south-1:123456789012:db:emr"
SETTINGS = {
    "source": SOURCE,
    "instance_class": "db.m6g.large",
    "storage_limit_gib": 1000,
    "multi_az": False,
    "backup_days": 0,
    "deletion_protection": True,
    "parameter_group": "emr-replica",
    "security_groups": ["sg-1"],
    "allow_interruption": False,
}


def replica() -> DatabaseReplica:
    return DatabaseReplica({"name": "emr-replica", "settings": SETTINGS, "tags": {}}, SimpleNamespace())


def standing(**more: Any) -> Json:
    change = replica()
    return {"present": True, **change.desired(), "context": {"status": "available"}, **more}


def test_a_replica_that_follows_is_left_alone() -> None:
    before = standing()
    assert replica().wanted(before) == before


@pytest.mark.parametrize(("source", "words"), [("", "follows nobody"), (f"{SOURCE}-other", "follows arn:")])
def test_a_promoted_replica_is_never_set_back(source: str, words: str) -> None:
    """Neither its backups nor its second zone, which it got after a failover, are taken away."""
    (reason,) = replica().refusals(standing(source=source, backup_days=14, multi_az=True))
    assert words in reason
    assert "swap the regions" in reason


def test_a_password_that_secrets_manager_keeps_is_a_difference() -> None:
    found = {
        "DBInstanceClass": "db.m6g.large", "MultiAZ": True, "BackupRetentionPeriod": 14, "DeletionProtection": True,
        "DBParameterGroups": [{"DBParameterGroupName": "emr"}], "VpcSecurityGroups": [], "StorageEncrypted": True,
        "DBInstanceStatus": "available", "MasterUserSecret": {"SecretArn": "arn"},
    }  # fmt: skip
    change = DatabaseInstance({"name": "emr", "settings": SETTINGS, "tags": {}}, SimpleNamespace())
    assert change.described(found)["kept_password"] is True
    assert change.desired()["kept_password"] is False


@pytest.mark.parametrize(("allowed", "refused"), [(False, True), (True, False)])
def test_a_password_that_somebody_may_use_is_ended_only_when_that_is_allowed(allowed: bool, refused: bool) -> None:
    settings = {**SETTINGS, "allow_interruption": allowed}
    change = DatabaseInstance({"name": "emr", "settings": settings, "tags": {}}, SimpleNamespace())
    reasons = change.refusals(standing(kept_password=True))
    assert ["set database_allow_interruption" in reason for reason in reasons] == [True] * refused


class Rds:
    """The instances of a region, by name."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def read(self, _service: str) -> Any:
        return self

    def describe_db_instances(self, *, DBInstanceIdentifier: str) -> Json:  # noqa: N803  # as boto3 has it
        if DBInstanceIdentifier not in self.names:
            raise ClientError({"Error": {"Code": "DBInstanceNotFound"}}, "DescribeDBInstances")
        return {"DBInstances": [{"DBInstanceIdentifier": DBInstanceIdentifier}]}


def test_no_empty_database_is_made_beside_a_promoted_one() -> None:
    """After a failover the regions are swapped in the inventory, and the data has the name of the replica."""
    change = DatabaseInstance({"name": "emr", "settings": SETTINGS, "tags": {}}, Rds("emr-replica"))
    (reason,) = change.refusals(change.observe())
    assert "rename it first" in reason


@pytest.mark.parametrize("kind", [DatabaseInstance, DatabaseReplica])
def test_where_no_replica_stands_a_database_is_made(kind: type[DatabaseInstance]) -> None:
    change = kind({"name": "emr", "settings": SETTINGS, "tags": {}}, Rds("other"))
    assert change.refusals(change.observe()) == []


class Values:
    """Secrets by name; what has no value is refused as Secrets Manager refuses it."""

    def __init__(self, code: str = "ResourceNotFoundException") -> None:
        self.code = code

    def secret_value(self, name: str, *, stage: str) -> Secret:
        error = CallFailed(f"GetSecretValue of {name} in {stage} failed")
        raise error from ClientError({"Error": {"Code": self.code}}, "GetSecretValue")


def secret(values: Values) -> RegionSecret:
    return RegionSecret({"recovery": {"secret": "daily-emr/staging/recovery/DATABASE_URL"}}, values)


def test_the_placeholder_of_bootstrap_points_nowhere_and_is_no_error() -> None:
    assert secret(Values()).standing() is None


def test_a_value_that_may_not_be_read_is_an_error() -> None:
    with pytest.raises(CallFailed):
        secret(Values("AccessDeniedException")).standing()
