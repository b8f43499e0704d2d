"""A stand-in for the API of Semaphore UI that keeps state, and is as forgetful as the real one.

It takes only bodies that fit semaphore_requests.yml, leaves empty fields out of its answers, tells of a template's
survey and of the names of secrets only when asked for the one object, never tells a secret, drops the limit of a task
that the template does not allow, and makes projects only from a restore document.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._semaphore_objects import KINDS
from flask import Flask, Response, jsonify, request
from jsonschema import Draft202012Validator
from werkzeug.serving import make_server

Json = dict[str, Any]
TOKEN = "a-token-that-nobody-may-see"
REQUESTS = yaml.safe_load(Path(__file__).with_name("semaphore_requests.yml").read_text())
KIND_OF = {kind.path: name for name, kind in KINDS.items()}
# Lists leave these out (db/sql: survey variables and secrets are filled in for one object alone).
ONLY_ALONE = ("survey_vars", "secrets", "task_params")


def faults_of(kind: str, body: Any) -> list[str]:
    """What in a body does not fit, in words."""
    validator = Draft202012Validator({"$ref": f"#/$defs/{kind}", **REQUESTS})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]


@dataclass
class Call:
    method: str
    path: str
    body: Any


@dataclass
class Fault:
    """What happens to the requests that it is about: a status, or None for no answer at all."""

    method: str
    path: str
    status: int | None
    after: bool = False
    """Whether the request is done before its answer is lost."""


@dataclass
class Server:
    version: str = "v2.16.14-0a1b2c-1764500000"
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    projects: dict[int, Json] = field(default_factory=dict)
    objects: dict[int, dict[str, dict[int, Json]]] = field(default_factory=dict)
    tasks: list[Json] = field(default_factory=list)
    _ids: int = 0

    def __post_init__(self) -> None:
        self._released = threading.Event()
        app = Flask(__name__)
        app.before_request(self._gate)
        routes: dict[str, tuple[Callable[..., Any], list[str]]] = {
            "/api/info": (lambda: jsonify({"version": self.version}), ["GET"]),
            "/api/projects": (lambda: jsonify(list(self.projects.values())), ["GET"]),
            "/api/projects/restore": (self._restore, ["POST"]),
            "/api/project/<int:project>": (self._project, ["GET", "PUT"]),
            "/api/project/<int:project>/tasks": (self._task, ["POST"]),
            "/api/project/<int:project>/<path>": (self._all, ["GET", "POST"]),
            "/api/project/<int:project>/<path>/<int:number>": (self._one, ["GET", "PUT"]),
        }
        for rule, (function, methods) in routes.items():
            app.add_url_rule(rule, endpoint=rule, view_func=function, methods=methods)
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def changes(self) -> list[Call]:
        """The witness: every request that is not a reading."""
        return [call for call in self.calls if call.method != "GET"]

    def named(self, kind: str, name: str) -> Json:
        """One object as it is stored, by name."""
        title = KINDS[kind].title
        (found,) = [
            entry for kinds in self.objects.values() for entry in kinds[kind].values() if entry.get(title) == name
        ]
        return found

    def _gate(self) -> Any:
        body = request.get_json(silent=True)
        self.calls.append(Call(request.method, request.path, body))
        for fault in self.faults:
            if fault.method == request.method and re.search(fault.path, request.path):
                if fault.after:
                    self.faults.remove(fault)
                    Flask.dispatch_request(_app())
                if fault.status is None:
                    self._released.wait()
                return Response(status=fault.status or 500)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return Response(status=401)
        return None

    def _new(self) -> int:
        self._ids += 1
        return self._ids

    def _restore(self) -> Any:
        document = request.get_json()
        if faults := faults_of("restore", document):
            return jsonify({"error": faults[0]}), 400
        project = self._new()
        self.projects[project] = {**document["meta"], "id": project}
        self.objects[project] = {kind: {} for kind in KINDS}
        for name, kind in KINDS.items():
            for entry in document[kind.plural]:
                made = {"id": self._new(), "project_id": project}
                for key, value in entry.items():
                    if key not in kind.references:
                        made[key] = value
                        continue
                    target, other = kind.references[key]
                    ids = {o[KINDS[other].title]: number for number, o in self.objects[project][other].items()}
                    if value not in ids:
                        return jsonify({"error": f"{other} does not exist in {KINDS[other].plural}[].name"}), 400
                    made[target] = ids[value]
                if name == "template":
                    del made["environments"]
                    made["environment_ids"] = [made.pop("environment_id")]
                self.objects[project][name][made["id"]] = made
        return jsonify(self.projects[project])

    def _project(self, project: int) -> Any:
        if project not in self.projects:
            return Response(status=404)
        if request.method == "GET":
            return jsonify(_as_go(self.projects[project]))
        if faults := faults_of("project", request.get_json()):
            return jsonify({"error": faults[0]}), 400
        self.projects[project] = {**request.get_json(), "id": project}
        return Response(status=204)

    def _all(self, project: int, path: str) -> Any:
        if project not in self.projects or path not in KIND_OF:
            return Response(status=404)
        kept = self.objects[project][KIND_OF[path]]
        if request.method == "GET":
            listed = [{key: value for key, value in entry.items() if key not in ONLY_ALONE} for entry in kept.values()]
            return jsonify([_as_go(entry) for entry in listed])
        return self._keep(project, KIND_OF[path], self._new(), 201)

    def _one(self, project: int, path: str, number: int) -> Any:
        kind = KIND_OF.get(path, "")
        if project not in self.projects or number not in self.objects[project].get(kind, {}):
            return Response(status=404)
        if request.method == "GET":
            return jsonify(_as_go(self.objects[project][kind][number]))
        if request.get_json().get("id") != number:
            return jsonify({"error": "id in URL and in body must be the same"}), 400
        return self._keep(project, kind, number, 204)

    def _keep(self, project: int, kind: str, number: int, status: int) -> Any:
        body = request.get_json()
        if faults := faults_of(kind, body):
            return jsonify({"error": faults[0]}), 400
        if body["project_id"] != project:
            return jsonify({"error": "project id in URL and in body must be the same"}), 400
        before = self.objects[project][kind].get(number, {})
        if kind == "key" and body["type"] != "none" and not (before or body.get("ssh") or body.get("login_password")):
            return jsonify({"error": "password can not be empty"}), 400
        kept = {key: value for key, value in body.items() if key not in ("secrets", "ssh", "login_password")}
        if kind == "environment":
            kept["secrets"] = _secrets(before.get("secrets", []), body.get("secrets", []), self._new)
        self.objects[project][kind][number] = {**kept, "id": number}
        return (jsonify(_as_go(self.objects[project][kind][number])), 201) if status == 201 else Response(status=204)

    def _task(self, project: int) -> Any:
        body = request.get_json()
        if faults := faults_of("task", body):
            return jsonify({"error": faults[0]}), 400
        template = self.objects[project]["template"][body["template_id"]]
        if not template.get("task_params", {}).get("allow_override_limit"):
            body.get("params", {}).pop("limit", None)
        self.tasks.append({**body, "id": self._new()})
        return jsonify(self.tasks[-1]), 201


def _secrets(before: list[Json], sent: list[Json], new: Callable[[], int]) -> list[Json]:
    names = {entry["name"]: entry["id"] for entry in before}
    names |= {entry["name"]: names.get(entry["name"]) or new() for entry in sent if entry["operation"] == "create"}
    return [{"name": name, "id": number, "type": "env"} for name, number in names.items()]


def _as_go(entry: Json) -> Json:
    """An object as Go writes one whose fields say omitempty."""
    return json.loads(
        json.dumps({key: value for key, value in entry.items() if value not in (None, "", False, [], {})})
    )


def _app() -> Flask:
    from flask import current_app

    return current_app._get_current_object()  # type: ignore[attr-defined,no-any-return]
