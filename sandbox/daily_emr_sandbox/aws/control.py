"""The control API under /_sandbox: the call log and faults here, routes of the other parts by `register`."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .wire import Reply

if TYPE_CHECKING:
    from ..settings import Settings
    from .calllog import CallLog
    from .faults import Faults

logger = logging.getLogger(__name__)

PREFIX = "/_sandbox"
Handler = Callable[..., Any]


class Control:
    """Routes of JSON handlers.

    A handler gets the parts of the path in braces, the query and the members of a JSON body as keyword arguments,
    in that order of precedence, and returns what becomes JSON. LookupError is 404, ValueError and TypeError are
    400, everything else is 500; the text of the error is its `error`. Handlers run without the mutex.
    """

    def __init__(self, settings: Settings, calls: CallLog, faults: Faults) -> None:
        self._settings, self._calls, self._faults = settings, calls, faults
        self._routes: dict[tuple[str, str], tuple[re.Pattern[str], Handler]] = {}
        self.register("GET", "/log", lambda since=0: {"calls": calls.since(int(since))})
        self.register("POST", "/log/mark", lambda: {"seq": calls.seq})
        self.register("GET", "/faults", lambda: {"faults": faults.listed()})
        self.register("POST", "/faults", lambda **plan: {"id": faults.add(**plan)})
        self.register("DELETE", "/faults", faults.remove)
        self.register("DELETE", "/faults/{fault_id}", faults.remove)
        self.register("GET", "/time", self._time)

    def register(self, method: str, path: str, handler: Handler) -> None:
        """Add a route, or replace it: `register("POST", "/break/{name}", handler)`."""
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))
        self._routes[method, path] = (pattern, handler)

    def answer(self, environ: dict[str, Any], body: bytes) -> Reply:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].removeprefix(PREFIX) or "/"
        found = [(known, pattern.fullmatch(path), handler) for (known, _), (pattern, handler) in self._routes.items()]
        matches = [(known, match.groupdict(), handler) for known, match, handler in found if match]
        if not matches:
            return _json(404, {"error": f"There is nothing at {PREFIX}{path}."})
        named = next(((parts, handler) for known, parts, handler in matches if known == method), None)
        if named is None:
            allowed = ", ".join(sorted({known for known, _, _ in matches}))
            return _json(405, {"error": f"{PREFIX}{path} takes {allowed}, not {method}."})
        parts, handler = named
        try:
            sent = json.loads(body) if body.strip() else {}
            if not isinstance(sent, dict):
                raise ValueError("the body must be a JSON object")  # noqa: TRY004 - the caller gets a 400 for both
            return _json(200, handler(**(sent | dict(parse_qsl(environ.get("QUERY_STRING", ""))) | parts)))
        except LookupError as error:
            return _json(404, {"error": str(error.args[0] if error.args else error)})
        except (ValueError, TypeError) as error:
            return _json(400, {"error": f"{method} {PREFIX}{path}: {error}"})
        except Exception as error:
            logger.exception("%s %s failed", method, path)
            return _json(500, {"error": f"{method} {PREFIX}{path}: {error}"})

    def _time(self) -> dict[str, Any]:
        return {"now": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), "factor": self._settings.time_factor}


def _json(status: int, value: Any) -> Reply:
    body = json.dumps({} if value is None else value, default=str).encode()
    return Reply(status, [("Content-Type", "application/json")], body)
