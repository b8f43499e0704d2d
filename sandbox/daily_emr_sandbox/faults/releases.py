"""Faults that come with a release."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from ..web import defect_of
from .base import Fault

if TYPE_CHECKING:
    from ..world import World

BAD_RELEASE = "2026.48.1"


class BadReleaseErrors(Fault):
    name = "bad_release_errors"
    summary = "a release starts and passes /livez, and its chart routes answer 500"
    defect: ClassVar[str] = "errors"

    def break_(self) -> None:
        if defect_of(self.web.revision(self.web.service()["taskDefinition"])) != self.defect:
            self._mend_release()
            self.web.release(BAD_RELEASE, self.defect)
        self._wait_visible()

    def mend(self) -> None:
        self._mend_release()

    def _wait_visible(self) -> None:
        arn = self.web.service()["taskDefinition"]
        self.wait(
            lambda: self._all_of(arn) and self.read_status() == HTTPStatus.INTERNAL_SERVER_ERROR,
            "every task fails reads",
        )

    def _all_of(self, arn: str) -> bool:
        running = self.web.running()
        return bool(running) and {str(task.revision) for task in running} == {arn.rsplit(":", 1)[1]}

    def _mend_release(self) -> None:
        """Deploy the newest revision without a defect, unless one is deployed already."""
        if defect_of(self.web.revision(self.web.service()["taskDefinition"])):
            good = [revision for revision in self.web.revisions() if not defect_of(revision)]
            self.web.update(taskDefinition=good[-1]["taskDefinitionArn"])
            self.web.wait_settled()


class BadReleaseCrash(BadReleaseErrors):
    name = "bad_release_crash"
    summary = "tasks of a new release exit with a configuration error at their start"
    defect = "crash"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._original = self._breaker()

    def break_(self) -> None:
        # Deployed without the circuit breaker: with it, ECS would have rolled back before anybody is called.
        self._set_breaker({"enable": False, "rollback": False})
        super().break_()

    def mend(self) -> None:
        super().mend()
        self._set_breaker(self._original)

    def _breaker(self) -> dict[str, Any]:
        breaker: dict[str, Any] = self.web.service()["deploymentConfiguration"]["deploymentCircuitBreaker"]
        return breaker

    def _set_breaker(self, breaker: dict[str, Any]) -> None:
        if self._breaker() != breaker:
            self.web.update(deploymentConfiguration={"deploymentCircuitBreaker": breaker})

    def _wait_visible(self) -> None:
        self.wait(self._crashed, "a task of the new release crashed")

    def _crashed(self) -> bool:
        stopped = self.web.ecs.list_tasks(
            cluster=self.settings.prefix, serviceName=self.settings.web, desiredStatus="STOPPED"
        )["taskArns"]
        if not stopped:
            return False
        newest = max(int(revision["revision"]) for revision in self.web.revisions())
        tasks = self.web.ecs.describe_tasks(cluster=self.settings.prefix, tasks=stopped)["tasks"]
        return any(
            task["taskDefinitionArn"].endswith(f":{newest}") and task["containers"][0].get("exitCode") == 1
            for task in tasks
        )


class RollbackImageDeleted(BadReleaseErrors):
    name = "rollback_image_deleted"
    summary = "a bad release, and the images of every release before it are gone from the registry"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._deleted: list[dict[str, Any]] = []

    def break_(self) -> None:
        super().break_()
        newest = self.web.revision(self.web.service()["taskDefinition"])["containerDefinitions"][0]["image"]
        listed = self.web.ecr.describe_images(repositoryName=self.settings.web)["imageDetails"]
        old = [{"imageDigest": image["imageDigest"]} for image in listed if not newest.endswith(image["imageDigest"])]
        if old:
            found = self.web.ecr.batch_get_image(repositoryName=self.settings.web, imageIds=old)
            self._deleted += found["images"]
            self.web.ecr.batch_delete_image(repositoryName=self.settings.web, imageIds=old)

    def mend(self) -> None:
        while self._deleted:
            image = self._deleted[-1]
            tag = {"imageTag": image["imageId"]["imageTag"]} if "imageTag" in image["imageId"] else {}
            put = self.web.ecr.put_image(repositoryName=self.settings.web, imageManifest=image["imageManifest"], **tag)[
                "image"
            ]["imageId"]["imageDigest"]
            if put != image["imageId"]["imageDigest"]:
                raise RuntimeError(f"Image {image['imageId']['imageDigest']} came back as {put}.")
            self._deleted.pop()
        super().mend()
