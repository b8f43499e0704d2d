"""The application load balancer: a reverse proxy that does what the control plane says.

Two threads: an event loop that carries requests, and a control thread that hands it snapshots and writes target
health and metrics back. The loop never waits for the mutex.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from yarl import URL

from ..loop import LoopThread
from . import elbv2_api, routing, targets
from .answers import elb_answer, end_to_end, listen, send_on
from .health import Prober
from .metrics import Recorder, host_counts, put
from .routing import Group, Snapshot, Target
from .waf import Rates, Request, Samples

if TYPE_CHECKING:
    from ..aws.server import AwsServer
    from ..settings import Settings

logger = logging.getLogger(__name__)

LOOK_S = 0.2
FLUSH_S = 2.0
CONNECT_TIMEOUT_S = 10.0
IN_FLIGHT_S = 2.0
"""Real seconds, beyond the delay, for requests in flight to a target that drains."""


class Balancer:
    """The load balancer named like the sandbox, on `settings.balancer_address`.

    Args:
        settings: addresses, names, time factor.
        aws: the control plane (mutex, backends).
    """

    def __init__(self, settings: Settings, aws: AwsServer) -> None:
        self.settings = settings
        self.aws = aws
        self.stats: Counter[str] = Counter()
        """`requests`, and one count for each status that clients got, by its number as text."""
        self.dark = False
        """Whether it answers nobody, as in a region that is gone."""
        self.reports_metrics = True
        """Whether CloudWatch gets the metrics of the load balancer."""
        self.samples = Samples()
        self.loop = LoopThread()
        self._recorder = Recorder()
        self._rates = Rates(settings.time_factor)
        self._snapshot: Snapshot | None = None
        self._inflight: Counter[str] = Counter()
        self._turns: defaultdict[str, itertools.count[int]] = defaultdict(itertools.count)
        self._owed: defaultdict[tuple[tuple[str, int], ...], Counter[str]] = defaultdict(Counter)
        self._draining: dict[tuple[str, str], float] = {}
        self._opened = AsyncExitStack()
        self._stop = threading.Event()
        self._control = threading.Thread(target=self._run_control, name="balancer-control", daemon=True)
        aws.sampled_requests = self.samples.between
        elbv2_api.install()

    def start(self) -> None:
        self.loop.start()
        self.loop.run(self._open())
        self._control.start()

    def stop(self) -> None:
        """Stop to serve. Harmless when it never started, or started half."""
        self._stop.set()
        if self._control.is_alive():
            self._control.join()
        if self.loop.loop.is_running():
            self.loop.run(self._opened.aclose())
        self.loop.stop()

    async def _open(self) -> None:
        address, port = self.settings.balancer_address, self.settings.balancer_port
        self._session = await listen(self._handle, address, port, self._opened)
        self._prober = Prober(self._session)
        self._opened.push_async_callback(self._prober.stop)

    # Control thread.

    def _run_control(self) -> None:
        flush_at = time.monotonic() + FLUSH_S
        while not self._stop.is_set():
            try:
                with self.aws.mutex:
                    snapshot = routing.take(self.settings, self.aws)
                    if snapshot:
                        self._publish(snapshot)
                    if time.monotonic() >= flush_at:
                        flush_at = time.monotonic() + FLUSH_S
                        self._flush(snapshot)
                if snapshot:
                    self.loop.loop.call_soon_threadsafe(self._apply, snapshot)
            except Exception:
                logger.exception("the balancer could not follow the control plane; it tries again")
            self._stop.wait(LOOK_S)

    def _apply(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._prober.follow(snapshot)

    def _publish(self, snapshot: Snapshot) -> None:
        """Write health to moto's target groups, and end the draining of targets that are out of time."""
        known = self.aws.backend("elbv2").target_groups
        for group in snapshot.groups.values():
            book = targets.healths(known[group.arn])
            for target in group.targets:
                if state := self._prober.states.get((group.arn, target.address)):
                    book[target.address] = state
                self._draining.pop((group.arn, target.address), None)
            for target in group.draining:
                if target.address in book and self._drained(group, target):
                    del book[target.address]
                    self._draining.pop((group.arn, target.address), None)

    def _drained(self, group: Group, target: Target) -> bool:
        """AWS shows `draining` until the delay is over, also where the last request has ended before.

        The delay is shorter here by the time factor, requests are not: those in flight get a moment more.
        """
        since = self._draining.setdefault((group.arn, target.address), time.monotonic())
        over = time.monotonic() - since - group.drain_s
        applied = self._snapshot.groups.get(group.arn) if self._snapshot else None
        unreachable = applied is None or target not in applied.targets
        return over > 0 and unreachable and (self._inflight[target.address] == 0 or over > IN_FLIGHT_S)

    def _flush(self, snapshot: Snapshot | None) -> None:
        data = self._recorder.take()
        if snapshot:
            for group in snapshot.groups.values():
                if group.attached:
                    states = [(target.zone, self._state(group, target) == "healthy") for target in group.targets]
                    data["AWS/ApplicationELB"] += host_counts(
                        snapshot.dimension, group.dimension, states, snapshot.zones
                    )
        if not self.reports_metrics:
            data.pop("AWS/ApplicationELB", None)
        for namespace, members in data.items():
            put(self.aws, namespace, members)

    # Requests.

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        if self.dark and incoming.transport is not None:
            incoming.transport.abort()
        self.stats["requests"] += 1
        answer = await self._answer(incoming)
        self.stats[str(answer.status)] += 1
        return answer

    async def _answer(self, incoming: web.BaseRequest) -> web.Response:
        snapshot = self._snapshot
        if snapshot is None:
            return elb_answer(503)
        path, _, query = incoming.raw_path.partition("?")
        headers = {name.lower(): value for name, value in incoming.headers.items()}
        request = Request(incoming.method, path, query, headers, incoming.remote or "127.0.0.1")
        zone = self._node_zone(snapshot)
        if (status := self._judge(snapshot, request)) is not None:
            return self._own(snapshot, zone, status)
        rule = snapshot.rule_for(request)
        if rule is None:
            return self._own(snapshot, zone, 503)
        action = rule.actions[-1]
        if action["Type"] == "fixed-response":
            config = action["FixedResponseConfig"]
            body, kind = config.get("MessageBody", ""), config.get("ContentType", "text/plain")
            return self._own(snapshot, zone, int(config["StatusCode"]), body=body, content_type=kind)
        if action["Type"] == "redirect":
            location = _redirect(action["RedirectConfig"], incoming)
            moved = 301 if action["RedirectConfig"]["StatusCode"] == "HTTP_301" else 302
            return self._own(snapshot, zone, moved, location=location)
        group = self._choose_group(snapshot, action)
        target = self._choose(snapshot, group) if group else None
        if group is None or target is None:
            return self._own(snapshot, zone, 503)
        return await self._forward(snapshot, group, target, incoming)

    def _own(self, snapshot: Snapshot, zone: str, status: int, **extra: str) -> web.Response:
        self._recorder.answered(
            balancer=snapshot.dimension, zone=zone, status=status, by_target=False, group=None, seconds=None
        )
        return elb_answer(status, **extra)

    def _judge(self, snapshot: Snapshot, request: Request) -> int | None:
        """Status to refuse the request with, None when it may pass."""
        if (acl := snapshot.web_acl) is None:
            return None
        verdict = acl.judge(request, self._rates)
        region = self.settings.region
        self._recorder.judged(acl.metric, (verdict.rule, "ALL"), verdict.action, region)
        self.samples.add(acl.arn, verdict.rule, verdict.action, request)
        for rule in verdict.counted:
            self._recorder.judged(acl.metric, (rule, "ALL"), "COUNT", region)
            self.samples.add(acl.arn, rule, "COUNT", request)
        return verdict.status if verdict.action == "BLOCK" else None

    async def _forward(
        self, snapshot: Snapshot, group: Group, target: Target, incoming: web.BaseRequest
    ) -> web.Response:
        # Chosen and counted without an await in between: a draining target can trust its count.
        self._inflight[target.address] += 1
        started, by_target = time.perf_counter(), False
        try:
            body = await incoming.read()
            timeout = aiohttp.ClientTimeout(
                total=snapshot.idle_timeout_s,
                sock_connect=max(CONNECT_TIMEOUT_S / self.settings.time_factor, 1.0),
            )
            url = URL(f"http://{target.address}:{target.port}{incoming.raw_path}", encoded=True)
            started = time.perf_counter()
            answer = await send_on(self._session, incoming.method, url, _forwarded(incoming), body, timeout)
            by_target = True
        except TimeoutError:
            answer = elb_answer(504)
        except (aiohttp.ClientError, OSError):
            answer = elb_answer(502)
        finally:
            self._inflight[target.address] -= 1
        self._recorder.answered(
            balancer=snapshot.dimension,
            zone=target.zone,
            status=answer.status,
            by_target=by_target,
            group=group.dimension,
            seconds=time.perf_counter() - started if by_target else None,
        )
        return answer

    # Choices.

    def _state(self, group: Group, target: Target) -> str:
        found = self._prober.states.get((group.arn, target.address))
        return found.state if found else "initial"

    def _node_zone(self, snapshot: Snapshot) -> str:
        """Zone of the balancer node that the client's DNS answer named."""
        zones = [zone for zone in snapshot.zones if zone not in snapshot.shifted] or list(snapshot.zones)
        return zones[next(self._turns["node"]) % len(zones)]

    def _choose_group(self, snapshot: Snapshot, action: Mapping[str, Any]) -> Group | None:
        entries = (action.get("ForwardConfig") or {}).get("TargetGroups")
        entries = entries or [{"TargetGroupArn": action.get("TargetGroupArn"), "Weight": 1}]
        weights = [int(entry.get("Weight", 1)) for entry in entries]
        if not any(weights):
            return None
        # Smooth weighted round robin: the shares are exact, not only likely, so that a test can count them.
        arns = [entry["TargetGroupArn"] for entry in entries]
        owed = self._owed[tuple(zip(arns, weights, strict=True))]
        for arn, weight in zip(arns, weights, strict=True):
            owed[arn] += weight
        chosen = max(arns, key=lambda arn: owed[arn])
        owed[chosen] -= sum(weights)
        return snapshot.groups.get(chosen)

    def _choose(self, snapshot: Snapshot, group: Group) -> Target | None:
        """Next target in turn: healthy ones in zones not shifted away from; when there are none, any (fail open)."""
        here = [target for target in group.targets if target.zone not in snapshot.shifted]
        candidates = [target for target in here if self._state(group, target) == "healthy"] or group.targets
        return candidates[next(self._turns[group.arn]) % len(candidates)] if candidates else None


