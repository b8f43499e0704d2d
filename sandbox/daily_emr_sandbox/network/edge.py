"""The CDN in front of the balancer, as far as an incident sees it: its headers, its errors, its error caching.

It caches nothing but errors, and those for a short time: the default of CloudFront.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from yarl import URL

from .answers import end_to_end, listen, send_on

if TYPE_CHECKING:
    from ..settings import Settings
    from .balancer import Balancer

ERROR_CACHE_S = 10.0
CACHED_ERRORS = frozenset({404, 414, 500, 501, 502, 503, 504})
ORIGIN_TIMEOUT_S = 30.0
ORIGIN_TIMEOUT_FLOOR_S = 4.0
POINT_OF_PRESENCE = "NBO50-P1"
NODE = "d3edge0sandbox.cloudfront.net"


class Edge:
    """Serves `settings.edge_address` from the balancer's event loop; the balancer is its origin."""

    def __init__(self, settings: Settings, balancer: Balancer) -> None:
        self.settings = settings
        self.origin: str = settings.balancer_url
        self._balancer = balancer
        self.stats: Counter[str] = Counter()
        self._opened = AsyncExitStack()
        self._started = False
        self._errors: dict[tuple[str, str], tuple[float, web.Response]] = {}

    def start(self) -> None:
        """Start to serve; the balancer must have been started."""
        self._balancer.loop.run(self._open())

    def stop(self) -> None:
        """Stop to serve; call before the balancer is stopped. Harmless when it never started."""
        if self._started:
            self._balancer.loop.run(self._opened.aclose())

    async def _open(self) -> None:
        self._started = True
        self._session = await listen(self._handle, self.settings.edge_address, self.settings.edge_port, self._opened)

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        self.stats["requests"] += 1
        key = (incoming.method, incoming.raw_path)
        cached = self._errors.get(key)
        if cached and time.monotonic() < cached[0]:
            answer = _copy(cached[1])
        else:
            answer = await self._fetch(incoming)
            if incoming.method in {"GET", "HEAD"} and answer.status in CACHED_ERRORS:
                self._remember(key, answer)
        answer.headers["X-Cache"] = (
            "Error from cloudfront" if answer.status >= HTTPStatus.BAD_REQUEST else "Miss from cloudfront"
        )
        answer.headers["Via"] = f"1.1 {NODE} (CloudFront)"
        answer.headers["X-Amz-Cf-Pop"] = POINT_OF_PRESENCE
        answer.headers["X-Amz-Cf-Id"] = uuid.uuid4().hex
        self.stats[str(answer.status)] += 1
        return answer

    async def _fetch(self, incoming: web.BaseRequest) -> web.Response:
        headers = [(n, v) for n, v in end_to_end(incoming.headers) if n.lower() not in {"x-forwarded-for", "via"}]
        headers.append(("X-Forwarded-For", incoming.remote or "127.0.0.1"))
        headers.append(("Via", f"1.1 {NODE} (CloudFront)"))
        total = max(ORIGIN_TIMEOUT_S / self.settings.time_factor, ORIGIN_TIMEOUT_FLOOR_S)
        url = URL(f"{self.origin}{incoming.raw_path}", encoded=True)
        body = await incoming.read()
        try:
            timeout = aiohttp.ClientTimeout(total=total)
            return await send_on(self._session, incoming.method, url, headers, body, timeout)
        except TimeoutError:
            return _own(504)
        except (aiohttp.ClientError, OSError):
            return _own(502)

    def _remember(self, key: tuple[str, str], answer: web.Response) -> None:
        moment = time.monotonic()
        self._errors = {key: entry for key, entry in self._errors.items() if entry[0] > moment}
        self._errors[key] = (moment + ERROR_CACHE_S / self.settings.time_factor, _copy(answer))


def _own(status: int) -> web.Response:
    text = "<html><body><h1>ERROR</h1><h2>The request could not be satisfied.</h2></body></html>"
    answer = web.Response(status=status, text=text, content_type="text/html")
    answer.headers["Server"] = "CloudFront"
    return answer


def _copy(answer: web.Response) -> web.Response:
    headers = end_to_end(answer.headers)
    return web.Response(status=answer.status, headers=dict(headers), body=answer.body)
