"""Tasks of ECS services as real processes: replaced, scaled, stopped, and gone with the daemon."""

from __future__ import annotations

import contextlib
import datetime as dt
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
from botocore.exceptions import ClientError
from daily_emr_sandbox.compute.history import Past, seed_history

from tests.sandbox.stack import Stack, eventually, running_stack


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("tasks")) as stack:
        yield stack


@pytest.fixture
def stack(running: Stack) -> Stack:
    running.update(taskDefinition=running.names["r1"], desiredCount=2)
    running.steady()
    return running


def stopped(stack: Stack, arn: str) -> dict:
    """The task once it is STOPPED."""
    return eventually(
        lambda: next((one for one in stack.tasks("STOPPED") if one["taskArn"] == arn and "stoppedAt" in one), None),
        "the task is STOPPED",
    )


def test_tasks_are_spread_over_zones_and_have_their_own_address(stack):
    tasks = stack.tasks()
    addresses = {
        detail["value"]
        for task in tasks
        for detail in task["attachments"][0]["details"]
        if detail["name"] == "privateIPv4Address"
    }
    assert len({task["availabilityZone"] for task in tasks}) == 2
    assert addresses == set(stack.health()) == {view.address for view in stack.scheduler.tasks()}
    assert {psutil.Process(view.pid).status() for view in stack.scheduler.tasks()} <= {"sleeping", "running"}


def test_a_killed_task_is_replaced_and_leaves_its_exit_code(stack):
    victim = stack.scheduler.tasks()[0]
    stack.scheduler.kill(victim.id, signal.SIGKILL)
    task = stopped(stack, victim.arn)
    stack.steady()

    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("EssentialContainerExited", 137)
    assert victim.arn not in {one["taskArn"] for one in stack.tasks()}
    assert not psutil.pid_exists(victim.pid)


def test_a_frozen_task_fails_its_health_checks_and_is_replaced_before_it_is_stopped(stack):
    victim = stack.scheduler.tasks()[0]
    stack.scheduler.kill(victim.id, signal.SIGSTOP)
    task = stopped(stack, victim.arn)
    stack.steady()

    assert task["stoppedReason"].startswith("Task failed ELB health checks in (target-group arn:")
    assert task["stopCode"] == "ServiceSchedulerInitiated"
    replacement = max(stack.tasks(), key=lambda one: one["startedAt"])
    assert replacement["startedAt"] < task["stoppedAt"]


def test_stop_task_is_answered_at_once_and_the_service_replaces_it(stack):
    arn = stack.tasks()[0]["taskArn"]
    told = stack.ecs.stop_task(cluster=stack.settings.prefix, task=arn, reason="looks wrong")["task"]
    assert (told["desiredStatus"], told["lastStatus"]) == ("STOPPED", "RUNNING")

    task = stopped(stack, arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "looks wrong")
    assert task["containers"][0]["exitCode"] == 0
    assert arn not in {one["taskArn"] for one in stack.tasks()}
    stack.steady()


def test_scaling_to_zero_ends_every_process_and_is_no_deployment(stack):
    pids = [view.pid for view in stack.scheduler.tasks()]
    before = len(stack.rollouts())
    stack.update(desiredCount=0)
    service = stack.steady(0)
    eventually(lambda: stack.scheduler.tasks() == [], "no task is left")

    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert (service["desiredCount"], service["deployments"][0]["rolloutState"]) == (0, "COMPLETED")
    answer = stack.get("/")
    assert (answer.status, answer.headers["Server"]) == (503, "awselb/2.0")

    stack.update(desiredCount=3)
    stack.steady(3)
    assert len(stack.rollouts()) == before
    assert len({task["availabilityZone"] for task in stack.tasks()}) == 3


def test_describing_never_moves_a_task(stack):
    first = sorted(stack.tasks(), key=lambda task: task["taskArn"])
    for _ in range(6):
        assert sorted(stack.tasks(), key=lambda task: task["taskArn"]) == first


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"taskDefinition": "no-such-family:1"}, "ClientException"),
        ({"taskDefinition": "daily-emr-sandbox-web:99"}, "ClientException"),
        ({"desiredCount": -1}, "InvalidParameterException.*desiredCount"),
        (
            {"deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 100}},
            "InvalidParameterException.*maximumPercent",
        ),
        (
            {"deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": False, "rollback": True}}},
            "InvalidParameterException.*circuit breaker",
        ),
        ({"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-0"]}}}, "InvalidSubnetID.NotFound"),
    ],
)
def test_an_update_that_aws_refuses_changes_nothing(stack, wanted, message):
    before = stack.service()
    with pytest.raises(ClientError, match=message):
        stack.update(**wanted)
    after = stack.service()
    assert before | {"events": []} == after | {"events": []}


