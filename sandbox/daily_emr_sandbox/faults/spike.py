"""Faults that show as errors or slowness of some requests: one release, route, zone, task, tenant or dependency."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from ..settings import TASK_PORT
from ..traffic import DAY_RATE, NIGHT_RATE, TENANTS
from ..web import CHART, probe
from .base import Fault
from .configuration import BadFlag
from .releases import BAD_RELEASE, BadReleaseErrors

if TYPE_CHECKING:
    from ..world import World

ELIGIBILITY = "/api/claims/eligibility"
CANARY_WEIGHTS = (90, 10)
"""What the release that runs and the canary get."""
CLAIMS_DELAYS_S = (3.0, 3.0, 3.0, 1.0)
"""In turn: longer than the application waits, and slow but answered."""
ONE_IN_FIVE = (500, 200, 200, 200, 200)
"""Eligibility is one request in ten, so this is one error in fifty requests."""
RARELY_MIN, FEW_FAIL_MIN, MANY_FAIL_MIN = 30.0, 20.0, 12.0
"""An alarm on the fastest burn rate rings 17.3 minutes after one request in twenty begins to fail and 8.6 after one in
ten, and metrics are up to three minutes late (incident domain, B.2). Users are few here, so a small share takes longer
to be more than chance."""
QUIET_S = 60.0
"""AWS seconds without a data point that make missing metrics visible."""
STALE_MIN = 15.0
"""Minutes until nothing is known any more (`stale_minutes` of daily_emr.ops.error_budget)."""


class CanaryFails(Fault):
    name = "canary_fails"
    summary = "the canary of a new release gets 10 % of the traffic, and its API routes answer 500"
    alarm_min = FEW_FAIL_MIN

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._elbv2 = world.aws.boto("elbv2")
        self._service = f"{self.settings.web}-canary"
        listener = self._elbv2.describe_listeners(LoadBalancerArn=self._balancer())["Listeners"][0]
        self._listener, self._actions = listener["ListenerArn"], listener["DefaultActions"]

    def break_(self) -> None:
        group = self._group() or self._make_group()
        if not self.web.running_of(self._service):
            self._forward(group, (100, 0))
            self.wait(self._attached, "the canary's target group is used")
            self._make_service(group)
            self.wait(lambda: self._states(group) == ["healthy"], "the canary is healthy")
        self._forward(group, CANARY_WEIGHTS)
        self.wait(self._fails, "the canary fails reads")

    def mend(self) -> None:
        group = self._group()
        if group is None:
            return
        self._elbv2.modify_listener(ListenerArn=self._listener, DefaultActions=self._actions)
        found = self.web.ecs.describe_services(cluster=self.settings.prefix, services=[self._service])["services"]
        if any(service["status"] == "ACTIVE" for service in found):
            self.web.ecs.delete_service(cluster=self.settings.prefix, service=self._service, force=True)
        self.wait(self._gone, "the canary is gone")
        self._elbv2.delete_target_group(TargetGroupArn=group)

    def _balancer(self) -> str:
        arn: str = self._elbv2.describe_load_balancers(Names=[self.settings.prefix])["LoadBalancers"][0][
            "LoadBalancerArn"
        ]
        return arn

    def _groups(self) -> dict[str, dict[str, Any]]:
        return {group["TargetGroupName"]: group for group in self._elbv2.describe_target_groups()["TargetGroups"]}

    def _group(self) -> str | None:
        group = self._groups().get(self._service)
        return group["TargetGroupArn"] if group else None

    def _make_group(self) -> str:
        model = self._groups()[self.settings.web]
        kept = {key: model[key] for key in COPIED if key in model}
        made: str = self._elbv2.create_target_group(Name=self._service, **kept)["TargetGroups"][0]["TargetGroupArn"]
        attributes = self._elbv2.describe_target_group_attributes(TargetGroupArn=model["TargetGroupArn"])["Attributes"]
        delay = [one for one in attributes if one["Key"] == "deregistration_delay.timeout_seconds"]
        self._elbv2.modify_target_group_attributes(TargetGroupArn=made, Attributes=delay)
        return made

    def _attached(self) -> bool:
        return bool(self._groups()[self._service]["LoadBalancerArns"])

    def _forward(self, canary: str, weights: tuple[int, int]) -> None:
        groups = (self._groups()[self.settings.web]["TargetGroupArn"], canary)
        shares = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in zip(groups, weights, strict=True)]
        action = {"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}
        self._elbv2.modify_listener(ListenerArn=self._listener, DefaultActions=[action])

    def _make_service(self, group: str) -> None:
        model = self.web.service()
        balancers = [entry | {"targetGroupArn": group} for entry in model["loadBalancers"]]
        self.web.ecs.create_service(
            cluster=self.settings.prefix, serviceName=self._service, desiredCount=1, launchType="FARGATE",
            taskDefinition=self.web.register(BAD_RELEASE, "errors"), loadBalancers=balancers,
            networkConfiguration=model["networkConfiguration"],
            healthCheckGracePeriodSeconds=model["healthCheckGracePeriodSeconds"],
        )  # fmt: skip

    def _states(self, group: str) -> list[str]:
        health = self._elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return [target["TargetHealth"]["State"] for target in health]

    def _fails(self) -> bool:
        tasks = self.web.running_of(self._service)
        return bool(tasks) and all(_at(task, CHART) == HTTPStatus.INTERNAL_SERVER_ERROR for task in tasks)

    def _gone(self) -> bool:
        return all(task.service != self._service for task in self.world.scheduler.tasks())


COPIED = (
    "Protocol", "Port", "VpcId", "TargetType", "HealthCheckPath", "HealthCheckIntervalSeconds",
    "HealthCheckTimeoutSeconds", "HealthyThresholdCount", "UnhealthyThresholdCount", "Matcher",
)  # fmt: skip
"""What the canary's target group has from the one of the service."""


