"""The load balancer and the edge carry real requests to real tasks, by what the control plane says."""

from __future__ import annotations

import dataclasses
import datetime as dt
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from daily_emr_sandbox.daemon import free_network
from daily_emr_sandbox.network.edge import Edge
from daily_emr_sandbox.settings import TASK_PORT

from tests.sandbox.stack import Answer, Stack, eventually, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("balancer")) as stack:
        yield stack


@pytest.fixture
def side(stack: Stack, request: pytest.FixtureRequest) -> Iterator[str]:
    """A second target group, served under /side/ by a rule of its own; no service owns it."""
    arn = stack.target_group(f"side-{abs(hash(request.node.name)) % 10**8}")
    rule = stack.elb.create_rule(
        ListenerArn=stack.names["listener"], Priority=10,
        Conditions=[{"Field": "path-pattern", "Values": ["/side/*"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": arn}],
    )["Rules"][0]["RuleArn"]  # fmt: skip
    yield arn
    stack.elb.delete_rule(RuleArn=rule)
    stack.elb.delete_target_group(TargetGroupArn=arn)


def register(stack: Stack, group: str, *addresses: str, port: int = TASK_PORT) -> None:
    entries = [{"Id": address, "Port": port} for address in addresses]
    stack.elb.register_targets(TargetGroupArn=group, Targets=entries)


def side_rule(stack: Stack) -> str:
    rules = stack.elb.describe_rules(ListenerArn=stack.names["listener"])["Rules"]
    return next(rule["RuleArn"] for rule in rules if rule["Priority"] == "10")


def weigh(stack: Stack, weights: dict[str, int]) -> None:
    groups = [{"TargetGroupArn": group, "Weight": weight} for group, weight in weights.items()]
    action: Any = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
    stack.elb.modify_rule(RuleArn=side_rule(stack), Actions=[action])


def states(stack: Stack, group: str) -> dict[str, tuple[str, str | None]]:
    described = stack.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return {one["Target"]["Id"]: (one["TargetHealth"]["State"], one["TargetHealth"].get("Reason")) for one in described}


def served_by(answer: Answer) -> str | int:
    """Address of the task that answered, or the status when none did: the balancer sees a change a moment later."""
    return answer.json["TASK_ADDRESS"] if answer.status == 200 else answer.status


def addresses(stack: Stack) -> list[str]:
    return [view.address for view in stack.scheduler.tasks() if view.status == "RUNNING"]


def test_requests_go_to_the_tasks_in_turn(stack):
    answers = [stack.get("/").json["TASK_ADDRESS"] for _ in range(20)]
    assert Counter(answers) == dict.fromkeys(addresses(stack), 10)


def test_method_body_query_and_headers_arrive_unchanged_with_those_of_the_balancer(stack):
    sent = {"X-Mine": "1", "Idempotency-Key": "k", "X-Forwarded-For": "203.0.113.9"}
    answer = stack.get("/echo?a=%2F&b=x+y", method="POST", body=b"note", headers=sent).json
    assert (answer["body"], answer["path"]) == ("note", "/echo?a=%2F&b=x+y")
    got = answer["headers"]
    assert (got["X-Mine"], got["Idempotency-Key"]) == ("1", "k")
    assert got["X-Forwarded-For"].startswith("203.0.113.9, 127.")
    assert got["X-Amzn-Trace-Id"].startswith("Root=1-")


def test_health_reasons_are_those_of_elb(stack, side):
    refused = stack.settings.address(251)
    register(stack, side, addresses(stack)[0], refused)
    stack.elb.modify_target_group(TargetGroupArn=side, HealthCheckPath="/status/500")
    assert states(stack, side)[refused][0] == "initial"
    eventually(lambda: states(stack, side)[refused] == ("unhealthy", "Target.FailedHealthChecks"), "it is refused")
    wanted = ("unhealthy", "Target.ResponseCodeMismatch")
    eventually(lambda: states(stack, side)[addresses(stack)[0]] == wanted, "the code does not match")


def test_it_fails_open_when_no_target_is_healthy_and_answers_503_without_targets(stack, side):
    eventually(lambda: stack.get("/side/x").status == 503, "the rule leads to an empty group")
    stack.elb.modify_target_group(TargetGroupArn=side, HealthCheckPath="/status/500")
    register(stack, side, *addresses(stack))
    eventually(lambda: {state for state, _ in states(stack, side).values()} == {"unhealthy"}, "all are unhealthy")

    assert {stack.get("/side/x").status for _ in range(10)} == {200}


def test_a_closed_port_is_502_and_a_silent_target_504_both_made_by_the_balancer(stack, side):
    register(stack, side, stack.settings.address(251))
    answer = eventually(lambda: (found := stack.get("/side/x")).status == 502 and found, "the port is closed")
    assert (answer.headers["Server"], b"502 Bad Gateway" in answer.body) == ("awselb/2.0", True)

    late = stack.get("/slow/20")
    assert (late.status, late.headers["Server"]) == (504, "awselb/2.0")


def test_an_error_of_the_application_passes_with_its_own_server_name(stack):
    answer = stack.get("/status/503")
    assert (answer.status, "awselb" in answer.headers["Server"]) == (503, False)


def test_a_draining_target_finishes_its_request_and_gets_no_new_one(stack, side):
    first, second = addresses(stack)[:2]
    register(stack, side, first)
    eventually(lambda: states(stack, side)[first][0] == "healthy", "the first is healthy")
    slow: list[Answer] = []
    before = stack.balancer.stats["requests"]
    request = threading.Thread(target=lambda: slow.append(stack.get("/side/slow/0.8")))
    request.start()
    eventually(lambda: stack.balancer.stats["requests"] > before, "the slow request is under way")

    register(stack, side, second)
    stack.elb.deregister_targets(TargetGroupArn=side, Targets=[{"Id": first}])
    assert states(stack, side)[first] == ("draining", "Target.DeregistrationInProgress")
    served = lambda: {served_by(stack.get("/side/x")) for _ in range(6)}  # noqa: E731
    eventually(lambda: served() == {second}, "new requests go elsewhere")
    assert served() == {second}
    request.join()
    assert (slow[0].status, slow[0].json["TASK_ADDRESS"]) == (200, first)
    eventually(lambda: first not in states(stack, side), "draining ends")
    found = stack.elb.describe_target_health(TargetGroupArn=side, Targets=[{"Id": first}])
    assert found["TargetHealthDescriptions"][0]["TargetHealth"]["State"] == "unused"


def test_listener_weights_divide_the_traffic(stack, side):
    first, second = addresses(stack)[:2]
    other = stack.target_group("weights")
    try:
        register(stack, side, first)
        register(stack, other, second)

        weigh(stack, {side: 80, other: 20})
        eventually(lambda: states(stack, other)[second][0] == "healthy", "a group that only a weight names is in use")
        seen = lambda: served_by(stack.get("/side/x"))  # noqa: E731
        shares = lambda: Counter(seen() for _ in range(100))  # noqa: E731
        eventually(lambda: shares() == {first: 80, second: 20}, "the traffic is divided by weight")
        weigh(stack, {side: 100, other: 0})
        eventually(lambda: {seen() for _ in range(20)} == {first}, "weight 0 gets nothing")
        assert {seen() for _ in range(40)} == {first}
    finally:
        weigh(stack, {side: 1})
        stack.elb.delete_target_group(TargetGroupArn=other)


def test_rules_answer_and_redirect_by_priority(stack):
    listener = stack.names["listener"]
    fixed: Any = {"StatusCode": "418", "ContentType": "text/plain", "MessageBody": "no"}
    moved: Any = {"StatusCode": "HTTP_301", "Host": "elsewhere.example", "Path": "/#{path}"}
    made = [
        stack.elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=conditions, Actions=[action])
        for priority, conditions, action in [
            (21, [{"Field": "path-pattern", "Values": ["/tea*"]}], {"Type": "redirect", "RedirectConfig": moved}),
            (
                20,
                [{"Field": "path-pattern", "Values": ["/teapot"]}],
                {"Type": "fixed-response", "FixedResponseConfig": fixed},
            ),
        ]
    ]
    try:
        answer = eventually(lambda: (found := stack.get("/teapot")).status == 418 and found, "the rule answers")
        assert answer.body == b"no"
    finally:
        for rule in made:
            stack.elb.delete_rule(RuleArn=rule["Rules"][0]["RuleArn"])


def visibility(name: str) -> dict[str, Any]:
    return {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": name}


def test_a_web_acl_rule_blocks_then_counts_and_its_samples_name_nobody(stack):
    def rule(action: dict[str, Any]) -> dict[str, Any]:
        match = {
            "SearchString": b"/api/charts", "FieldToMatch": {"UriPath": {}}, "PositionalConstraint": "STARTS_WITH",
            "TextTransformations": [{"Priority": 0, "Type": "LOWERCASE"}],
        }  # fmt: skip
        return {
            "Name": "charts", "Priority": 1, "Statement": {"ByteMatchStatement": match}, "Action": action,
            "VisibilityConfig": visibility("charts"),
        }  # fmt: skip

    assert stack.get("/api/charts/7").status == 200
    acl = stack.waf.create_web_acl(
        Name=stack.settings.prefix, Scope="REGIONAL", DefaultAction={"Allow": {}}, Rules=[rule({"Block": {}})],
        VisibilityConfig=visibility("acl"),
    )["Summary"]  # fmt: skip
    stack.waf.associate_web_acl(WebACLArn=acl["ARN"], ResourceArn=stack.names["lb"])
    path = "/API/charts/jane-doe?name=jane"
    answer = eventually(lambda: (found := stack.get(path)).status == 403 and found, "the rule blocks")
    assert answer.headers["Server"] == "awselb/2.0"
    assert stack.get("/other").status == 200

    now, hour = dt.datetime.now(dt.UTC), dt.timedelta(hours=1)
    blocked = stack.balancer.samples.between(acl["ARN"], "charts", now - hour, now + hour)
    assert {sample["Action"] for sample in blocked} == {"BLOCK"}
    assert "jane" not in str(blocked)

    stack.waf.update_web_acl(
        Name=stack.settings.prefix, Scope="REGIONAL", Id=acl["Id"], LockToken=acl["LockToken"],
        DefaultAction={"Allow": {}}, Rules=[rule({"Count": {}})], VisibilityConfig=visibility("acl"),
    )  # fmt: skip
    eventually(lambda: stack.get(path).status == 200, "counting lets pass")
    counted = stack.balancer.samples.between(acl["ARN"], "charts", now - hour, now + hour)
    assert "COUNT" in {sample["Action"] for sample in counted}
    stack.waf.disassociate_web_acl(ResourceArn=stack.names["lb"])


def test_a_frozen_task_makes_the_group_show_a_timeout(stack, side):
    view = stack.scheduler.tasks()[0]
    register(stack, side, view.address)
    stack.scheduler.kill(view.id, signal.SIGSTOP)
    try:
        wanted = ("unhealthy", "Target.Timeout")
        eventually(lambda: states(stack, side).get(view.address) == wanted, "the probe times out")
    finally:
        stack.scheduler.kill(view.id, signal.SIGKILL)
        eventually(lambda: view.id not in {one.id for one in stack.scheduler.tasks()}, "the end of the task is seen")
        stack.steady()


def test_a_zonal_shift_moves_traffic_to_the_other_zones_and_back(stack):
    client = stack.aws.boto("arc-zonal-shift")
    described = stack.aws.boto("ec2").describe_availability_zones()["AvailabilityZones"]
    ids = {zone["ZoneName"]: zone["ZoneId"] for zone in described}
    away = stack.scheduler.tasks()[0].zone
    shift = client.start_zonal_shift(
        resourceIdentifier=stack.names["lb"], awayFrom=ids[away], expiresIn="1h", comment="rehearsal"
    )["zonalShiftId"]
    served = lambda: {stack.get("/").json.get("TASK_ZONE") for _ in range(8)}  # noqa: E731
    try:
        eventually(lambda: away not in served(), "no request reaches the zone")
        assert away not in served()
    finally:
        client.cancel_zonal_shift(zonalShiftId=shift)
    eventually(lambda: away in served(), "the zone serves again")


def test_the_edge_adds_its_headers_and_passes_errors_of_the_origin(stack):
    good = stack.get("/", base=stack.settings.edge_url)
    assert (good.status, good.headers["X-Cache"]) == (200, "Miss from cloudfront")
    assert good.headers["Via"].endswith("(CloudFront)")
    assert good.headers["X-Amz-Cf-Id"]
    bad = stack.get("/status/500", base=stack.settings.edge_url)
    assert (bad.status, bad.headers["X-Cache"]) == (500, "Error from cloudfront")


@pytest.fixture
def slow_edge(stack: Stack) -> Iterator[tuple[Edge, str]]:
    """An edge with AWS's own times on another address; returns it with its URL."""
    with free_network() as network:
        elsewhere = dataclasses.replace(stack.settings, network=network, time_factor=1)
        edge = Edge(elsewhere, stack.balancer)
        edge.origin = stack.settings.balancer_url
        edge.start()
        yield edge, edge.settings.edge_url
        edge.stop()


def test_the_edge_keeps_errors_for_ten_seconds_but_never_for_writes(stack, slow_edge):
    _, url = slow_edge
    before = stack.balancer.stats["503"]
    assert {stack.get("/status/503", base=url).status for _ in range(5)} == {503}
    assert stack.balancer.stats["503"] == before + 1
    for _ in range(3):
        stack.get("/echo", base=url, method="POST", body=b"x")
    assert stack.get("/", base=url).status == stack.get("/", base=url).status == 200


def test_the_edge_answers_by_itself_when_its_origin_is_down(stack, slow_edge):
    edge, url = slow_edge
    edge.origin = f"http://{stack.settings.address(251)}:1"
    answer = stack.get("/anything", base=url)
    assert (answer.status, answer.headers["Server"]) == (502, "CloudFront")
    assert answer.headers["X-Cache"] == "Error from cloudfront"
