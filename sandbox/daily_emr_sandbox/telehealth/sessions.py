"""Consultations: patients join at the provider that the flags name for new sessions, talk, and hang up.

A join really asks: a room and a token from the control API with the application's key, then a path for the media
from the TURN server, from the address of the patient's internet provider. That media flows afterwards is taken for
granted: a running consultation needs neither flag nor control API, and ends at its own time where it began. Who
closes its room earlier drops it, and the ledger says so.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

from .ice import IceError, Path, allocate, bind
from .patients import NEXT, Line, Patient, Patients, line_of

if TYPE_CHECKING:
    from ..settings import Settings
    from .provider import Provider

PROVIDER, REGION, RELAY_ONLY = "telehealth-provider", "telehealth-media-region", "telehealth-relay-only"
AUDIO_ONLY, BITRATE_CAP = "telehealth-audio-only", "telehealth-bitrate-cap"
FALLBACK = {PROVIDER: "primary", REGION: "af-south-1", RELAY_ONLY: False, AUDIO_ONLY: False, BITRATE_CAP: False}
"""What the application takes while LaunchDarkly was never reached."""
JOINS_PER_S = 3.0
IN_FLIGHT = 64
API_TIMEOUT_S = 2.0
ICE_TIMEOUT_S, LEAST_ICE_TIMEOUT_S = 15.0, 1.5
"""AWS seconds until a browser gives up, and the real seconds that this machine needs to be sure."""
CONSULTATION_S = (420.0, 780.0)
"""AWS seconds that a consultation takes."""
BOT_EVERY_S, BOT_LEAST_S = 60.0, 1.0
POLL_S, RETRY_S = 1.0, 1.0
DEVICE_S = (0.6, 1.8)
"""What camera, microphone and consent take of the time to the first picture: made up."""
RECENT = 10


class JoinFailed(Exception):
    """Why somebody could not join: the code of the log."""


@dataclass
class Session:
    """A room of the application's own; `line` is None where nobody got in."""

    provider: str
    room: str
    region: str
    patient: Patient
    line: Line | None = None
    joined_at: float = 0.0
    hanging_up: bool = False