class NewReleaseFails(BadReleaseErrors):
    name = "new_release_fails"
    summary = "a release runs everywhere and its chart routes answer 500, until the alarm of the error ratio rings"
    alarm_min = MANY_FAIL_MIN


class FlagFails(BadFlag):
    name = "flag_fails"
    summary = "the flag new-chart-view was turned on and reading charts fails, until the alarm of the error ratio rings"
    alarm_min = MANY_FAIL_MIN


class OneRouteFails(Fault):
    name = "one_route_fails"
    summary = "a row of data breaks one route, /api/reports, in every release"
    alarm_min = FEW_FAIL_MIN
    statement: ClassVar[bytes] = b"UPDATE reports SET days = %s WHERE month = '2026-10-01'"
    broken: ClassVar[object] = 0
    whole: ClassVar[object] = 21
    path: ClassVar[str] = "/api/reports"
    tenant: ClassVar[str] = ""

    def break_(self) -> None:
        self._set(self.broken)
        self.wait(self._fails, f"{self.path} fails")

    def mend(self) -> None:
        self._set(self.whole)

    def _set(self, value: object) -> None:
        with self.world.database.primary.connect() as session:
            session.execute(self.statement, (value,))

    def _fails(self) -> bool:
        return all(
            _at(task, self.path, tenant=self.tenant) == HTTPStatus.INTERNAL_SERVER_ERROR for task in self.some_running()
        )


class OneTenantFails(OneRouteFails):
    name = "one_tenant_fails"
    summary = "the settings of one facility are incomplete, and every view of that facility fails"
    tenant = TENANTS[2]
    path = "/api/appointments"
    statement = f"UPDATE facilities SET settings = %s WHERE tenant = '{tenant}'".encode()  # noqa: S608 - our own name
    broken, whole = "{}", '{"timezone": "Africa/Nairobi"}'


class OneZoneErrors(Fault):
    name = "one_zone_errors"
    summary = "the session cache refuses one zone; tasks there live, and answer 503 at once"
    alarm_min = MANY_FAIL_MIN

    def break_(self) -> None:
        # The first zone that has tasks, as with every fault of a zone.
        zone = min(task.zone for task in self.some_running())
        self.world.cache.refuse_zone(zone)
        self.wait(lambda: self._refused(zone), f"every task of {zone} fails reads")

    def mend(self) -> None:
        for zone in self.settings.zones:
            self.world.cache.accept_zone(zone)
        shifts = self.world.aws.boto("arc-zonal-shift")
        for shift in shifts.list_zonal_shifts(status="ACTIVE")["items"]:
            shifts.cancel_zonal_shift(zonalShiftId=shift["zonalShiftId"])

    def _refused(self, zone: str) -> bool:
        there = [task for task in self.web.running() if task.zone == zone]
        return bool(there) and all(_at(task, CHART) == HTTPStatus.SERVICE_UNAVAILABLE for task in there)


