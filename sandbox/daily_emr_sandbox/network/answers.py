"""What balancer and edge have in common: listening, sending on, answers and headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from http import HTTPStatus

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

ELB_SERVER = "awselb/2.0"
HOP_BY_HOP = frozenset({
    "connection", "content-length", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "te",
    "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
PHRASES = {503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}


def elb_answer(
    status: int, *, body: str | None = None, content_type: str = "text/html", location: str | None = None
) -> web.Response:
    """An answer made by the load balancer itself, as its clients know it."""
    phrase = PHRASES.get(status, HTTPStatus(status).phrase)
    page = (
        f"<html>\r\n<head><title>{status} {phrase}</title></head>\r\n<body>\r\n"
        f"<center><h1>{status} {phrase}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    answer = web.Response(status=status, text=page if body is None else body, content_type=content_type)
    answer.headers["Server"] = ELB_SERVER
    if location:
        answer.headers["Location"] = location
    return answer


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def listen(handler: Handler, address: str, port: int, opened: AsyncExitStack) -> aiohttp.ClientSession:
    """Serve an address and return a session for the next hop; `opened` closes both.

    The session keeps no connection: a next hop that goes away between two requests must not fail the second.
    """
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
    )
    opened.push_async_callback(session.close)
    runner = web.ServerRunner(web.Server(handler), handle_signals=False)
    opened.push_async_callback(runner.cleanup)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    return session


def end_to_end(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Headers that a proxy passes on."""
    return [(name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP]


async def send_on(
    session: aiohttp.ClientSession, method: str, url: URL, headers: Iterable[tuple[str, str]], body: bytes,
    timeout: aiohttp.ClientTimeout,
) -> web.Response:  # fmt: skip
    """Send a request to the next hop and return its whole answer.

    Raises:
        TimeoutError: no answer in time.
        aiohttp.ClientError: refused, cut off or malformed.
    """
    async with session.request(
        method, url, headers=CIMultiDict(headers), data=body or None, timeout=timeout, allow_redirects=False
    ) as answer:
        payload = await answer.read()
        kept = CIMultiDict(end_to_end(answer.headers))
        return web.Response(status=answer.status, reason=answer.reason, headers=kept, body=payload)
