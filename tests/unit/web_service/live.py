"""A web service that can be read: AWS in memory behind real botocore clients, users and tasks as HTTP servers."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.unit.changes.world import ARN, Json, P, Wire, World, ago, described

EDGE, BALANCER, TASKS = "127.0.0.2", "127.0.0.3", {"a": "127.0.0.4", "b": "127.0.0.5"}
READY = {"status": "ok", "checks": {name: {"status": "ok", "ms": 3, "reason": None} for name in ("database", "cache")}}
# A flag as LaunchDarkly lists it; off for a month.
FLAG = {"key": "new-chart-view", "tags": ["route:/api/charts"]}


class LiveWorld(World):
    """The world of the changes, with what only a diagnosis reads. ``calls`` counts what arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.meet: Callable[[str], None] = lambda _name: None
        self.stopped: list[Json] = []
        self.rollout = ""
        self.metric_values: dict[str, list[float]] = {"requests": [900.0], "p95": [0.04], "cpu": [30.0]}
        for task in self.tasks:
            task["address"] = TASKS[task["id"]]

    def ecs_DescribeServices(self, params: Json) -> Json:
        answer = super().ecs_DescribeServices(params)
        if self.rollout:
            answer["services"][0]["deployments"][0]["rolloutState"] = self.rollout
        return answer

    def ecs_ListTasks(self, params: Json) -> Json:
        tasks = self.stopped if params["desiredStatus"] == "STOPPED" else self.tasks
        return {"taskArns": [f"{ARN}:task/{P}/{task['id']}" for task in tasks]}

    def ecs_DescribeTasks(self, params: Json) -> Json:
        asked = {arn.rsplit("/", 1)[1] for arn in params["tasks"]}
        running = [described(task) for task in self.tasks if task["id"] in asked]
        return {"tasks": running + [stopped(task) for task in self.stopped if task["id"] in asked]}

    def cloudwatch_GetMetricData(self, params: Json) -> Json:
        asked = [query["Id"] for query in params["MetricDataQueries"]]
        return {"MetricDataResults": [{"Id": name, "Values": self.metric_values.get(name, [])} for name in asked]}

    def cloudtrail_LookupEvents(self, _params: Json) -> Json:
        event = {"EventName": "PutParameter", "EventSource": "ssm.amazonaws.com", "EventTime": ago(minutes=20)}
        return {"Events": [event]}

    def stop(self, name: str, revision: int, reason: str, exit_code: int | None = None) -> None:
        self.stopped.append({"id": name, "revision": revision, "reason": reason, "exit_code": exit_code})


def stopped(task: Json) -> Json:
    container: Json = {"name": "web"} | ({} if task["exit_code"] is None else {"exitCode": task["exit_code"]})
    return {
        "taskArn": f"{ARN}:task/{P}/{task['id']}",
        "taskDefinitionArn": f"{ARN}:task-definition/{P}-web:{task['revision']}",
        "lastStatus": "STOPPED",
        "stopCode": "EssentialContainerExited",
        "stoppedReason": task["reason"],
        "stoppedAt": ago(),
        "containers": [container],
    }


class LiveWire(Wire):
    """Counts the calls, and lets a test hold them until others have come."""

    def _answer(self, model: Any, context: Json, **event: Any) -> tuple[Any, Json]:
        world = self.world
        assert isinstance(world, LiveWorld)
        world.calls[f"{model.name} {json.dumps(context['asked'], default=str, sort_keys=True)}"] += 1
        world.meet(model.name)
        return super()._answer(model=model, context=context, **event)


class Answers:
    """What the servers answer, by place and path; a function is asked at that moment. Requests are remembered."""

    def __init__(self) -> None:
        self.at: dict[tuple[str, str], tuple[int, Json] | Callable[[], tuple[int, Json]]] = {}
        self.requests: list[tuple[str, str, str, Json, dict[str, str]]] = []
        self.charts: dict[str, str] = {}
        self._lock = threading.Lock()

    def healthy(self) -> None:
        chart = {"id": "probe", "tenant": "synthetic", "updated_at": "2026-11-22T01:30:00Z"}
        for place in (EDGE, BALANCER, *TASKS.values()):
            self.at[place, "GET /api/charts/probe"] = (200, chart)
        for place in TASKS.values():
            self.at[place, "GET /livez"] = (200, {"status": "ok"})
            self.at[place, "GET /readyz"] = (200, READY)
        self.at[BALANCER, "POST /api/charts"] = self._write

    def _write(self) -> tuple[int, Json]:
        name = f"c{len(self.charts)}"
        self.charts[name] = "synthetic"
        self.at[EDGE, f"GET /api/charts/{name}"] = (200, {"id": name, "tenant": "synthetic"})
        return 201, {"id": name}

    def handler(self, place: str) -> type[BaseHTTPRequestHandler]:
        answers = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer("GET")

            def do_POST(self) -> None:
                self._answer("POST")

            def _answer(self, method: str) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with answers._lock:
                    request = (place, method, self.path, json.loads(body or b"{}"), dict(self.headers))
                    answers.requests.append(request)
                found = answers.at.get((place, f"{method} {self.path}"), (404, {}))
                status, answer = found() if callable(found) else found
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        return Handler

    def sent(self, method: str) -> list[tuple[str, str, str, Json, dict[str, str]]]:
        return [request for request in self.requests if request[1] == method]


def flags_handler(page: Json) -> type[BaseHTTPRequestHandler]:
    """LaunchDarkly's list of flags, or whatever the page is."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = json.dumps(page).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_args: Any) -> None:
            """Quiet."""

    return Handler


def flag(on: bool = False, changed_hours_ago: float = 720.0) -> Json:
    moment = int(ago(hours=changed_hours_ago).timestamp() * 1000)
    return {**FLAG, "environments": {"sandbox": {"on": on, "lastModified": moment}}}
