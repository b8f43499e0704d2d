"""Vended logs: which fields of a log are delivered can be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.logs.responses import LogsResponse

if TYPE_CHECKING:
    from ..server import AwsServer


def update_delivery_configuration(self: Any) -> str:
    delivery = self.logs_backend.get_delivery(id=self._get_param("id"))
    delivery.record_fields = self._get_param("recordFields") or delivery.record_fields
    return "{}"


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's CloudWatch Logs. Harmless when done twice."""
    LogsResponse.update_delivery_configuration = update_delivery_configuration
