"""What a request passes through: who is calling, the fault layer, the mutex, moto or an own service, the records."""

from __future__ import annotations

import datetime as dt
import logging
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from threading import RLock
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import run_wsgi_app

from . import wire
from .calllog import CallLog, Entry, resource_of
from .control import PREFIX, Control
from .errors import AwsError
from .faults import Faults, Plan, throttled
from .principals import Principal, Principals, unknown
from .session_policies import refuse_call, refuse_session
from .wire import Call, Reply

if TYPE_CHECKING:
    from .overlays.cloudtrail import Trail

logger = logging.getLogger(__name__)

INTERNAL_HEADER = "HTTP_X_DAILY_EMR_SANDBOX"
OwnService = Callable[[Call], dict[str, Any]]


class Dropped(ConnectionAbortedError):
    """The connection was cut on purpose. The WSGI server takes it as a client that went away."""


class Gateway:
    """The WSGI application of the control plane.

    Args:
        mutex: held around everything that touches a backend; never while a fault makes a call wait.
        token: value of the header that marks calls of the sandbox itself: not logged, no faults.
        own_services: services that moto does not know, by their name in boto3.
    """

    def __init__(
        self, *, mutex: RLock, token: str, principals: Principals, calls: CallLog, faults: Faults, control: Control,
        trail: Trail, own_services: Mapping[str, OwnService],
    ) -> None:  # fmt: skip
        self._mutex, self._token, self._principals = mutex, token, principals
        self._calls, self._faults, self._control, self._trail = calls, faults, control, trail
        self._own = own_services
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = wire.buffer_body(environ)
        path = environ.get("PATH_INFO", "")
        if path == PREFIX or path.startswith(f"{PREFIX}/"):
            return _answer(self._control.answer(environ, body), start_response)
        internal = environ.get(INTERNAL_HEADER) == self._token
        with self._mutex:
            call = wire.decode(environ, body)
            caller = self._principals.find(call.access_key)
        if internal:
            return _answer(self._execute(call, caller, environ), start_response)
        entry = self._calls.arrived(
            call.service, call.operation, caller.arn if caller else None, resource_of(call.params),
            scoped=bool(caller and caller.policy),
        )  # fmt: skip
        return _answer(self._pass(call, caller, entry, environ), start_response)

    def _pass(self, call: Call, caller: Principal | None, entry: Entry, environ: dict[str, Any]) -> Reply:
        """A call from outside, with whatever is planned for it."""
        if call.region in self._faults.dark:
            entry.fault = "dark"
            raise _cut(environ)
        plans = self._faults.take(call.service, call.operation)
        for plan in plans:
            entry.fault = plan.kind
            if plan.kind == "delay":
                plan.hold()
        last = plans[-1] if plans else None
        kind = last.kind if last else None
        if kind == "drop_before":
            raise _cut(environ)
        if last and kind in {"throttle", "error"}:
            reply = call.error(_planned_error(last, call))
        else:
            reply = self._execute(call, caller, environ)
        entry.status, entry.error = reply.status, reply.error_code
        if last and kind == "error_after":
            return call.error(_planned_error(last, call))  # executed, and the caller hears that something broke
        if last and kind in {"drop_after", "stall"}:
            # Executed; nobody will ever be told.
            if kind == "stall":
                last.hold()
            raise _cut(environ)
        return reply

    def _execute(self, call: Call, caller: Principal | None, environ: dict[str, Any]) -> Reply:
        with self._mutex:
            try:
                if caller is None:
                    raise unknown(call.protocol, call.service, call.access_key)
                if caller.policy:
                    refuse_call(call, caller.policy, caller.account_id, dt.datetime.now(dt.UTC))
                if call.operation == "AssumeRole":
                    refuse_session(call, caller.is_role)
                reply = self._dispatch(call, environ)
            except AwsError as error:
                reply = call.error(error)
            if caller is not None:
                self._trail.record(call, caller, reply.error_code)
            return reply

    def _dispatch(self, call: Call, environ: dict[str, Any]) -> Reply:
        if environ.get("PATH_INFO", "").startswith("/moto-api"):
            raise _missing(call)  # it would empty AWS under the feet of running tasks
        try:
            if own := self._own.get(call.service):
                return call.result(own(call))
            chunks, status, headers = run_wsgi_app(self._app(call, environ), environ, buffered=True)
            reply = Reply(int(status.split()[0]), list(headers.items()), b"".join(chunks))
        except AwsError:
            raise
        except NotImplementedError:
            raise _missing(call) from None
        except Exception as error:
            logger.exception("%s %s failed inside the sandbox", call.service, call.operation)
            message = f"The sandbox failed at {call.service}:{call.operation} ({type(error).__name__})."
            raise AwsError("SandboxFailure", message, 400) from error
        if call.service != "s3" and reply.status in {404, 405, 500} and _is_page(reply):
            raise _missing(call)
        return reply

    def _app(self, call: Call, environ: dict[str, Any]) -> Any:
        try:
            return self._moto.get_application(environ)
        except (AttributeError, ImportError):
            raise _missing(call) from None  # moto looks in vain for the backend of a service that it does not know


def _planned_error(plan: Plan, call: Call) -> AwsError:
    if plan.kind == "throttle":
        return throttled(call.service, call.protocol)
    return AwsError(plan.code or "InternalFailure", "An error that the sandbox was told to make.", plan.status)


def _missing(call: Call) -> AwsError:
    # 400, because clients try again after a 500, and a gap does not close by that.
    name = f"{call.service or 'an unsigned request'}:{call.operation or 'unknown operation'}"
    return AwsError("SandboxNotImplemented", f"The sandbox does not have {name}.", 400)


def _is_page(reply: Reply) -> bool:
    """Whether this is Flask or moto talking to a browser, not AWS to a client."""
    kind = next((value for name, value in reply.headers if name.lower() == "content-type"), "")
    head = reply.body[:20].lower()
    return not reply.body or (kind.startswith("text/html") and (head.startswith((b"<!doctype html", b"<html"))))


def _cut(environ: dict[str, Any]) -> Dropped:
    """Shut the connection down. Closing it would leave the server's file objects open, and the client waiting."""
    connection: socket.socket = environ["werkzeug.socket"]
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        logger.debug("the client was gone before its connection was cut")
    return Dropped("cut by the fault layer")


def _answer(reply: Reply, start_response: Callable[..., Any]) -> Iterable[bytes]:
    given = {name.lower(): value for name, value in reply.headers}
    headers = [(name, value) for name, value in reply.headers if name.lower() != "content-length"]
    if not given.keys() & {"x-amzn-requestid", "x-amz-request-id"}:
        headers.append(("x-amzn-requestid", str(uuid.uuid4())))
    if "date" not in given:
        headers.append(("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())))
    # The answer to HEAD has no body and tells the length that it would have.
    headers.append(("Content-Length", str(len(reply.body)) if reply.body else given.get("content-length", "0")))
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    start_response(f"{reply.status} {phrase}", headers)
    return [reply.body]
