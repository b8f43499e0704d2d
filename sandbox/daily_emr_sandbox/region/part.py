"""The second region as a part of the sandbox, and the DNS that follows its switch."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import time
from contextlib import ExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..aws.overlays import rds_replica
from ..aws.overlays.cloudwatch import store_of
from ..aws.overlays.metric_store import key_of
from ..aws.principals import SESSION, write_profiles
from ..compute.scheduler import EcsScheduler
from ..loop import Rounds, wait_until
from ..network.balancer import Balancer
from ..seed import MAXIMUM, MINIMUM
from ..settings import COPY_REGION
from ..valkey import Cache
from ..web import CHART, probe
from .replica import Replica
from .seed import FIRST_REGION_ALARM, TRAFFIC_ALARM, TRAFFIC_METRIC, RegionSeed
from .view import AwsRegion

if TYPE_CHECKING:
    from ..world import World

LOOK_S = 0.3
CANARY_FAILS = 3
"""Looks in a row that end in nothing before the canary rings."""
DNS_S = 60.0
"""AWS seconds: the health check's intervals and the time to live of the record."""
PATIENT_S = 60.0
GO_NO_GO_S = 900.0
"""AWS seconds that a region has to be gone before anybody gives it up (incident domain, F.3)."""
DATE_S = 2.0
"""A Date header has whole seconds."""
# The last one is who runs the playbooks, and may assume that role as well.
APPROVERS = ("wanjiru", "otieno", SESSION)


