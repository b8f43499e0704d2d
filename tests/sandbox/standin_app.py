"""A task for the tests of compute and network: a small HTTP server that does what its environment says.

RELEASE_DEFECT=crash ends at start, =unready never passes its health check, =errors answers 500.
GET /slow/<seconds> answers late; GET /status/<code> answers with that code.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from aiohttp import web

DEFECT = os.environ.get("RELEASE_DEFECT")
FACTS = {name: os.environ.get(name) for name in ("TASK_ID", "TASK_ZONE", "TASK_REVISION", "TASK_ADDRESS", "PASSWORD")}


async def livez(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"}, status=500 if DEFECT == "unready" else 200)


async def who(_: web.Request) -> web.Response:
    return web.json_response(FACTS, status=500 if DEFECT == "errors" else 200)


async def slow(request: web.Request) -> web.Response:
    await asyncio.sleep(float(request.match_info["seconds"]))
    return web.json_response(FACTS)


async def status(request: web.Request) -> web.Response:
    return web.json_response(FACTS, status=int(request.match_info["code"]))


async def echo(request: web.Request) -> web.Response:
    return web.json_response({"headers": dict(request.headers), "body": await request.text(), "path": request.path_qs})


async def main() -> None:
    application = web.Application()
    application.add_routes([
        web.get("/livez", livez), web.get("/slow/{seconds}", slow), web.get("/side/slow/{seconds}", slow),
        web.get("/status/{code}", status), web.route("*", "/echo", echo), web.get("/{rest:.*}", who),
    ])  # fmt: skip
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, os.environ["TASK_ADDRESS"], int(os.environ["TASK_PORT"])).start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await runner.cleanup()


if DEFECT == "crash":
    sys.exit("cannot start: this release is broken")
asyncio.run(main())
