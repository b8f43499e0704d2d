"""The providers by whom people are told, as one HTTP service, with faults; and what each of them has been told."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jsonschema
from aiohttp import web

from . import schemas

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..aws.server import AwsServer
    from ..loop import LoopThread
    from ..settings import Settings

Json = dict[str, Any]
PROVIDERS = ("pagerduty", "slack", "statuspage", "grafana")
PAGE, CHANNEL = "daily-emr-sandbox", "C0INCIDENTS"
FAULTS = ("status", "hang", "drop_after")
HANG_S = 3600.0


@dataclass
class Fault:
    """What happens to the next requests of a provider: an answer with this status, or none.

    after_s: the Retry-After of that answer, None for none.
    """

    kind: str
    count: int = 1
    status: int = 500
    after_s: float | None = None


@dataclass
class Refusal(Exception):
    """An answer that is an error of the API."""

    status: int
    body: Json


class People:
    """The service; `start` and `stop` may be called from any thread."""

    def __init__(self, settings: Settings, loop: LoopThread, aws: AwsServer | None = None) -> None:
        self._settings, self._loop, self._aws = settings, loop, aws
        self._keys = {
            "PAGERDUTY_ROUTING_KEY": secrets.token_hex(16),
            "PAGERDUTY_API_TOKEN": secrets.token_hex(10),
            "SLACK_BOT_TOKEN": f"xoxb-{secrets.token_hex(16)}",
            "STATUSPAGE_API_KEY": secrets.token_hex(16),
            "GRAFANA_TOKEN": f"glsa_{secrets.token_hex(16)}",
        }
        self._wrong: set[str] = set()
        self._faults: dict[str, list[Fault]] = {name: [] for name in PROVIDERS}
        self._log: list[Json] = []
        self._numbers = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self._forget()

    def _forget(self) -> None:
        self.alerts: dict[str, Json] = {}
        self.changes: list[Json] = []
        self.messages: dict[str, Json] = {}
        self.incidents: dict[str, Json] = {}
        self.annotations: list[Json] = []

    # A part of the sandbox.

    def start(self) -> None:
        file = self._settings.state_dir / "notification_tokens"
        file.touch(mode=0o600)
        file.write_text("".join(f"{name}={key}\n" for name, key in self._keys.items()))
        self._loop.run(self._listen())
        if self._aws:
            for method, path, handler in (
                ("GET", "/people", self.told),
                ("POST", "/people/faults/{provider}", self.add_fault),
                ("DELETE", "/people/faults", self.restore),
            ):
                self._aws.register(method, path, handler)

    def stop(self) -> None:
        if self._runner is not None:
            self._loop.run(self._runner.cleanup())
            self._runner = None

    def healthy(self) -> bool:
        return not any(self._faults.values()) and not self._wrong

    def restore(self) -> None:
        """No provider has a fault any more, and its key is accepted again."""
        for faults in self._faults.values():
            faults.clear()
        self._wrong.clear()

    def plant(self, value: str) -> None:
        """No patient is known here."""

    def describe(self) -> Json:
        url = self._settings.people_url
        return {
            "notifications": {
                "pagerduty": {
                    "url": f"{url}/pagerduty",
                    "api_url": f"{url}/pagerduty",
                    "from": "on-call@daily-emr.test",
                    "source": f"{self._settings.prefix}.{self._settings.region}",
                },
                "slack": {"url": f"{url}/slack/api/", "channel": CHANNEL},
                "statuspage": {"url": f"{url}/statuspage", "page": PAGE, "components": ["records"]},
                "grafana": {"url": f"{url}/grafana"},
            }
        }

    @property
    def pids(self) -> dict[str, int]:
        return {}

    # For tests and drills.

    def told(self) -> Json:
        """What each provider has: alerts by key, change events, cards with what they said, incidents, annotations; and
        each request, oldest first, {seq, provider, path, status, problem}.
        """
        return {
            "alerts": self.alerts,
            "changes": self.changes,
            "messages": self.messages,
            "incidents": self.incidents,
            "annotations": self.annotations,
            "requests": self._log,
        }

    def add_fault(self, provider: str, kind: str, **more: Any) -> Json:
        """Apply a fault to the next `count` requests of a provider; "wrong_key" lasts until it is restored.

        Raises:
            ValueError: provider or kind is unknown.
        """
        if provider not in PROVIDERS:
            raise ValueError(f"provider {provider!r} is unknown: use {', '.join(PROVIDERS)}.")
        if kind == "wrong_key":
            self._wrong.add(provider)
            return {"kind": kind}
        if kind not in FAULTS:
            raise ValueError(f"kind {kind!r} is unknown: use wrong_key, {', '.join(FAULTS)}.")
        fault = Fault(kind, **more)
        self._faults[provider].append(fault)
        return vars(fault)

    # HTTP.

    async def _listen(self) -> None:
        application = web.Application(middlewares=[self._answer])
        page = f"/statuspage/v1/pages/{PAGE}/incidents"
        application.add_routes(
            [
                web.post("/pagerduty/v2/enqueue", self._event),
                web.post("/pagerduty/v2/change/enqueue", self._change),
                web.get("/pagerduty/incidents", self._find_alert),
                web.get("/pagerduty/incidents/{id}/notes", self._notes),
                web.post("/pagerduty/incidents/{id}/notes", self._add_note),
                web.post("/slack/api/chat.postMessage", self._post),
                web.post("/slack/api/chat.update", self._update),
                web.post("/slack/api/conversations.history", self._history),
                web.get("/slack/api/conversations.history", self._history),
                web.get(f"{page}/unresolved", self._unresolved),
                web.post(page, self._create_incident),
                web.patch(f"{page}/{{id}}", self._update_incident),
                web.get("/grafana/api/annotations", self._find_annotations),
                web.post("/grafana/api/annotations", self._annotate),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._settings.people_address, self._settings.people_port).start()

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        provider = request.path.split("/")[1]
        entry: Json = {
            "seq": len(self._log) + 1,
            "at": time.time(),
            "provider": provider,
            "method": request.method,
            "path": request.path,
            "status": None,
            "problem": "",
        }
        self._log.append(entry)
        fault = self._take_fault(provider)
        if fault is not None and fault.kind == "hang":
            await asyncio.sleep(HANG_S)
        if fault is not None and fault.kind == "status":
            wait = {} if fault.after_s is None else {"Retry-After": f"{fault.after_s:g}"}
            entry["status"] = fault.status
            return web.Response(status=fault.status, headers=wait, text="a fault of the sandbox")
        try:
            await self._let_in(provider, request)
            answer = await handler(request)
        except Refusal as refusal:
            entry["problem"] = json.dumps(refusal.body)
            answer = web.json_response(refusal.body, status=refusal.status)
        entry["status"] = answer.status
        if fault is not None and fault.kind == "drop_after" and request.transport is not None:
            request.transport.abort()
        return answer

    async def _let_in(self, provider: str, request: web.Request) -> None:
        """Raises Refusal, as the provider words it, where the key is not right."""
        given, keys = request.headers.get("Authorization", ""), self._keys
        right = {
            "pagerduty": "/enqueue" in request.path
            or (given == f"Token token={keys['PAGERDUTY_API_TOKEN']}" and "@" in request.headers.get("From", "")),
            "slack": given == f"Bearer {keys['SLACK_BOT_TOKEN']}",
            "statuspage": given == f"OAuth {keys['STATUSPAGE_API_KEY']}",
            "grafana": given == f"Bearer {keys['GRAFANA_TOKEN']}",
        }[provider] and provider not in self._wrong
        if right:
            return
        if "/enqueue" in request.path:
            raise _bad_event("Invalid routing key")
        if provider == "slack":
            raise Refusal(200, {"ok": False, "error": "invalid_auth"})
        raise Refusal(401, {"message": "Invalid API key"})

    def _take_fault(self, provider: str) -> Fault | None:
        faults = self._faults.get(provider) or []
        if not faults:
            return None
        faults[0].count -= 1
        return faults[0] if faults[0].count > 0 else faults.pop(0)

    @staticmethod
    async def _body(request: web.Request, schema: Json, refused: Callable[[str], Refusal]) -> Json:
        """The body, when the schema of the provider has it so. Raises what the provider answers otherwise."""
        try:
            body: Json = await request.json()
            jsonschema.validate(body, schema)
        except (ValueError, jsonschema.ValidationError) as error:
            raise refused(str(getattr(error, "message", error))[:300]) from None
        return body

    async def _event(self, request: web.Request) -> web.Response:
        body = await self._body(request, schemas.PAGERDUTY_EVENT, _bad_event)
        self._known_key(body)
        key, action = body.get("dedup_key") or secrets.token_hex(16), body["event_action"]
        alert = self.alerts.get(key)
        if action == "trigger":
            if alert is None or alert["status"] == "resolved":
                alert = self.alerts[key] = {"id": f"Q{next(self._numbers)}", "triggers": 0, "notes": []}
                alert["status"] = "triggered"
            alert["triggers"] += 1
            alert["payload"] = body["payload"]
        elif alert is not None and alert["status"] != "resolved":
            alert["status"] = {"acknowledge": "acknowledged", "resolve": "resolved"}[action]
        answer = {"status": "success", "message": "Event processed", "dedup_key": key}
        return web.json_response(answer, status=202)

    async def _change(self, request: web.Request) -> web.Response:
        body = await self._body(request, schemas.PAGERDUTY_CHANGE, _bad_event)
        self._known_key(body)
        self.changes.append(body["payload"])
        return web.json_response({"status": "success", "message": "Change event processed"}, status=202)

    def _known_key(self, body: Json) -> None:
        if body["routing_key"] != self._keys["PAGERDUTY_ROUTING_KEY"]:
            raise _bad_event("Invalid routing key")

    async def _find_alert(self, request: web.Request) -> web.Response:
        alert = self.alerts.get(request.query.get("incident_key", ""))
        states = request.query.getall("statuses[]", [])
        found = [{"id": alert["id"]}] if alert and alert["status"] in states else []
        return web.json_response({"incidents": found})

    def _alert(self, request: web.Request) -> Json:
        found = [one for one in self.alerts.values() if one["id"] == request.match_info["id"]]
        if not found:
            raise Refusal(404, {"error": {"message": "Not Found"}})
        return found[0]

    async def _notes(self, request: web.Request) -> web.Response:
        return web.json_response({"notes": self._alert(request)["notes"]})

    async def _add_note(self, request: web.Request) -> web.Response:
        body = await self._body(request, schemas.PAGERDUTY_NOTE, _bad_event)
        self._alert(request)["notes"].append(body["note"])
        return web.json_response(body, status=201)

    async def _post(self, request: web.Request) -> web.Response:
        body = await self._body(request, schemas.SLACK_POST, _bad_slack)
        stamp = f"{time.time():.6f}"
        self.messages[stamp] = {**body, "said": [body["blocks"][-1]["text"]["text"]]}
        return web.json_response({"ok": True, "ts": stamp, "channel": body["channel"]})

    async def _update(self, request: web.Request) -> web.Response:
        body = await self._body(request, schemas.SLACK_UPDATE, _bad_slack)
        message = self.messages.get(body["ts"])
        if message is None:
            raise Refusal(200, {"ok": False, "error": "message_not_found"})
        said = [*message["said"], body["blocks"][-1]["text"]["text"]]
        message |= {**body, "said": said}
        return web.json_response({"ok": True, "ts": body["ts"], "channel": body["channel"]})

    async def _history(self, _request: web.Request) -> web.Response:
        found = [{"ts": stamp, "metadata": one.get("metadata")} for stamp, one in reversed(self.messages.items())]
        return web.json_response({"ok": True, "messages": found[:100]})

    async def _unresolved(self, _request: web.Request) -> web.Response:
        return web.json_response([one for one in self.incidents.values() if one["status"] != "resolved"])

    async def _create_incident(self, request: web.Request) -> web.Response:
        body = (await self._body(request, schemas.STATUSPAGE_CREATE, _bad_page))["incident"]
        identity = secrets.token_hex(6)
        self.incidents[identity] = {**body, "id": identity, "incident_updates": [_update(body)]}
        return web.json_response(self.incidents[identity], status=201)

    async def _update_incident(self, request: web.Request) -> web.Response:
        body = (await self._body(request, schemas.STATUSPAGE_PATCH, _bad_page))["incident"]
        incident = self.incidents.get(request.match_info["id"])
        if incident is None:
            raise Refusal(404, {"error": "not found"})
        incident |= {**body, "incident_updates": [_update(body), *incident["incident_updates"]]}
        return web.json_response(incident)

    async def _find_annotations(self, request: web.Request) -> web.Response:
        wanted = set(request.query.getall("tags", []))
        return web.json_response([one for one in self.annotations if wanted <= set(one["tags"])])

    async def _annotate(self, request: web.Request) -> web.Response:
        body = await self._body(request, schemas.GRAFANA_ANNOTATION, _bad_page)
        self.annotations.append({**body, "id": next(self._numbers)})
        return web.json_response({"message": "Annotation added", "id": self.annotations[-1]["id"]})


def _update(body: Json) -> Json:
    return {"status": body["status"], "body": body["body"]}


def _bad_event(problem: str) -> Refusal:
    return Refusal(400, {"status": "invalid event", "message": "Event object is invalid", "errors": [problem]})


def _bad_slack(problem: str) -> Refusal:
    return Refusal(200, {"ok": False, "error": "invalid_arguments", "response_metadata": {"messages": [problem]}})


def _bad_page(problem: str) -> Refusal:
    return Refusal(422, {"error": [problem]})