def _forwarded(incoming: web.BaseRequest) -> list[tuple[str, str]]:
    """Headers for the target, with what the balancer adds."""
    headers = end_to_end(incoming.headers)
    via = [value for name, value in headers if name.lower() == "x-forwarded-for"]
    headers = [(name, value) for name, value in headers if not name.lower().startswith("x-forwarded-")]
    headers += [
        ("X-Forwarded-For", ", ".join([*via, incoming.remote or "127.0.0.1"])),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "443"),
    ]
    if "X-Amzn-Trace-Id" not in incoming.headers:
        headers.append(("X-Amzn-Trace-Id", f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}"))
    return headers


def _redirect(config: Mapping[str, Any], incoming: web.BaseRequest) -> str:
    path, _, query = incoming.raw_path.partition("?")
    host = incoming.host.partition(":")[0]
    parts = {"protocol": "https", "host": host, "port": "443", "path": path.lstrip("/"), "query": query}
    text = "{Protocol}://{Host}:{Port}{Path}?{Query}".format(
        Protocol=config.get("Protocol", "#{protocol}"), Host=config.get("Host", "#{host}"),
        Port=config.get("Port", "#{port}"), Path=config.get("Path", "/#{path}"), Query=config.get("Query", "#{query}"),
    )  # fmt: skip
    for name, value in parts.items():
        text = text.replace(f"#{{{name}}}", value)
    scheme, rest = text.rstrip("?").split("://", 1)
    return f"{scheme.lower()}://{rest}"
