"""A LaunchDarkly of one project on loopback: semantic patches, previews, approvals."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .world import Json, ago


class Provider:
    """Its flags, and the patches that arrived."""

    def __init__(self) -> None:
        self.flags: dict[str, Json] = {}
        self.patches: list[Json] = []
        self.previews = 0
        self.approval = False
        self.lose: str | None = None
        self.now: Callable[[], float] = time.time
        """The clock that its answers carry, in seconds since 1970."""

    def flag(self, key: str, on: bool = True, hours: float = 1.0, tags: tuple[str, ...] = ()) -> Json:
        """A flag that was changed so many hours ago."""
        here = {"on": on, "version": 3, "lastModified": int(ago(hours=hours).timestamp() * 1000), "offVariation": 1}
        self.flags[key] = {"key": key, "tags": list(tags), "archived": False, "environments": {"sandbox": here}}
        return here

    def patch(self, key: str, body: Json, preview: bool) -> int:
        if preview:
            self.previews += 1
        else:
            self.patches.append(body)
        if self.approval:
            return 405
        if not preview and self.lose != "before":
            self.flags[key]["environments"][body["environmentKey"]]["on"] = (
                body["instructions"][0]["kind"] == "turnFlagOn"
            )
        return 200

    def handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(200 if self._key() in provider.flags else 404, provider.flags.get(self._key(), {}))

            def do_PATCH(self) -> None:
                assert "semanticpatch" in self.headers["Content-Type"]
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                preview = "dryRun" in parse_qs(urlsplit(self.path).query)
                status = provider.patch(self._key(), body, preview)
                if provider.lose and not preview:
                    self.close_connection = True  # and no reply
                    return
                self._reply(status, {})

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(provider.now() if timestamp is None else timestamp)

            def _key(self) -> str:
                assert self.headers["Authorization"] == "api-token"
                return urlsplit(self.path).path.rsplit("/", 1)[1]

            def _reply(self, status: int, body: Json) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        return Handler
