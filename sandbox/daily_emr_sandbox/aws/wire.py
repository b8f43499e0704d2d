"""AWS's protocols: which call a request is, and how results and errors of it look on the wire.

Reads the same botocore models as the clients do, through moto's router, parsers and serialisers.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from botocore.exceptions import UnknownServiceError
from moto.core.model import OperationModel, ServiceModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import XFormedAttributePicker, get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.exceptions import HTTPException

from .errors import AwsError

SIGNED_AS = {
    "elasticloadbalancing": "elbv2",
    "email": "ses",
    "es": "opensearch",
    "monitoring": "cloudwatch",
    "states": "stepfunctions",
    "tagging": "resourcegroupstaggingapi",
}
"""Service names of SigV4 that differ from those of boto3."""
CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d+/([^/]+)/([^/]+)/aws4_request")
XML_CODE = re.compile(rb"<Code>([^<]+)</Code>")


@dataclass(frozen=True)
class Reply:
    """A whole HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def error_code(self) -> str | None:
        """AWS error code; None when the call went well."""
        if self.status < HTTPStatus.BAD_REQUEST:
            return None
        for name, value in self.headers:
            if name.lower() == "x-amzn-errortype":
                return value.split(":")[0].rpartition("#")[2]
        if found := XML_CODE.search(self.body):
            return found[1].decode()
        try:
            told = json.loads(self.body)
            code = told.get("__type") or told.get("code") or ""
        except (ValueError, AttributeError):
            code = ""
        return code.rpartition("#")[2] or str(self.status)


@dataclass(frozen=True)
class Call:
    """One request, understood."""

    service: str
    """Name in boto3."""
    operation: str
    """Name in the service model; empty when it could not be told."""
    params: dict[str, Any]
    protocol: str
    region: str
    access_key: str
    """Empty for an unsigned request."""
    model: OperationModel | None

    def result(self, value: dict[str, Any]) -> Reply:
        """The answer of a call that went well."""
        return self._serialized(value)

    def error(self, error: AwsError) -> Reply:
        """The answer of a call that failed."""
        reply = self._serialized(error)
        headers = reply.headers
        told = any(name.lower() == "x-amzn-errortype" for name, _ in headers)
        if self.protocol in {"json", "rest-json"} and not told:
            headers = [*headers, ("x-amzn-errortype", error.code)]
        return Reply(error.status or reply.status, headers, reply.body)

    def _serialized(self, value: Any) -> Reply:
        if self.model is None:  # a service that nobody knows: JSON is understood best
            body = json.dumps({"__type": value.code, "message": value.message}).encode()
            return Reply(value.status or 400, [("Content-Type", "application/json")], body)
        serializer = get_serializer_class(self.service, self.protocol)
        made = serializer(operation_model=self.model, value_picker=XFormedAttributePicker()).serialize(value)
        body = made["body"]
        headers = [(name, str(header)) for name, header in made["headers"].items()]
        return Reply(made["status_code"], headers, body.encode() if isinstance(body, str) else body)


def buffer_body(environ: dict[str, Any]) -> bytes:
    """Read the whole body and put it back; every later reader finds it, whether or not it came in chunks."""
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if environ.pop("HTTP_TRANSFER_ENCODING", None):
        body: bytes = stream.read()
    else:
        body = stream.read(int(length)) if length else b""
    environ["CONTENT_LENGTH"] = str(len(body))
    rewind(environ, body)
    return body


def rewind(environ: dict[str, Any], body: bytes) -> None:
    environ["wsgi.input"] = io.BytesIO(body)


def decode(environ: dict[str, Any], body: bytes) -> Call:
    """Which call a request is. Never fails: what cannot be told stays empty."""
    signed = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    access_key, region, scope = signed.groups() if signed else ("", "", "")
    service = _service(scope, environ, body)
    try:
        return _decode(environ, body, service, region, access_key)
    except (UnknownServiceError, HTTPException, NotImplementedError, ValueError):
        named = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2] or _form_action(environ, body)
        protocol, model = _shapeless(service, environ)
        return Call(service, named, {}, protocol, region, access_key, model)


def _decode(environ: dict[str, Any], body: bytes, service: str, region: str, access_key: str) -> Call:
    own = environ | {"wsgi.input": io.BytesIO(body)}
    request = Request(own)
    model, path_params = get_service_router(service).match(request)
    protocol = determine_request_protocol(model.service_model, request.content_type)
    try:
        params = PROTOCOL_PARSERS[protocol](model).parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": body,
                "url_path": request.path,
                "url_params": path_params,
            }
        )
    except Exception:  # noqa: BLE001 - moto itself will say what is wrong with the request
        params = {}
    return Call(service, str(model.name), params, protocol, region, access_key, model)


def _service(scope: str, environ: dict[str, Any], body: bytes) -> str:
    if scope == "elasticloadbalancing" and b"Version=2012-06-01" in body:
        return "elb"
    if scope == "ses" and environ.get("PATH_INFO", "").startswith("/v2/"):
        return "sesv2"
    return SIGNED_AS.get(scope, scope)


def _form_action(environ: dict[str, Any], body: bytes) -> str:
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return ""
    return parse_qs(body.decode(errors="replace")).get("Action", [""])[0]


def _shapeless(service: str, environ: dict[str, Any]) -> tuple[str, OperationModel | None]:
    """Protocol and an operation without a shape: enough for an error that the client can read."""
    try:
        found: ServiceModel = get_service_model(service)
        return determine_request_protocol(found, environ.get("CONTENT_TYPE")), OperationModel({}, found)
    except (UnknownServiceError, NotImplementedError, ValueError):
        return "json", None
