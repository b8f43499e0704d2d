"""Stand-in of LaunchDarkly: the REST calls that runbooks make, and the polling that the application does.

Shapes follow https://launchdarkly.com/docs/api (flags, semantic patch, audit log). Every mutating request is
logged: that log, not a report of the caller, says what was done and how often.
"""

from __future__ import annotations

import asyncio
import copy
import json
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .loop import LoopThread

if TYPE_CHECKING:
    from .settings import Settings

PROJECT = "daily-emr"
SEMANTIC_PATCH = "domain-model=launchdarkly.semanticpatch"
TURNS = {"turnFlagOn": True, "turnFlagOff": False}
SERVE = "updateFallthroughVariationOrRollout"
KINDS = (*TURNS, SERVE)
FAULT_KINDS = ("drop_before", "drop_after", "delay", "error")
DAY_MS = 24 * 3600 * 1000
SEEDED_FLAGS = {
    # key: (tags, on, days since it was changed)
    "new-chart-view": (["route:/api/charts", "web"], False, 12),
    "telehealth-video": (["route:/telehealth", "web"], True, 40),
    "chart-dual-write": (["migration", "route:/api/charts"], True, 25),
    "allergy-interlock": (["safety", "route:/api/charts"], True, 90),
    "read-only": (["mode"], False, 200),
    "claims-circuit": (["circuit:claims", "route:/api/claims"], False, 150),
    "claims-eligibility-cached": (["mode"], False, 150),
    "claims-submit-queue-only": (["circuit:sha"], False, 150),
    "reports-off": (["shed"], False, 150),
    "telehealth-audio-only": (["telehealth:running"], False, 150),
    "telehealth-bitrate-cap": (["telehealth:running"], False, 150),
    "telehealth-bookings-by-phone": (["telehealth:bookings"], False, 150),
    "telehealth-media-region": (["telehealth:new-sessions"], True, 120),
    "telehealth-provider": (["telehealth:new-sessions"], True, 120),
    "telehealth-relay-only": (["telehealth:new-sessions"], False, 150),
}
VARIATIONS: dict[str, tuple[str, ...]] = {
    "telehealth-media-region": ("af-south-1", "eu-west-1"),
    "telehealth-provider": ("primary", "secondary"),
}
"""Of flags that are not boolean. They serve the first one, on or off."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Flag:
    """One flag in the one environment of this sandbox."""

    key: str
    tags: list[str]
    on: bool
    changed_ms: int
    version: int = 1
    variations: tuple[Any, ...] = (True, False)
    fallthrough: int = 0
    """The variation that is served while the flag is on; targets and rules are not here."""

    @classmethod
    def seeded(cls, key: str) -> Flag:
        tags, on, days = SEEDED_FLAGS[key]
        return cls(key, tags, on, now_ms() - days * DAY_MS, variations=VARIATIONS.get(key, (True, False)))

    @property
    def is_boolean(self) -> bool:
        return self.key not in VARIATIONS

    @property
    def off_variation(self) -> int:
        return 1 if self.is_boolean else 0

    @property
    def value(self) -> Any:
        """What the SDK gives."""
        return self.variations[self.fallthrough if self.on else self.off_variation]

    def variation_id(self, number: int) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PROJECT}/{self.key}/{number}"))

    def as_json(self, environment: str) -> dict[str, Any]:
        return {
            "key": self.key,
            "name": self.key.replace("-", " ").capitalize(),
            "kind": "boolean" if self.is_boolean else "multivariate",
            "variations": [
                {"_id": self.variation_id(number), "value": value, "name": str(value).lower()}
                for number, value in enumerate(self.variations)
            ],
            "tags": self.tags,
            "_version": self.version,
            "archived": False,
            "environments": {
                environment: {
                    "on": self.on,
                    "lastModified": self.changed_ms,
                    "version": self.version,
                    "archived": False,
                    "fallthrough": {"variation": self.fallthrough},
                    "offVariation": self.off_variation,
                    "targets": [],
                    "rules": [],
                }
            },
        }


@dataclass
class Fault:
    """What happens to the next `count` mutating requests."""

    kind: str
    count: int = 1
    ms: int = 0
    status: int = 500


@dataclass
class Refusal(Exception):
    """An answer that is an error of the API."""

    status: int
    code: str
    message: str


@dataclass
class Book:
    """Everything LaunchDarkly knows."""

    flags: dict[str, Flag]
    audit: list[dict[str, Any]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    approval_required: bool = False


class LaunchDarkly:
    """The HTTP service; `start` and `stop` may be called from any thread."""

    def __init__(self, settings: Settings, loop: LoopThread) -> None:
        self._settings, self._loop = settings, loop
        self._book = Book({key: Flag.seeded(key) for key in SEEDED_FLAGS})
        self._token = f"api-{secrets.token_hex(16)}"
        self._runner: web.AppRunner | None = None

    def start(self) -> None:
        """Listen, and leave the access token in its file (0600)."""
        file = self._settings.launchdarkly_token_file
        file.touch(mode=0o600)
        file.write_text(self._token)
        self._loop.run(self._start())

    def stop(self) -> None:
        if self._runner is not None:
            self._loop.run(self._runner.cleanup())
            self._runner = None

    # For the sandbox itself: no token, not in the log.

    def turn(self, key: str, *, on: bool, by: str) -> None:
        """Change a flag as a colleague does in the web page: in the audit log, not in the log of requests."""
        flag = self._book.flags[key]
        self._change(flag, on=on, fallthrough=flag.fallthrough, by=by, comment="")

    def restore(self, *keys: str) -> None:
        """Make flags what they were at the beginning, as if nobody had changed them since."""
        for key in keys:
            self._book.flags[key] = Flag.seeded(key)
        self._book.audit = [entry for entry in self._book.audit if entry["name"] not in keys]

    def require_approval(self, required: bool) -> None:
        self._book.approval_required = required

    def log(self) -> list[dict[str, Any]]:
        """Mutating requests, oldest first: {seq, at, flag, instructions, value, dry_run, status, fault}."""
        return list(self._book.log)

    def changed_ms(self) -> int | None:
        """When a flag was last changed, by anyone; milliseconds since the epoch, None when it never was."""
        return max((entry["date"] for entry in self._book.audit), default=None)

    def add_fault(self, body: dict[str, Any]) -> dict[str, Any]:
        """Apply a fault to the next `count` mutating requests.

        Raises:
            ValueError: the kind is unknown.
        """
        if body.get("kind") not in FAULT_KINDS:
            raise ValueError(f"kind {body.get('kind')!r} is unknown: use {', '.join(FAULT_KINDS)}.")
        fault = Fault(body["kind"], int(body.get("count", 1)), int(body.get("ms", 0)), int(body.get("status", 500)))
        self._book.faults.append(fault)
        return vars(fault)

    def clear_faults(self) -> None:
        self._book.faults.clear()

    # HTTP.

    async def _start(self) -> None:
        application = web.Application(middlewares=[self._answer_refusals])
        application.add_routes(
            [
                web.get("/sdk/latest-all", self._poll),
                web.get("/api/v2/flags/{project}", self._list_flags),
                web.get("/api/v2/flags/{project}/{key}", self._get_flag),
                web.patch("/api/v2/flags/{project}/{key}", self._patch_flag),
                web.get("/api/v2/auditlog", self._audit_log),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._settings.launchdarkly_address, self._settings.launchdarkly_port).start()

    @web.middleware
    async def _answer_refusals(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            if request.path.startswith("/api/") and request.headers.get("Authorization") != self._token:
                raise Refusal(401, "unauthorized", "Invalid access token")
            answer: web.StreamResponse = await handler(request)
        except Refusal as refusal:
            return web.json_response({"code": refusal.code, "message": refusal.message}, status=refusal.status)
        return answer

    async def _poll(self, _request: web.Request) -> web.Response:
        flags = {
            key: {"key": key, "on": flag.on, "version": flag.version, "value": flag.value}
            for key, flag in self._book.flags.items()
        }
        return web.json_response({"flags": flags})

    async def _list_flags(self, request: web.Request) -> web.Response:
        environment = self._environment(request, request.query.get("env"))
        tag = request.query.get("tag")
        items = [flag.as_json(environment) for flag in self._book.flags.values() if tag is None or tag in flag.tags]
        return web.json_response({"items": items, "totalCount": len(items)})

    async def _get_flag(self, request: web.Request) -> web.Response:
        environment = self._environment(request, request.query.get("env"))
        return web.json_response(self._flag(request).as_json(environment))

    async def _audit_log(self, request: web.Request) -> web.Response:
        after, limit = int(request.query.get("after", 0)), min(int(request.query.get("limit", 10)), 20)
        entries = [entry for entry in reversed(self._book.audit) if entry["date"] > after]
        return web.json_response({"items": entries[:limit], "totalCount": len(entries)})

    async def _patch_flag(self, request: web.Request) -> web.StreamResponse:
        dry_run = request.query.get("dryRun") == "true"
        fault = None if dry_run else self._take_fault()  # a preview changes nothing: faults wait for the real request
        entry = {
            "seq": len(self._book.log) + 1,
            "at": now_ms(),
            "flag": request.match_info["key"],
            "instructions": [],
            "value": None,  # what would be served, or is
            "dry_run": dry_run,
            "status": None,
            "fault": fault.kind if fault else None,
        }
        self._book.log.append(entry)
        if fault is not None:
            await asyncio.sleep(fault.ms / 1000)
            if fault.kind == "drop_before":
                return self._drop(request)
            if fault.kind == "error":
                entry["status"] = fault.status
                raise Refusal(fault.status, "internal_service_error", "Fault of the sandbox")
        try:
            answer = await self._patched(request, entry, dry_run=dry_run)
        except Refusal as refusal:
            entry["status"] = refusal.status
            raise
        entry["status"] = 200
        return self._drop(request) if fault is not None and fault.kind == "drop_after" else answer

    async def _patched(self, request: web.Request, entry: dict[str, Any], *, dry_run: bool) -> web.Response:
        if SEMANTIC_PATCH not in request.headers.get("Content-Type", ""):
            raise Refusal(400, "invalid_request", f"Content-Type must contain {SEMANTIC_PATCH}")
        try:
            body = json.loads(await request.read())
            instructions = list(body["instructions"])
            kinds = entry["instructions"] = [instruction["kind"] for instruction in instructions]
            comment = str(body.get("comment") or "")
        except (ValueError, KeyError, TypeError) as error:
            raise Refusal(400, "invalid_request", "The body is not a semantic patch") from error
        if not kinds or not set(kinds) <= set(KINDS):
            raise Refusal(400, "invalid_request", f"Only {', '.join(KINDS)} are supported here")
        environment = self._environment(request, body.get("environmentKey"))
        flag = self._flag(request)
        if self._book.approval_required:
            raise Refusal(405, "method_not_allowed", "Approval is required to make this request")
        wanted = copy.copy(flag)
        for instruction in instructions:
            if instruction["kind"] == SERVE:
                wanted.fallthrough = self._variation(flag, instruction)
            else:
                wanted.on = TURNS[instruction["kind"]]
        entry["value"] = wanted.value
        if dry_run:
            return web.json_response(wanted.as_json(environment))
        self._change(flag, on=wanted.on, fallthrough=wanted.fallthrough, by="runbooks", comment=comment)
        return web.json_response(flag.as_json(environment))

    @staticmethod
    def _variation(flag: Flag, instruction: dict[str, Any]) -> int:
        known = {flag.variation_id(number): number for number in range(len(flag.variations))}
        if instruction.get("variationId") not in known:
            raise Refusal(400, "invalid_request", "variationId must be one of the flag; no rollouts here")
        return known[instruction["variationId"]]

    def _change(self, flag: Flag, *, on: bool, fallthrough: int, by: str, comment: str) -> None:
        if (flag.on, flag.fallthrough) == (on, fallthrough):
            return
        verb = f"turned {'on' if on else 'off'} the flag" if flag.on != on else "updated the default rule of the flag"
        flag.on, flag.fallthrough, flag.version, flag.changed_ms = on, fallthrough, flag.version + 1, now_ms()
        self._book.audit.append(
            {
                "_id": secrets.token_hex(12),
                "date": flag.changed_ms,
                "kind": "flag",
                "name": flag.key,
                "titleVerb": verb,
                "comment": comment,
                "member": {"_id": by},
                "target": {
                    "name": flag.key,
                    "resources": [f"proj/{PROJECT}:env/{self._settings.environment}:flag/{flag.key}"],
                },
            }
        )

    def _environment(self, request: web.Request, environment: str | None) -> str:
        if request.match_info["project"] != PROJECT or environment not in {None, self._settings.environment}:
            raise Refusal(404, "not_found", "Unknown project or environment")
        return self._settings.environment

    def _flag(self, request: web.Request) -> Flag:
        try:
            return self._book.flags[request.match_info["key"]]
        except KeyError:
            raise Refusal(404, "not_found", "Unknown flag") from None

    def _take_fault(self) -> Fault | None:
        if not self._book.faults:
            return None
        fault = self._book.faults[0]
        fault.count -= 1
        if fault.count < 1:
            self._book.faults.pop(0)
        return fault

    @staticmethod
    def _drop(request: web.Request) -> web.StreamResponse:
        """Break the connection: the caller cannot know whether the request was carried out."""
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
