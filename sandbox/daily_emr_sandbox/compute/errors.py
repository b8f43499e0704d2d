"""Errors of the ECS API. Own subclass: moto derives the service of an error from the module of its class."""

from __future__ import annotations

from typing import Any

from moto.core.exceptions import ServiceException
from moto.ecs.exceptions import ServiceNotFoundException

from .model import Service


class EcsError(ServiceException):  # type: ignore[misc]
    """An error with the code and message that ECS gives."""

    __module__ = "moto.ecs.sandbox"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


def invalid(message: str) -> EcsError:
    return EcsError("InvalidParameterException", message)


def find_service(backend: Any, cluster: str | None, name: str) -> Service:
    """Service by name or ARN.

    Raises:
        ServiceException: ClusterNotFoundException or ServiceNotFoundException.
    """
    book = backend._get_cluster(cluster or "default").name
    found = backend.services.get(f"{book}:{name.rsplit('/', 1)[-1]}")
    if not isinstance(found, Service):
        raise ServiceNotFoundException
    return found
