"""Synthetics: canaries are found by name, started, stopped and deleted; none of them ever runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from moto.synthetics import urls
from moto.synthetics.responses import SyntheticsResponse

from ..errors import AwsError

if TYPE_CHECKING:
    from ..server import AwsServer


def _canary(response: Any, *, last: int) -> Any:
    """The canary that the path names, at this place from its end."""
    name = unquote(response.path.rstrip("/").split("/")[last])
    try:
        return response.synthetics_backend.canaries[name]
    except KeyError:
        raise AwsError("ResourceNotFoundException", f"There is no canary {name}.", 404) from None


def describe_canaries(self: Any) -> str:
    names = json.loads(self.body or "{}").get("Names")
    found = [one for one in self.synthetics_backend.canaries.values() if not names or one.name in names]
    return json.dumps({"Canaries": [one.to_dict() for one in found]})


def describe_canaries_last_run(_self: Any) -> str:
    return json.dumps({"CanariesLastRun": []})


def start_canary(self: Any) -> str:
    _canary(self, last=-2).state = "RUNNING"
    return "{}"


def stop_canary(self: Any) -> str:
    _canary(self, last=-2).state = "STOPPED"
    return "{}"


def delete_canary(self: Any) -> str:
    canary = _canary(self, last=-1)
    if canary.state == "RUNNING":
        raise AwsError("ConflictException", f"The canary {canary.name} is running: stop it first.", 409)
    del self.synthetics_backend.canaries[canary.name]
    return "{}"


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's Synthetics. Harmless when done twice."""
    for action in (describe_canaries, describe_canaries_last_run, start_canary, stop_canary, delete_canary):
        setattr(SyntheticsResponse, action.__name__, action)
    for path in ("canary/(?P<name>[^/]+)/start", "canary/(?P<name>[^/]+)/stop", "canaries/last-run"):
        urls.url_paths[f"{{0}}/{path}$"] = SyntheticsResponse.dispatch
