"""Rolling update, circuit breaker, rollback and stop of ECS services, with real task processes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.stack import Stack, eventually, running_stack


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("deployments")) as stack:
        yield stack


@pytest.fixture
def stack(running: Stack) -> Stack:
    """The stack with release r1, two healthy tasks and nothing under way."""
    running.update(taskDefinition=running.names["r1"], desiredCount=2, deploymentConfiguration=breaker(rollback=True))
    running.steady()
    return running


def breaker(*, rollback: bool) -> dict:
    return {"deploymentCircuitBreaker": {"enable": True, "rollback": rollback}}


class Load:
    """Requests one after another until the block ends; what came back is in `statuses` and `revisions`."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.statuses, self.revisions = stack, Counter(), []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        while not self._end.is_set():
            answer = self.stack.get("/")
            self.statuses[answer.status] += 1
            self.revisions.append(answer.json.get("TASK_REVISION") if answer.status == 200 else None)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def rollout(stack: Stack, status: str) -> dict:
    """The newest service deployment once it has this status."""
    return eventually(
        lambda: next((one for one in stack.rollouts()[:1] if one["status"] == status), None),
        f"the newest service deployment is {status}",
    )


def revision(arn: str) -> str:
    return arn.rsplit(":", 1)[1]


def test_a_rolling_update_fails_no_request_and_keeps_two_healthy_tasks(stack):
    new = stack.release(stack.image("rolling"))
    seen, fewest = set(), 99
    with Load(stack) as load:
        stack.update(taskDefinition=new)
        while True:
            service = stack.service()
            seen |= {(one["status"], one["rolloutState"]) for one in service["deployments"]}
            fewest = min(fewest, sum(state == "healthy" for state in stack.health().values()))
            if service["deployments"][0]["rolloutState"] == "COMPLETED":
                break
        eventually(lambda: load.revisions[-1] == revision(new), "the new release answers")

    assert set(load.statuses) == {200}
    assert load.revisions[0] != revision(new)
    assert {("PRIMARY", "IN_PROGRESS"), ("ACTIVE", "COMPLETED"), ("PRIMARY", "COMPLETED")} <= seen
    assert fewest >= 2
    done = rollout(stack, "SUCCESSFUL")
    assert done["createdAt"] <= done["startedAt"] <= done["finishedAt"]
    assert done["targetServiceRevision"]["runningTaskCount"] == 2
    assert done["deploymentCircuitBreaker"] == {"status": "MONITORING_COMPLETE", "failureCount": 0, "threshold": 3}
    assert {task["taskDefinitionArn"] for task in stack.tasks()} == {new}


def test_a_release_that_crashes_trips_the_breaker_and_is_rolled_back_without_a_failed_request(stack):
    before = stack.service()["deployments"][0]["id"]
    kept = {task["taskArn"] for task in stack.tasks()}
    bad = stack.release(stack.image("crash"), RELEASE_DEFECT="crash")
    failed = set()
    with Load(stack) as load:
        stack.update(taskDefinition=bad)
        while stack.rollouts()[0]["status"] != "ROLLBACK_SUCCESSFUL":
            failed |= {
                one["rolloutStateReason"] for one in stack.service()["deployments"] if one["rolloutState"] == "FAILED"
            }

    assert set(load.statuses) == {200}
    assert failed <= {"ECS deployment circuit breaker: tasks failed to start."}
    record = stack.rollouts()[0]
    assert record["deploymentCircuitBreaker"] == {"status": "TRIGGERED", "failureCount": 3, "threshold": 3}
    assert record["rollback"]["serviceRevisionArn"] == record["sourceServiceRevisions"][0]["arn"]
    service = stack.service()
    assert [(one["id"], one["rolloutState"]) for one in service["deployments"]] == [(before, "COMPLETED")]
    assert service["taskDefinition"] == stack.names["r1"]
    assert {task["taskArn"] for task in stack.tasks()} == kept
    stopped = [task for task in stack.tasks("STOPPED") if task["taskDefinitionArn"] == bad]
    assert len(stopped) >= 3
    crashed = [task for task in stopped if task["stopCode"] == "EssentialContainerExited"]
    assert {task["containers"][0]["exitCode"] for task in crashed} == {1}
    assert {task["stoppedReason"] for task in crashed} == {"Essential container in task exited"}
    assert any("rolling back to deployment" in event["message"] for event in service["events"])


def test_a_release_that_fails_its_health_checks_is_rolled_back(stack):
    bad = stack.release(stack.image("unready"), RELEASE_DEFECT="unready")
    stack.update(taskDefinition=bad)
    rollout(stack, "ROLLBACK_SUCCESSFUL")

    reasons = {
        task["stoppedReason"].partition(" (target-group")[0]
        for task in stack.tasks("STOPPED")
        if task["taskDefinitionArn"] == bad and "Scaling" not in task["stoppedReason"]
    }
    assert reasons == {"Task failed ELB health checks in"}
    assert stack.service()["taskDefinition"] == stack.names["r1"]


def test_a_release_whose_image_is_gone_never_starts(stack):
    image = stack.image("gone")
    bad = stack.release(image)
    stack.ecr.batch_delete_image(repositoryName=stack.settings.web, imageIds=[{"imageDigest": image.partition("@")[2]}])
    stack.update(taskDefinition=bad)
    rollout(stack, "ROLLBACK_SUCCESSFUL")

    task = next(task for task in stack.tasks("STOPPED") if task["taskDefinitionArn"] == bad)
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError")
    assert task["stoppedReason"].endswith("not found")
    assert "startedAt" not in task
    assert "exitCode" not in task["containers"][0]