class Sessions:
    """`start`, `stop` and `room_closed` are for the event loop's thread, everything else may be called from any.

    Args:
        keys: the application's key at each provider, as it knows it now.
        note: takes the lines of the log.
        measured: takes the result of each synthetic join: provider, and whether it got in.
    """

    def __init__(
        self,
        settings: Settings,
        providers: dict[str, Provider],
        keys: dict[str, str],
        note: Callable[[dict[str, Any]], None],
        measured: Callable[[str, bool], None],
    ) -> None:
        self._settings, self._providers, self._keys = settings, providers, keys
        self._note, self._measured = note, measured
        self.patients = Patients(settings)
        self.identity = "synthetic"
        """Under which name patients are shown in a consultation: it is for the provider alone."""
        self.flags: dict[str, Any] = dict(FALLBACK)
        self._running: dict[str, Session] = {}
        self._counts: Counter[str] = Counter()
        self._recent: deque[tuple[str, bool]] = deque(maxlen=RECENT)
        self._last_failed_at: float | None = None
        self.last_rtt_ms = 0
        """Of the last patient who got in."""
        self._to_close: dict[str, asyncio.Queue[Session]] = {}
        self._joining: set[asyncio.Task[None]] = set()
        self._main: asyncio.Task[None] | None = None
        self._tasks: asyncio.TaskGroup

    async def start(self) -> None:
        self._to_close = {name: asyncio.Queue() for name in self._providers}
        self._main = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._main is not None:
            self._main.cancel()
            await asyncio.gather(self._main, return_exceptions=True)

    @property
    def joins_well(self) -> bool:
        """Whether the last patients all got in, at the provider of new sessions, and nobody still tries in vain."""
        recent = list(self._recent)
        well = len(recent) == RECENT and all(joined and name == self.flags[PROVIDER] for name, joined in recent)
        return well and time.time() - (self._last_failed_at or 0.0) > self._ice_timeout_s

    @property
    def _ice_timeout_s(self) -> float:
        return max(self._settings.scaled(ICE_TIMEOUT_S), LEAST_ICE_TIMEOUT_S)

    @property
    def joining(self) -> frozenset[asyncio.Task[None]]:
        """The joins that have begun and not ended: with the flags of when they began."""
        return frozenset(self._joining)

    def running(self) -> dict[str, int]:
        """How many consultations go on, by provider."""
        count = Counter(session.provider for session in list(self._running.values()) if not session.hanging_up)
        return {name: count[name] for name in self._providers}

    def ledger(self) -> dict[str, Any]:
        """The witness of what happened to consultations.

        `dropped`: their room was closed by anybody but the application at their end. `moved`: of those, how many went
        on at another provider.
        """
        unnoticed = sum(self._closed_by_another(session) for session in list(self._running.values()))
        return {
            "started": self._counts["started"],
            "ended_normally": self._counts["ended_normally"],
            "dropped": self._counts["dropped"] + unnoticed,
            "moved": self._counts["moved"],
            "failed": self._counts["failed"],
            "last_failed_at": self._last_failed_at,
            "running": self.running(),
        }

    def _closed_by_another(self, session: Session) -> bool:
        room = self._providers[session.provider].rooms.get(session.room)
        return not session.hanging_up and (room is None or room.closed_at is not None)

    async def room_closed(self, room: str) -> None:
        """A provider says so. Where nobody hung up, the patient joins again, wherever new sessions go now."""
        session = self._running.get(room)
        if session is not None and not session.hanging_up:
            self._dropped(session)
            self._tasks.create_task(self._join(before=session.provider))

    def _dropped(self, session: Session) -> None:
        del self._running[session.room]
        self._counts["dropped"] += 1

    # Tasks.

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=API_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as self._http, asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._poll())
            for name in self._providers:
                self._tasks.create_task(self._hang_up(name))
                self._tasks.create_task(self._bot(name))
            while True:
                if len(self._joining) < IN_FLIGHT:
                    join = self._tasks.create_task(self._join())
                    self._joining.add(join)
                    join.add_done_callback(self._joining.discard)
                await asyncio.sleep(1 / JOINS_PER_S)

    async def _poll(self) -> None:
        """Values of the flags; the last ones that are known, when LaunchDarkly is away."""
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, ValueError, KeyError):
                async with self._http.get(f"{self._settings.launchdarkly_url}/sdk/latest-all") as answer:
                    self.flags = {key: flag["value"] for key, flag in (await answer.json())["flags"].items()}
            await asyncio.sleep(POLL_S)

    async def _join(self, before: str = "") -> None:
        """One patient joins. before: where the same consultation was, when it was dropped."""
        provider, region = self.flags[PROVIDER], self.flags[REGION]
        patient = self.patients.next(relay_only=self.flags[RELAY_ONLY])
        started = time.monotonic()
        session: Session | None = None
        try:
            room = await self._ask(provider, "room", "/v1/rooms", {"region": region})
            session = Session(provider, room["room"], region, patient)
            token = await self._ask(provider, "token", "/v1/tokens", self._wish(session))
            light = self.flags[AUDIO_ONLY] or self.flags[BITRATE_CAP]
            thin_lines = 0.0 if light else self.patients.thin_lines
            session.line = line_of(patient, await self._find_path(patient, token["ice"]), thin_lines)
        except JoinFailed as failed:
            failure = str(failed)
        else:
            failure = ""
        facts = self._facts("join", provider, patient, region) | {"joined": int(not failure)}
        self._recent.append((provider, not failure))
        if session is not None and session.line is not None:
            taken_ms = round(1000 * (time.monotonic() - started + random.uniform(*DEVICE_S)))
            self.last_rtt_ms = session.line.rtt_ms
            self._note(facts | {"ms": taken_ms, "rtt_ms": session.line.rtt_ms, "poor": int(session.line.poor)})
            self._counts["moved"] += before not in {"", provider}
            self._talk(session)
        else:
            self._note(facts | {"failure": failure})
            self._counts["failed"] += 1
            self._last_failed_at = time.time()
            if session is not None:
                self._to_close[provider].put_nowait(session)

    def _wish(self, session: Session) -> dict[str, Any]:
        return {"room": session.room, "region": session.region, "identity": self.identity}

    async def _find_path(self, patient: Patient, ice: dict[str, Any]) -> float:
        """Seconds of a round trip.

        Raises:
            JoinFailed: there is no path, or the client asked wrongly.
        """
        path = Path(patient.source, ice["host"], ice["port"], patient.transport)
        timeout_s = self._ice_timeout_s
        username = ice["username"]
        if patient.version == NEXT:  # its defect: it takes the parts of the user name in the wrong order
            username = ":".join(reversed(username.split(":")))
        try:
            if patient.needs_relay or patient.version == NEXT:
                return await allocate(path, username, ice["credential"], timeout_s)
            return await bind(path, timeout_s)
        except IceError as error:
            raise JoinFailed("client" if error.refused else "ice") from None

    async def _ask(self, provider: str, what: str, path: str, body: dict[str, Any]) -> Any:
        """Raises JoinFailed: `<what>_<status>`, `<what>_timeout` or `<what>_refused`."""
        try:
            async with self._http.post(self._url(provider, path), json=body, headers=self._key(provider)) as answer:
                if answer.status != HTTPStatus.CREATED:
                    raise JoinFailed(f"{what}_{answer.status}")
                return await answer.json()
        except TimeoutError:
            raise JoinFailed(f"{what}_timeout") from None
        except aiohttp.ClientError:
            raise JoinFailed(f"{what}_refused") from None

    def _talk(self, session: Session) -> None:
        session.joined_at = time.monotonic()
        self._running[session.room] = session
        self._counts["started"] += 1
        seconds = self._settings.scaled(random.uniform(*CONSULTATION_S))
        asyncio.get_running_loop().call_later(seconds, self._end, session)

    def _end(self, session: Session) -> None:
        if session.room not in self._running:
            return  # it was dropped
        if self._closed_by_another(session):
            self._dropped(session)
            return
        session.hanging_up = True
        self._to_close[session.provider].put_nowait(session)

    async def _hang_up(self, provider: str) -> None:
        """Close the rooms of a provider one after the other; one that does not answer is asked again later."""
        while True:
            session = await self._to_close[provider].get()
            while await self._close(session) not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND}:
                await asyncio.sleep(RETRY_S)
            if session.line is not None:
                self._running.pop(session.room, None)
                self._counts["ended_normally"] += 1
                self._note(
                    self._facts("call", provider, session.patient, session.region)
                    | {
                        "minutes": round((time.monotonic() - session.joined_at) * self._settings.time_factor / 60, 1),
                        "rtt_ms": session.line.rtt_ms,
                        "jitter_ms": session.line.jitter_ms,
                        "loss_pct": session.line.loss_pct,
                    }
                )

    async def _close(self, session: Session) -> int:
        """Status of closing a room; 0 without an answer."""
        url, key = self._url(session.provider, f"/v1/rooms/{session.room}"), self._key(session.provider)
        try:
            async with self._http.delete(url, headers=key) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    async def _bot(self, provider: str) -> None:
        """A synthetic join with the application's key: control API, then media by whichever transport works."""
        source = self._settings.aws_address
        while True:
            joined = False
            with suppress(JoinFailed):
                await self._ask(provider, "room", "/v1/rooms", {"test": True, "empty_timeout_s": 10})
                ice = (await self._ask(provider, "token", "/v1/tokens", {"test": True}))["ice"]
                for transport in ("udp", "tcp"):
                    path = Path(source, ice["host"], ice["port"], transport)
                    with suppress(IceError):
                        await allocate(path, ice["username"], ice["credential"], LEAST_ICE_TIMEOUT_S)
                        joined = True
                        break
            self._measured(provider, joined)
            await asyncio.sleep(max(self._settings.scaled(BOT_EVERY_S), BOT_LEAST_S))

    def _url(self, provider: str, path: str) -> str:
        return self._settings.telehealth_url(provider) + path

    def _key(self, provider: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._keys[provider]}", "User-Agent": "daily-emr"}

    @staticmethod
    def _facts(event: str, provider: str, patient: Patient, region: str) -> dict[str, Any]:
        return {
            "time": time.time_ns() // 1_000_000,
            "event": event,
            "provider": provider,
            "app_version": patient.version,
            "isp": patient.isp.name,
            "asn": patient.isp.asn,
            "transport": patient.transport,
            "region": region,
        }
