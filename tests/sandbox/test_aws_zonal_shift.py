"""ARC zonal shift: what AWS answers, what it refuses, and that a shift ends by itself."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from daily_emr_sandbox.aws import arc_zonal_shift

from tests.sandbox.aws_only import Aws, refusal, running_aws


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("shift")) as running:
        yield running


def balancer(aws: Aws, name: str, *, enabled: bool = True) -> str:
    ec2, elb = aws.server.boto("ec2"), aws.server.boto("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for n, zone in enumerate(aws.settings.zones[:2])
    ]
    arn = elb.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    attribute = {"Key": "zonal_shift.config.enabled", "Value": str(enabled).lower()}
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[attribute])
    return str(arn)


@pytest.fixture(scope="module")
def arn(aws: Aws) -> str:
    return balancer(aws, "shifted")


@pytest.fixture
def arc(aws: Aws) -> Iterator[Any]:
    """A client; what it started is over afterwards."""
    client = aws.client("arc-zonal-shift")
    yield client
    for shift in client.list_zonal_shifts(status="ACTIVE")["items"]:
        with contextlib.suppress(client.exceptions.ConflictException):  # it ended by itself meanwhile
            client.cancel_zonal_shift(zonalShiftId=shift["zonalShiftId"])


def start(arc, arn: str, away_from: str = "afs1-az1", expires_in: str = "72h"):
    return arc.start_zonal_shift(resourceIdentifier=arn, awayFrom=away_from, expiresIn=expires_in, comment="INC-1")


def test_a_shift_is_started_seen_prolonged_and_cancelled(aws, arc, arn):
    shift = start(arc, arn)
    assert (shift["status"], shift["awayFrom"], shift["comment"]) == ("ACTIVE", "afs1-az1", "INC-1")
    length = shift["expiryTime"] - shift["startTime"]
    assert length == dt.timedelta(hours=72) / aws.settings.time_factor

    seen = arc.get_managed_resource(resourceIdentifier=arn)
    assert (seen["arn"], seen["name"], seen["autoshifts"]) == (arn, "shifted", [])
    assert seen["appliedWeights"] == {"afs1-az1": 0.0, "afs1-az2": 1.0}
    assert [(one["zonalShiftId"], one["appliedStatus"], one["shiftType"]) for one in seen["zonalShifts"]] == [
        (shift["zonalShiftId"], "APPLIED", "ZONAL_SHIFT")
    ]
    with aws.server.mutex:
        assert aws.server.shifted_zones(arn) == {"af-south-1a"}

    changed = arc.update_zonal_shift(zonalShiftId=shift["zonalShiftId"], expiresIn="10h", comment="longer")
    assert changed["comment"] == "longer"
    assert changed["expiryTime"] < shift["expiryTime"]

    assert arc.cancel_zonal_shift(zonalShiftId=shift["zonalShiftId"])["status"] == "CANCELED"
    assert arc.get_managed_resource(resourceIdentifier=arn)["zonalShifts"] == []
    with aws.server.mutex:
        assert aws.server.shifted_zones(arn) == set()
    listed = arc.list_zonal_shifts(status="CANCELED", resourceIdentifier=arn)["items"]
    assert listed[0]["zonalShiftId"] == shift["zonalShiftId"]


def test_a_shift_ends_by_itself(aws, arc, arn, monkeypatch):
    shift = start(arc, arn, expires_in="1m")
    later = shift["expiryTime"] + dt.timedelta(milliseconds=1)
    monkeypatch.setattr(arc_zonal_shift, "_now", lambda: later)
    assert arc.get_managed_resource(resourceIdentifier=arn)["zonalShifts"] == []
    assert arc.list_zonal_shifts(status="EXPIRED")["items"][0]["zonalShiftId"] == shift["zonalShiftId"]
    with pytest.raises(ClientError) as error:
        arc.cancel_zonal_shift(zonalShiftId=shift["zonalShiftId"])
    assert refusal(error.value) == ("ConflictException", 409)
    with aws.server.mutex:
        assert aws.server.shifted_zones(arn) == set()
    assert start(arc, arn)["status"] == "ACTIVE"


def test_the_clock_itself_ends_a_shift(arc, arn):
    start(arc, arn, expires_in="1m")  # 1.5 s at this time factor
    deadline = time.monotonic() + 30
    while arc.get_managed_resource(resourceIdentifier=arn)["zonalShifts"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_resource_has_one_shift(arc, arn):
    first = start(arc, arn)
    with pytest.raises(ClientError) as error:
        start(arc, arn, away_from="afs1-az2")
    assert refusal(error.value) == ("ConflictException", 409)
    assert error.value.response["reason"] == "ZonalShiftAlreadyExists"
    assert error.value.response["zonalShiftId"] == first["zonalShiftId"]


@pytest.mark.parametrize(
    ("away_from", "expires_in", "reason"),
    [
        ("afs1-az3", "1h", "InvalidAz"),
        ("af-south-1a", "1h", "InvalidAz"),
        ("afs1-az1", "73h", "InvalidExpiresIn"),
        ("afs1-az1", "2d", "InvalidExpiresIn"),
        ("afs1-az1", "0m", "InvalidExpiresIn"),
    ],
)
def test_a_wrong_zone_or_expiry_is_refused(aws, arc, arn, away_from, expires_in, reason):
    with pytest.raises(ClientError) as error:
        start(arc, arn, away_from, expires_in)
    assert refusal(error.value) == ("ValidationException", 400)
    assert error.value.response["reason"] == reason
    with aws.server.mutex:
        assert aws.server.shifted_zones(arn) == set()


def test_a_resource_that_is_not_managed_is_not_found(aws, arc):
    off = balancer(aws, "not-enabled", enabled=False)
    for identifier in (off, off.replace("not-enabled", "nowhere")):
        with pytest.raises(ClientError) as started:
            start(arc, identifier)
        with pytest.raises(ClientError) as looked_at:
            arc.get_managed_resource(resourceIdentifier=identifier)
        assert refusal(started.value) == refusal(looked_at.value) == ("ResourceNotFoundException", 404)
    managed = [one["name"] for one in arc.list_managed_resources()["items"]]
    assert "shifted" in managed
    assert "not-enabled" not in managed


def test_an_unknown_shift_is_not_found(arc):
    for call in (arc.cancel_zonal_shift, arc.update_zonal_shift):
        with pytest.raises(ClientError) as error:
            call(zonalShiftId="00000000-0000-0000-0000-000000000000")
        assert refusal(error.value) == ("ResourceNotFoundException", 404)
