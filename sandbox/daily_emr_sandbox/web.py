"""The web component as the sandbox sees it: looks that tell when a fault is really there, and changes.

Everything here goes through the control plane as a colleague would, so that change history shows it.
"""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from .app.journal import TENANT_HEADER
from .app.server import POOL_SIZE
from .loop import wait_until
from .seed import DESIRED, MAXIMUM, MINIMUM
from .settings import TASK_PORT

if TYPE_CHECKING:
    from .world import World

PROBE_TIMEOUT_S = 4.0
WAIT_S = 90.0
"""Real seconds for a fault to become visible or to go: a whole rollout at most."""
CHART = "/api/charts/probe"
CONNECTIONS_PER_TASK = POOL_SIZE + 1
"""Its pool, and the one of its readiness check."""
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'emr-web'"

Task = dict[str, Any]


def probe(
    url: str, timeout_s: float = PROBE_TIMEOUT_S, *, method: str = "GET", tenant: str = ""
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a request; status 0 when there was no answer in time."""
    headers = {TENANT_HEADER: tenant} if tenant else {}
    request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - addresses of this sandbox
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            return answer.status, _json(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json(error.read())
    except OSError:
        return 0, {}


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class Web:
    """The web component of one sandbox, seen and changed from inside."""

    def __init__(self, world: World) -> None:
        self._world, self._settings = world, world.settings
        self.ecs = world.aws.boto("ecs")
        self.ecr = world.aws.boto("ecr")

    # Looks.

    def service(self) -> dict[str, Any]:
        found = self.ecs.describe_services(cluster=self._settings.prefix, services=[self._settings.web])
        service: dict[str, Any] = found["services"][0]
        return service

    def revision(self, arn: str) -> dict[str, Any]:
        """Task definition, with its tags under "tags" as a dict."""
        found = self.ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
        tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
        return {**found["taskDefinition"], "tags": tags}

    def revisions(self) -> list[dict[str, Any]]:
        """Active task definitions, oldest first."""
        listed = self.ecs.list_task_definitions(familyPrefix=self._settings.web, status="ACTIVE", sort="ASC")
        return [self.revision(arn) for arn in listed["taskDefinitionArns"]]

    def running(self) -> list[Any]:
        """Tasks of the service that run now (views of the scheduler: id, address, zone, revision)."""
        return self.running_of(self._settings.web)

    def running_of(self, service: str) -> list[Any]:
        tasks = self._world.scheduler.tasks()
        return [task for task in tasks if task.status == "RUNNING" and task.service == service]

    def ready(self, task: Any) -> dict[str, Any]:
        """Checks of /readyz of a task; empty when it does not answer."""
        checks: dict[str, Any] = probe(f"http://{task.address}:{TASK_PORT}/readyz", timeout_s=6)[1].get("checks", {})
        return checks

    def database_check(self, task: Any) -> dict[str, Any]:
        check: dict[str, Any] = self.ready(task).get("database", {})
        return check

    def target_states(self) -> list[str]:
        elbv2 = self._world.aws.boto("elbv2")
        names = [self._settings.web, self._settings.web_alternate]
        return [
            target["TargetHealth"]["State"]
            for group in elbv2.describe_target_groups(Names=names)["TargetGroups"]
            for target in elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])[
                "TargetHealthDescriptions"
            ]
        ]

    def settled(self) -> bool:
        """One deployment, completed, with all tasks that are wanted, all of them healthy targets."""
        service = self.service()
        states = self.target_states()
        return (
            [deployment.get("rolloutState") for deployment in service["deployments"]] == ["COMPLETED"]
            and service["runningCount"] == service["desiredCount"] > 0
            and states == ["healthy"] * service["desiredCount"]
        )

    def sessions(self) -> int:
        """Connections of tasks at the database, also of tasks that are gone and that it has not noticed yet."""
        with self._world.database.primary.connect("postgres") as session:
            [(count,)] = session.execute(SESSIONS).fetchall()
        return int(count)

    def wait_settled(self) -> None:
        wait_until(self.settled, "the service is settled", WAIT_S)

    # Changes.

    def update(self, **changes: Any) -> None:
        self.ecs.update_service(cluster=self._settings.prefix, service=self._settings.web, **changes)

    def restore_capacity(self) -> None:
        """Scaling limits and desired count as they were seeded, whatever somebody scaled since."""
        self._world.aws.boto("application-autoscaling").register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId=f"service/{self._settings.prefix}/{self._settings.web}",
            ScalableDimension="ecs:service:DesiredCount",
            MinCapacity=MINIMUM,
            MaxCapacity=MAXIMUM,
        )
        if self.service()["desiredCount"] != DESIRED:
            self.update(desiredCount=DESIRED)

    def push_image(self, release: str) -> str:
        """Put an image of a release into the registry and return its digest."""
        config = {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 7023,
            "digest": _digest(release),
        }
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "config": config,
                "layers": [],
            }
        )
        listed = self.ecr.describe_images(repositoryName=self._settings.web)["imageDetails"]
        for image in listed:
            if release in image.get("imageTags", []):
                return str(image["imageDigest"])
        put = self.ecr.put_image(repositoryName=self._settings.web, imageManifest=manifest, imageTag=release)
        return str(put["image"]["imageId"]["imageDigest"])

    def release(self, release: str, defect: str) -> str:
        """Register and deploy a release with a defect; returns the ARN of its revision."""
        arn = self.register(release, defect)
        self.update(taskDefinition=arn)
        return arn

    def register(self, release: str, defect: str) -> str:
        """Register a release with a defect; returns the ARN of its revision."""
        current = self.revision(self.service()["taskDefinition"])
        image = current["containerDefinitions"][0]["image"]
        container = current["containerDefinitions"][0] | {
            "image": f"{image.split('@')[0]}@{self.push_image(release)}",
            "environment": [
                *(e for e in current["containerDefinitions"][0]["environment"] if e["name"] not in DEFINED_BY_RELEASE),
                {"name": "RELEASE", "value": release},
                {"name": "RELEASE_DEFECT", "value": defect},
            ],
        }
        kept = {key: current[key] for key in REGISTERED if current.get(key)}
        tags = current["tags"] | {"release": release}
        registered = self.ecs.register_task_definition(
            **kept, containerDefinitions=[container], tags=[{"key": key, "value": tags[key]} for key in tags]
        )
        arn: str = registered["taskDefinition"]["taskDefinitionArn"]
        return arn

    def recycle(self) -> None:
        """Replace every task by one of the same revision; wait until none of the old ones is left."""
        old = {task.id for task in self.running()}
        self.update(forceNewDeployment=True)
        wait_until(lambda: not old & {task.id for task in self.running()}, "the old tasks are gone", WAIT_S)
        self.wait_settled()


DEFINED_BY_RELEASE = {"RELEASE", "RELEASE_DEFECT"}
REGISTERED = (
    "family",
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "volumes",
    "placementConstraints",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "runtimePlatform",
)
"""Keys of DescribeTaskDefinition that RegisterTaskDefinition takes back."""


def defect_of(revision: dict[str, Any]) -> str:
    """Defect of a revision, empty when it has none."""
    environment = revision["containerDefinitions"][0].get("environment", [])
    return next((entry["value"] for entry in environment if entry["name"] == "RELEASE_DEFECT"), "")


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
