"""ELBv2: a load balancer has every attribute that one of AWS has from its start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.elbv2.models import FakeLoadBalancer

if TYPE_CHECKING:
    from ..server import AwsServer

ATTRIBUTES = {
    "access_logs.s3.enabled": "false",
    "idle_timeout.timeout_seconds": "60",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http2.enabled": "true",
    "waf.fail_open.enabled": "false",
}

_init = FakeLoadBalancer.__init__


def init(self: Any, *args: Any, **kwargs: Any) -> None:
    _init(self, *args, **kwargs)
    self.attrs = ATTRIBUTES | self.attrs


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's ELBv2. Harmless when done twice."""
    FakeLoadBalancer.__init__ = init