class OneTaskErrors(Fault):
    name = "one_task_errors"
    summary = "the disk of one task is full: it passes its health checks, and answers 500"
    alarm_min = MANY_FAIL_MIN

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._spoiled: set[str] = set()

    def break_(self) -> None:
        running = self.some_running()
        if not self._spoiled & {task.id for task in running}:
            task = running[0]
            # Before it answers, a task does not listen to the signal either.
            self.wait(lambda: _at(task, CHART) == HTTPStatus.OK, "the task serves")
            self.primitives.kill_task(task.id, "URG")
            self._spoiled.add(task.id)
        self.wait(self._fails, "the task fails reads")

    def mend(self) -> None:
        left = [task for task in self.web.running() if task.id in self._spoiled]
        for task in left:
            self.web.ecs.stop_task(cluster=self.settings.prefix, task=task.arn, reason="its disk is full")
        self.wait(lambda: not self._spoiled & {task.id for task in self.web.running()}, "the task is gone")
        self._spoiled.clear()
        if left:
            self.web.wait_settled()

    def _fails(self) -> bool:
        spoiled = [task for task in self.web.running() if task.id in self._spoiled]
        return all(_at(task, CHART) == HTTPStatus.INTERNAL_SERVER_ERROR for task in spoiled)


class LatencyWithoutErrors(Fault):
    name = "latency_without_errors"
    summary = "the event loop of every task pauses again and again: users wait, and no request fails"
    alarm_min = MANY_FAIL_MIN

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._lagging: set[str] = set()

    def break_(self) -> None:
        for task in self.some_running():
            if task.id not in self._lagging:
                self.wait(lambda task=task: _at(task, CHART) == HTTPStatus.OK, "the task serves")  # type: ignore[misc]
                self.primitives.kill_task(task.id, "WINCH")
                self._lagging.add(task.id)
        self.wait(lambda: all(self._slow(task) for task in self.some_running()), "every task is slow")

    def mend(self) -> None:
        if self._lagging & {task.id for task in self.web.running()}:
            self.web.recycle()
        self._lagging.clear()

    def _slow(self, task: Any) -> bool:
        started = time.monotonic()
        return _at(task, CHART) == HTTPStatus.OK and time.monotonic() - started > SLOW_S


SLOW_S = 0.4
"""Less than the shortest pause of a task that lags."""


class SlowThirdParty(Fault):
    name = "slow_third_party"
    summary = "the claims service answers late: three of four eligibility checks time out, the others take a second"
    alarm_min = RARELY_MIN

    def break_(self) -> None:
        self.world.claims.slow(*CLAIMS_DELAYS_S)
        self.wait(self._late, "eligibility times out")

    def mend(self) -> None:
        self.world.claims.mend()

    def _late(self) -> bool:
        url = f"{self.settings.balancer_url}{ELIGIBILITY}"
        return probe(url, method="POST", tenant=TENANTS[0])[0] == HTTPStatus.GATEWAY_TIMEOUT


class NightTraffic(Fault):
    name = "night_traffic"
    summary = "it is night: one request a second, and one in fifty fails, which is no reason to wake anybody"

    def break_(self) -> None:
        self.world.traffic.rate = NIGHT_RATE
        errors = self.world.traffic.errors
        self.world.claims.fail(*ONE_IN_FIVE)
        self.wait(lambda: self.world.traffic.errors > errors, "the first request fails")

    def mend(self) -> None:
        self.world.claims.mend()
        self.world.traffic.rate = DAY_RATE


class MetricsMissing(Fault):
    name = "metrics_missing"
    summary = "the load balancer serves, and CloudWatch gets none of its metrics"
    alarm_min = STALE_MIN

    def break_(self) -> None:
        if self.world.balancer.reports_metrics:
            self.world.balancer.reports_metrics = False
            quiet_at = time.monotonic() + self.settings.scaled(QUIET_S)
            self.wait(lambda: time.monotonic() > quiet_at, "there was no data point for a minute")

    def mend(self) -> None:
        self.world.balancer.reports_metrics = True


def _at(task: Any, path: str, *, tenant: str = "") -> int:
    """Status of a read at one task."""
    return probe(f"http://{task.address}:{TASK_PORT}{path}", tenant=tenant)[0]
