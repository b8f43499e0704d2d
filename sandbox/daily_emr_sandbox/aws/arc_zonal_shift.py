"""ARC zonal shift, which moto does not know. One shift for each resource; it ends by itself at its expiry.

The expiry is divided by the sandbox's time factor in what it does; the times that are shown are those of AWS,
shortened the same way, so that who compares them with the clock sees the truth.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import AwsError, validation
from .wire import Call

EXPIRES = re.compile(r"([1-9][0-9]*)([mh])")
SHORTEST_S, LONGEST_S = 60, 72 * 3600
PAGE = 100
ENABLED = "zonal_shift.config.enabled"


@dataclass
class Shift:
    """One zonal shift, running or over."""

    id: str
    resource: str
    away_from: str
    """Zone id, such as afs1-az1: names of zones differ between accounts."""
    started: dt.datetime
    expires: dt.datetime
    comment: str
    cancelled: bool = False

    @property
    def status(self) -> str:
        if self.cancelled:
            return "CANCELED"
        return "ACTIVE" if _now() < self.expires else "EXPIRED"

    def described(self) -> dict[str, Any]:
        return {
            "zonalShiftId": self.id,
            "resourceIdentifier": self.resource,
            "awayFrom": self.away_from,
            "startTime": self.started,
            "expiryTime": self.expires,
            "status": self.status,
            "comment": self.comment,
        }


class ZonalShifts:
    """The API and its state. Hold the mutex."""

    def __init__(self, aws: Any) -> None:
        self._aws = aws
        self._shifts: list[Shift] = []
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "StartZonalShift": self._start,
            "UpdateZonalShift": self._update,
            "CancelZonalShift": self._cancel,
            "ListZonalShifts": self._list,
            "GetManagedResource": self._get_resource,
            "ListManagedResources": self._list_resources,
        }

    def answer(self, call: Call) -> dict[str, Any]:
        """The result of a call.

        Raises:
            NotImplementedError: an operation that is not here.
        """
        if call.operation not in self._operations:
            raise NotImplementedError(call.operation)
        return self._operations[call.operation](call.params)

    def zones(self, arn: str) -> set[str]:
        """Names of the zones that traffic of a load balancer is moved away from now."""
        shift, balancer = self._active(arn), self._balancers().get(arn)
        if shift is None or balancer is None:
            return set()
        return {zone for zone, zone_id in _zones(balancer).items() if zone_id == shift.away_from}

    # Operations.

    def _start(self, params: dict[str, Any]) -> dict[str, Any]:
        balancer = self._managed(params["resourceIdentifier"])
        zone = params["awayFrom"]
        if zone not in _zones(balancer).values():
            raise validation(f"The Availability Zone {zone} is not one of the resource's.", reason="InvalidAz")
        seconds = _seconds(params["expiresIn"])
        if running := self._active(balancer.arn):
            message = "There is already an active zonal shift for the resource."
            raise _conflict("ZonalShiftAlreadyExists", message, running)
        started = _now()
        shift = Shift(str(uuid.uuid4()), balancer.arn, zone, started, self._end(started, seconds), params["comment"])
        self._shifts.append(shift)
        return shift.described()

    def _update(self, params: dict[str, Any]) -> dict[str, Any]:
        shift = self._running(params["zonalShiftId"])
        if "expiresIn" in params:
            shift.expires = self._end(_now(), _seconds(params["expiresIn"]))
        shift.comment = params.get("comment", shift.comment)
        return shift.described()

    def _cancel(self, params: dict[str, Any]) -> dict[str, Any]:
        shift = self._running(params["zonalShiftId"])
        shift.cancelled = True
        return shift.described()

    def _list(self, params: dict[str, Any]) -> dict[str, Any]:
        asked = {key: params[key] for key in ("status", "resourceIdentifier") if params.get(key)}
        found = [{**shift.described(), "shiftType": "ZONAL_SHIFT"} for shift in reversed(self._shifts)]
        return _page([item for item in found if asked.items() <= item.items()], params)

    def _get_resource(self, params: dict[str, Any]) -> dict[str, Any]:
        balancer = self._managed(params["resourceIdentifier"])
        return {"autoshifts": [], **self._resource(balancer), "appliedWeights": self._weights(balancer)}

    def _list_resources(self, params: dict[str, Any]) -> dict[str, Any]:
        managed = [balancer for balancer in self._balancers().values() if _enabled(balancer)]
        items = [
            {
                **self._resource(balancer),
                "availabilityZones": sorted(_zones(balancer).values()),
                "appliedWeights": self._weights(balancer),
                "autoshifts": [],
                "practiceRunStatus": "DISABLED",
            }
            for balancer in managed
        ]
        return _page(items, params)

    # Inside.

    def _resource(self, balancer: Any) -> dict[str, Any]:
        shown = []
        if running := self._active(balancer.arn):
            described = {key: value for key, value in running.described().items() if key != "status"}
            shown = [described | {"appliedStatus": "APPLIED", "shiftType": "ZONAL_SHIFT"}]
        return {"arn": balancer.arn, "name": balancer.name, "zonalShifts": shown, "zonalAutoshiftStatus": "DISABLED"}

    def _weights(self, balancer: Any) -> dict[str, float]:
        running = self._active(balancer.arn)
        return {zone: 0.0 if running and zone == running.away_from else 1.0 for zone in _zones(balancer).values()}

    def _balancers(self) -> dict[str, Any]:
        balancers: dict[str, Any] = self._aws.backend("elbv2").load_balancers
        return balancers

    def _managed(self, identifier: str) -> Any:
        balancer = self._balancers().get(identifier)
        if balancer is None or not _enabled(balancer):
            raise AwsError("ResourceNotFoundException", f"The resource {identifier} is not registered with ARC.", 404)
        return balancer

    def _active(self, arn: str) -> Shift | None:
        return next((shift for shift in self._shifts if shift.resource == arn and shift.status == "ACTIVE"), None)

    def _running(self, shift_id: str) -> Shift:
        shift = next((shift for shift in self._shifts if shift.id == shift_id), None)
        if shift is None:
            raise AwsError("ResourceNotFoundException", f"There is no zonal shift {shift_id}.", 404)
        if shift.status != "ACTIVE":
            raise _conflict("ZonalShiftStatusNotActive", f"The zonal shift is {shift.status}.", shift)
        return shift

    def _end(self, start: dt.datetime, seconds: float) -> dt.datetime:
        return start + dt.timedelta(seconds=self._aws.settings.scaled(seconds))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _enabled(balancer: Any) -> bool:
    return str(balancer.attrs.get(ENABLED, "false")).lower() == "true"


def _zones(balancer: Any) -> dict[str, str]:
    """Name and id of each zone of a load balancer."""
    return {subnet.availability_zone: subnet.availability_zone_id for subnet in balancer.subnets}


def _seconds(expires_in: str) -> float:
    match = EXPIRES.fullmatch(expires_in)
    seconds = int(match[1]) * (60 if match[2] == "m" else 3600) if match else 0
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise validation("expiresIn is a whole number and m or h, at most 72h.", reason="InvalidExpiresIn")
    return seconds


def _conflict(reason: str, message: str, shift: Shift) -> AwsError:
    return AwsError("ConflictException", message, 409, reason=reason, zonalShiftId=shift.id)


def _page(items: list[dict[str, Any]], params: dict[str, Any]) -> dict[str, Any]:
    try:
        first = int(params.get("nextToken") or 0)
    except ValueError:
        raise validation("The token is not valid.", reason="InvalidToken") from None
    size = int(params.get("maxResults") or PAGE)
    more = {"nextToken": str(first + size)} if first + size < len(items) else {}
    return {"items": items[first : first + size], **more}