def test_reads_refuse_what_aws_refuses(stack):
    cluster = stack.settings.prefix
    with pytest.raises(ClientError, match="more than 10"):
        stack.ecs.describe_services(cluster=cluster, services=[f"s{n}" for n in range(11)])
    with pytest.raises(ClientError, match="ServiceNotFoundException"):
        stack.ecs.list_tasks(cluster=cluster, serviceName="nothing")
    with pytest.raises(ClientError, match="ClusterNotFoundException"):
        stack.ecs.list_tasks(cluster="nothing")
    with pytest.raises(ClientError, match="not idempotent"):
        stack.create(stack.names["r1"])
    with pytest.raises(ClientError, match="not found"):
        stack.ecs.stop_task(cluster=cluster, task="0" * 32)
    missing = stack.ecs.describe_services(cluster=cluster, services=["nothing"])
    assert (missing["services"], missing["failures"][0]["reason"]) == ([], "MISSING")


def test_a_service_starts_with_the_past_that_was_seeded(stack):
    name, cluster = "with-a-past", stack.settings.prefix
    old, current = stack.names["r1"], stack.release(stack.image("current"))
    day = 86400.0
    stack.create(current, 0, serviceName=name, loadBalancers=[], healthCheckGracePeriodSeconds=0)
    with stack.aws.mutex:
        seed_history(stack.aws, cluster, name, [Past(old, 9 * day), Past(current, 3 * day)])
    stack.ecs.update_service(cluster=cluster, service=name, desiredCount=2)
    try:
        read = lambda: stack.ecs.describe_services(cluster=cluster, services=[name])["services"][0]  # noqa: E731
        eventually(lambda: read()["runningCount"] == 2, "the seeded service runs")
        listed = stack.ecs.list_service_deployments(cluster=cluster, service=name)["serviceDeployments"]
        now = dt.datetime.now(dt.UTC)
        assert [round((now - one["finishedAt"]).total_seconds() / day) for one in listed] == [3, 9]
        assert {one["status"] for one in listed} == {"SUCCESSFUL"}
        service = read()
        assert service["deployments"][0]["rolloutState"] == "COMPLETED"
        assert "currentServiceDeployment" not in service
        arns = stack.ecs.list_tasks(cluster=cluster, serviceName=name)["taskArns"]
        tasks = stack.ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]
        assert all((now - task["startedAt"]).total_seconds() > 2 * day for task in tasks)
    finally:
        stack.ecs.delete_service(cluster=cluster, service=name, force=True)
    gone = lambda: stack.ecs.describe_services(cluster=cluster, services=[name])["services"][0]["status"]  # noqa: E731
    eventually(lambda: gone() == "INACTIVE", "the service is gone")


def test_cpu_and_memory_of_the_processes_reach_cloudwatch(stack):
    client = stack.aws.boto("cloudwatch")
    dimensions = [
        {"Name": "ClusterName", "Value": stack.settings.prefix},
        {"Name": "ServiceName", "Value": stack.settings.web},
    ]

    def read() -> list[dict]:
        now = dt.datetime.now(dt.UTC)
        return client.get_metric_statistics(
            Namespace="AWS/ECS", MetricName="MemoryUtilization", Dimensions=dimensions, Period=60,
            StartTime=now - dt.timedelta(minutes=5), EndTime=now + dt.timedelta(minutes=1), Statistics=["Average"],
        )["Datapoints"]  # fmt: skip

    points = eventually(read, "memory is reported")
    assert all(0 < point["Average"] < 100 for point in points)


def test_no_task_outlives_the_daemon(tmp_path):
    script = (
        "import sys, time; from pathlib import Path\n"
        "from daily_emr_sandbox.compute.processes import Processes\n"
        "print(Processes(Path(sys.argv[2])).start('t', [sys.executable, sys.argv[1]], {}), flush=True)\n"
        "time.sleep(600)\n"
    )
    sleeper = tmp_path / "sleeper.py"
    sleeper.write_text("import time, pathlib; pathlib.Path('up').touch(); time.sleep(600)\n")
    daemon = subprocess.Popen([sys.executable, "-c", script, str(sleeper), str(tmp_path)], stdout=subprocess.PIPE)
    try:
        pid = int(daemon.stdout.readline())
        eventually((tmp_path / "up").exists, "the task runs")
        assert psutil.pid_exists(pid)
    finally:
        daemon.kill()
        daemon.wait()
    eventually(lambda: _gone(pid), "the task is gone")


def _gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # nobody may be there to reap it
    return True