def test_a_secret_is_read_when_the_task_starts_and_a_missing_one_stops_it(stack):
    client = stack.aws.boto("secretsmanager")
    arn = client.create_secret(Name="daily-emr/sandbox/TEST", SecretString="first")["ARN"]
    good = stack.release(stack.image("secret"), secrets={"PASSWORD": arn})
    stack.update(taskDefinition=good)
    stack.steady()
    assert stack.get("/").json["PASSWORD"] == "first"

    client.put_secret_value(SecretId=arn, SecretString="second")
    assert stack.get("/").json["PASSWORD"] == "first"
    stack.update(forceNewDeployment=True)
    stack.steady()
    assert stack.get("/").json["PASSWORD"] == "second"

    bad = stack.release(stack.image("secret"), secrets={"PASSWORD": arn.replace("TEST", "ELSE")})
    stack.update(taskDefinition=bad)
    rollout(stack, "ROLLBACK_SUCCESSFUL")
    task = next(task for task in stack.tasks("STOPPED") if task["taskDefinitionArn"] == bad)
    assert task["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets")


def test_a_forced_deployment_of_the_same_revision_replaces_every_task(stack):
    before = stack.service()["deployments"][0]["id"]
    old = {task["taskArn"] for task in stack.tasks()}
    stack.update(forceNewDeployment=True)
    service = stack.steady()

    assert service["deployments"][0]["id"] != before
    assert service["taskDefinition"] == stack.names["r1"]
    assert old.isdisjoint(task["taskArn"] for task in stack.tasks())
    assert {task["startedBy"] for task in stack.tasks()} == {service["deployments"][0]["id"]}


def test_stop_with_rollback_returns_to_the_source_revision(stack):
    stack.update(taskDefinition=stack.release(stack.image("stopped"), RELEASE_DEFECT="unready"))
    arn = eventually(lambda: stack.service().get("currentServiceDeployment"), "a service deployment is under way")
    stack.ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
    record = rollout(stack, "ROLLBACK_SUCCESSFUL")

    assert record["serviceDeploymentArn"] == arn
    assert "stopped by the user" in record["rollback"]["reason"]
    assert stack.steady()["taskDefinition"] == stack.names["r1"]


def test_stop_with_abort_leaves_everything_as_it_is(stack):
    bad = stack.release(stack.image("aborted"), RELEASE_DEFECT="unready")
    stack.update(taskDefinition=bad)
    arn = eventually(lambda: stack.service().get("currentServiceDeployment"), "a service deployment is under way")
    stack.ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ABORT")
    record = rollout(stack, "STOPPED")

    assert record["stoppedAt"]
    assert stack.service()["taskDefinition"] == bad
    assert stack.names["r1"] in {task["taskDefinitionArn"] for task in stack.tasks()}


def test_a_finished_service_deployment_cannot_be_stopped(stack):
    arn = stack.rollouts()[0]["serviceDeploymentArn"]
    with pytest.raises(ClientError, match="ConflictException"):
        stack.ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
    with pytest.raises(ClientError, match="ServiceDeploymentNotFoundException"):
        stack.ecs.stop_service_deployment(serviceDeploymentArn=arn + "0", stopType="ROLLBACK")


def test_a_newer_rollout_supersedes_the_one_under_way(stack):
    stack.update(taskDefinition=stack.release(stack.image("first"), RELEASE_DEFECT="unready"))
    first = eventually(lambda: stack.service().get("currentServiceDeployment"), "a service deployment is under way")
    new = stack.release(stack.image("second"))
    stack.update(taskDefinition=new)

    assert stack.steady()["taskDefinition"] == new
    states = {one["serviceDeploymentArn"]: one["status"] for one in stack.rollouts()}
    assert states[first] == "STOPPED"
    assert stack.rollouts()[0]["status"] == "SUCCESSFUL"


def test_without_rollback_a_failed_deployment_stays_failed_and_the_old_tasks_serve(stack):
    stack.update(deploymentConfiguration=breaker(rollback=False))
    bad = stack.release(stack.image("stays"), RELEASE_DEFECT="crash")
    stack.update(taskDefinition=bad)
    rollout(stack, "STOPPED")

    primary = stack.service()["deployments"][0]
    assert (primary["taskDefinition"], primary["rolloutState"]) == (bad, "FAILED")
    assert primary["failedTasks"] == 3
    assert {stack.get("/").status for _ in range(4)} == {200}


def test_revisions_name_the_digest_of_every_image(stack):
    arn = stack.rollouts()[0]["targetServiceRevision"]["arn"]
    (found,) = stack.ecs.describe_service_revisions(serviceRevisionArns=[arn])["serviceRevisions"]
    assert found["taskDefinition"] == stack.service()["taskDefinition"]
    assert found["containerImages"][0]["imageDigest"].startswith("sha256:")


def test_service_deployments_are_listed_newest_first_by_status_and_in_pages(stack):
    client, names = stack.ecs, {"cluster": stack.settings.prefix, "service": stack.settings.web}
    for _ in range(2):
        stack.update(forceNewDeployment=True)
        stack.steady()
    everything = client.list_service_deployments(**names)["serviceDeployments"]
    created = [one["createdAt"] for one in everything]
    assert created == sorted(created, reverse=True)
    good = client.list_service_deployments(**names, status=["SUCCESSFUL"])["serviceDeployments"]
    assert {one["status"] for one in good} == {"SUCCESSFUL"}
    page = client.list_service_deployments(**names, maxResults=1)
    rest = client.list_service_deployments(**names, nextToken=page["nextToken"])
    assert page["serviceDeployments"] + rest["serviceDeployments"] == everything
