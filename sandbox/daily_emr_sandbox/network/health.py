"""Health checks: real HTTP requests to every registered target, in the balancer's event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import aiohttp

from .routing import Group, Snapshot, Target
from .targets import TargetHealth

START_ALLOWANCE_S = 10.0
"""Real seconds that a new target may refuse connections and still count as coming up: an interpreter needs real
time to start, however fast the sandbox's clock runs."""

HEALTHY = TargetHealth("healthy", None)
REFUSED = TargetHealth("unhealthy", "Target.FailedHealthChecks")
INITIAL = TargetHealth("initial", "Elb.InitialHealthChecking")
Key = tuple[str, str]
"""Target group ARN and address."""


class Prober:
    """Keeps one probing task for each target. `states` may be read from other threads."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._tasks: dict[Key, tuple[Target, asyncio.Task[None]]] = {}
        self._groups: Mapping[str, Group] = {}
        self.states: dict[Key, TargetHealth] = {}

    def follow(self, snapshot: Snapshot) -> None:
        """Probe the targets of this snapshot, and no others."""
        self._groups = snapshot.groups
        used = [group for group in snapshot.groups.values() if group.attached]
        wanted = {(group.arn, target.address): target for group in used for target in group.targets}
        for key in [key for key, (target, _) in self._tasks.items() if wanted.get(key) != target]:
            self._tasks.pop(key)[1].cancel()
            self.states.pop(key, None)
        for key, target in wanted.items():
            if key not in self._tasks:
                self.states[key] = INITIAL
                self._tasks[key] = (target, asyncio.create_task(self._watch(key, target)))

    async def stop(self) -> None:
        tasks = [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, key: Key, target: Target) -> None:
        born, good, bad = time.monotonic(), 0, 0
        while True:
            check = self._groups[key[0]].check
            failure = await self._probe(key[0], target)
            if failure is None:
                good, bad = good + 1, 0
            else:
                good, bad = 0, bad + 1
            state = self.states[key].state
            coming_up = state == "initial" and time.monotonic() - born < START_ALLOWANCE_S
            if failure is None and (state != "unhealthy" or good >= check.healthy):
                self.states[key] = HEALTHY
            elif failure and bad >= check.unhealthy and not (coming_up and failure == REFUSED):
                self.states[key] = failure
            await asyncio.sleep(check.interval_s)

    async def _probe(self, group: str, target: Target) -> TargetHealth | None:
        """None when the target is fine, else the unhealthy state with the reason code of ELB."""
        check = self._groups[group].check
        try:
            async with self._session.get(
                f"http://{target.address}:{target.port}{check.path}",
                headers={"User-Agent": "ELB-HealthChecker/2.0"},
                timeout=aiohttp.ClientTimeout(total=check.timeout_s),
                allow_redirects=False,
            ) as answer:
                if check.accepts(answer.status):
                    return None
                detail = f"Health checks failed with these codes: [{answer.status}]"
                return TargetHealth("unhealthy", "Target.ResponseCodeMismatch", detail)
        except TimeoutError:
            return TargetHealth("unhealthy", "Target.Timeout")
        except (aiohttp.ClientError, OSError):
            return REFUSED
