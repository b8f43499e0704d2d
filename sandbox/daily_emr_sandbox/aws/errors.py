"""The one error class of the overlays. It lives outside moto: moto takes the service of an error from its module."""

from __future__ import annotations

from typing import Any

from moto.core.errors import COMMON_ERROR_CODES
from moto.core.exceptions import ServiceException


class AwsError(ServiceException):  # type: ignore[misc]
    """An error as AWS gives it.

    Args:
        code: as in the service model, for example `ResourceNotFoundException`.
        message: the sentence.
        status: HTTP status; None takes it from the service model.
        members: other members of the error's shape, such as `reason`.
    """

    def __init__(self, code: str, message: str, status: int | None = None, **members: Any) -> None:
        super().__init__(code, message)
        if code not in COMMON_ERROR_CODES:
            COMMON_ERROR_CODES.append(code)  # or moto warns of codes that all services share and no model names
        self.status = status
        self.__dict__.update(members)


def validation(message: str, **members: Any) -> AwsError:
    return AwsError("ValidationException", message, 400, **members)