class Region(Rounds):
    """Replica, cache, scheduler and balancer of the second region; its canary, and where DNS points."""

    def __init__(self, world: World) -> None:
        super().__init__("second-region", LOOK_S)
        self._world = world
        self._opened = ExitStack()
        self._failed_looks = 0
        self._rings_since = 0.0
        self._switched_at: float | None = None
        self.replica: Replica

    def start(self) -> None:
        # Here, because the daemon reads the part's name before it has a network.
        from ..daemon import free_network

        world = self._world
        network = self._opened.enter_context(free_network())
        self.settings = dataclasses.replace(
            world.settings,
            network=network,
            region=COPY_REGION,
            state_dir=world.settings.data_dir / "region",
            parts=frozenset(),
        )
        self.settings.logs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.aws = AwsRegion.of(world.aws, COPY_REGION)
        self.replica = Replica(self.settings, world.loop, world.database)
        self._opened.callback(self.replica.stop)
        self.replica.start()
        RegionSeed(self.settings, self.aws).build()
        place = (self.settings.database_address, self.settings.database_port)
        rds_replica.install(self.replica, self.settings.replica_name, place)
        self._start_application()
        self._name_approvers()
        world.aws.register("GET", "/region", self._seen)
        world.aws.register("POST", "/region/fall_behind", self.replica.fall_behind)
        world.aws.register("POST", "/region/return", self.first_returns)
        super().start()

    def _start_application(self) -> None:
        """What would serve here: a fresh cache, a balancer without targets, a scheduler without tasks."""
        secrets = self.aws.boto("secretsmanager")
        cache = Cache(self.settings, self._world.loop)
        self._opened.callback(cache.stop)
        cache.start(secrets.get_secret_value(SecretId=self.settings.session_secret)["SecretString"])
        self.scheduler = EcsScheduler(self.settings, self.aws)
        self.scheduler.environment_of_zone = lambda zone: {
            "DATABASE_PATH": self._database_path(),
            "CACHE_ADDRESS": "{}:{}".format(*cache.path(zone)),
            "LAUNCHDARKLY_URL": self._world.settings.launchdarkly_url,
            "CLAIMS_URL": self._world.settings.claims_url,
        }
        self.balancer = Balancer(self.settings, self.aws)
        for part in (self.scheduler, self.balancer):
            self._opened.callback(part.stop)
            part.start()

    def _database_path(self) -> str:
        """Host and port of the secret that the tasks of this region get. Held mutex."""
        found = self.aws.backend("secretsmanager").get_secret_value(self.settings.recovery_secret, None, "AWSCURRENT")
        return str(urlsplit(found["SecretString"]).netloc.rpartition("@")[2])

    def _name_approvers(self) -> None:
        """Sessions of people in the role of who approves, each in a sandbox.json of their own."""
        for name in APPROVERS:
            role = self._world.aws.principals.assume(f"{self.settings.prefix}-runbook-approver", session=name)
            file = self._world.settings.state_dir / "people" / name / "credentials"
            write_profiles(file, {"default": role})
            description = self._world.describe() | self.describe() | {"credentials_file": str(file)}
            (file.parent / "sandbox.json").write_text(json.dumps(description))

    def stop(self) -> None:
        super().stop()
        self._opened.close()

    def healthy(self) -> bool:
        return self.replica.follows and self.replica.following() and not self.serves

    def restore(self) -> None:
        """The pilot light again: nobody is sent here, no task, a replica that follows."""
        with self._world.aws.mutex:
            store_of(self.aws.backend("cloudwatch"))._data.pop(key_of(*TRAFFIC_METRIC, None), None)
        wait_until(lambda: not self.serves, "DNS points to the first region", PATIENT_S)
        ecs, scaling = self.aws.boto("ecs"), self.aws.boto("application-autoscaling")
        cluster = {"cluster": self.settings.prefix}
        ecs.update_service(**cluster, service=self.settings.web, desiredCount=0)
        wait_until(lambda: not self.scheduler.tasks(), "the second region's tasks are gone", PATIENT_S)
        scaling.register_scalable_target(
            ServiceNamespace="ecs", ScalableDimension="ecs:service:DesiredCount", MinCapacity=MINIMUM,
            ResourceId=f"service/{self.settings.prefix}/{self.settings.web}", MaxCapacity=MAXIMUM,
        )  # fmt: skip
        secrets = self.aws.boto("secretsmanager")
        first = secrets.get_secret_value(SecretId=self.settings.database_secret)["SecretString"]
        if secrets.get_secret_value(SecretId=self.settings.recovery_secret)["SecretString"] != first:
            secrets.put_secret_value(SecretId=self.settings.recovery_secret, SecretString=first)
        with self._world.database.primary.connect() as session:
            session.execute("ALTER ROLE emr_application LOGIN")
        self.replica.catch_up()
        if not (self.replica.follows and self.replica.status == "available" and self.replica.following()):
            self.replica.rebuild()
        with self._world.aws.mutex:
            self.aws.backend("dynamodb").tables[f"{self.settings.prefix}-runbooks"].items.clear()

    def plant(self, value: str) -> None:
        """Patients are in the first region's database, and follow from there."""

    def describe(self) -> dict[str, Any]:
        settings, first = self.settings, self._world.settings
        return {
            "second_region": {
                "name": settings.region,
                "balancer_url": settings.balancer_url,
                "replica_host": self.replica.node.address,
                "replica_port": self.replica.node.port,
                "first_database": {"host": first.database_address, "port": first.database_port},
                "people": str(first.state_dir / "people"),
            }
        }

    @property
    def pids(self) -> dict[str, int]:
        return {"postgres-region": self.replica.node.pid} if self.replica.node.pid else {}

    @property
    def serves(self) -> bool:
        """Whether DNS sends users here."""
        return self._world.edge.origin == self.settings.balancer_url

    @property
    def canary_rings(self) -> bool:
        """Whether the canary of this region says that the first one does not answer."""
        return self._failed_looks >= CANARY_FAILS

    @property
    def canary_rings_long(self) -> bool:
        """Whether it has rung for as long as go or no-go takes."""
        return self.canary_rings and time.monotonic() - self._rings_since > self.settings.scaled(GO_NO_GO_S) + DATE_S

    def first_returns(self) -> None:
        """The first region is there again, as it was left: its database takes writes, its application runs."""
        world = self._world
        world.aws.faults.dark = frozenset()
        world.balancer.dark = False
        if not world.database.primary.running:
            world.database.start_primary()

    def _seen(self) -> dict[str, Any]:
        return {"serves": self.serves, "follows": self.replica.follows, "status": self.replica.status}

    # What happens by itself, again and again.

    def _round(self) -> None:
        self._look_at_first()
        self._point()

    def _look_at_first(self) -> None:
        """The canary of this region asks the first one for a chart."""
        answered = probe(f"{self._world.settings.balancer_url}{CHART}", timeout_s=2)[0] == HTTPStatus.OK
        self._failed_looks = 0 if answered else self._failed_looks + 1
        if self._failed_looks == CANARY_FAILS:
            self._rings_since = time.monotonic()
        self._set(FIRST_REGION_ALARM, ringing=self.canary_rings)

    def _point(self) -> None:
        """DNS follows the newest value of the switch, some time later."""
        with self._world.aws.mutex:
            data = store_of(self.aws.backend("cloudwatch"))._data.get(key_of(*TRAFFIC_METRIC, None))
            wanted = bool(data and data[-1].total >= 1)
        self._set(TRAFFIC_ALARM, ringing=wanted)
        edge = self._world.edge
        if wanted == self.serves:
            self._switched_at = None
            return
        self._switched_at = self._switched_at or time.monotonic()
        if time.monotonic() - self._switched_at >= self.settings.scaled(DNS_S):
            edge.origin = self.settings.balancer_url if wanted else self._world.settings.balancer_url

    def _set(self, name: str, *, ringing: bool) -> None:
        with self._world.aws.mutex:
            alarm = self.aws.backend("cloudwatch").alarms[f"{self.settings.prefix}-{name}"]
            state = "ALARM" if ringing else "OK"
            if alarm.state_value != state:
                alarm.update_state("set by the sandbox", "{}", state)
                alarm.state_updated_timestamp = dt.datetime.now(dt.UTC).replace(tzinfo=None)
