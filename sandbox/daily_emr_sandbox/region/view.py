"""The control plane as it is in another region of the same account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ..aws.server import AwsServer


class AwsRegion:
    """An `AwsServer` whose backends and clients are those of one region; all else is the server's own."""

    def __init__(self, aws: AwsServer, region: str) -> None:
        self._aws, self._region = aws, region

    @classmethod
    def of(cls, aws: AwsServer, region: str) -> AwsServer:
        """The view as what it stands for."""
        return cast("AwsServer", cls(aws, region))

    def backend(self, service: str, region: str = "") -> Any:
        return self._aws.backend(service, region or self._region)

    def boto(self, service: str, region: str = "") -> Any:
        return self._aws.boto(service, region or self._region)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._aws, name)
