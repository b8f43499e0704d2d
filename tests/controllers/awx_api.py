"""The stand-in for AWX over HTTP on loopback: the calls that the modules of awx.awx make. It launches nothing."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.serving import make_server

from .awx import API, TOKEN, UNIFIED, Awx, Json, fits, wrong, wrong_survey

Answer = Any


class Api:
    """One method for each kind of call."""

    def __init__(self, awx: Awx) -> None:
        self.awx = awx

    def judge(self) -> Answer:
        """Note every call, and answer it with a fault where there is one."""
        awx = self.awx
        awx.calls.append((request.method, request.path, request.get_json(silent=True)))
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return jsonify(detail="Authentication credentials were not provided."), 401
        if awx.fault and request.method == awx.fault[0] and re.search(awx.fault[1], request.path):
            if not (status := awx.fault[2]):
                awx.patience.wait()
            return jsonify(detail="This is a fault of a test."), status or 500
        return None

    def list(self, endpoint: str) -> Answer:
        endpoints = UNIFIED if endpoint == "unified_job_templates" else (endpoint,)
        found = [one for name in endpoints for one in self.awx.objects[name].values()]
        return page([one for one in found if all(fits(self.awx, one, *asked) for asked in request.args.items())])

    def create(self, endpoint: str) -> Answer:
        body = request.get_json()
        if fault := wrong(self.awx, endpoint, body):
            return jsonify(fault), 400
        return jsonify(self.awx.add(endpoint, body)), 201

    def show(self, endpoint: str, number: int) -> Answer:
        one = self.awx.objects[endpoint].get(number)
        return jsonify(one) if one else (jsonify(detail="Not found."), 404)

    def change(self, endpoint: str, number: int) -> Answer:
        body, one = request.get_json(), self.awx.objects[endpoint][number]
        known = set(one) & set(self.awx.fields(endpoint))
        if fault := wrong(self.awx, endpoint, {**{name: one[name] for name in known}, **body}, number):
            return jsonify(fault), 400
        one |= {name: value for name, value in body.items() if name in known}
        return jsonify(one)

    def remove(self, endpoint: str, number: int) -> Answer:
        del self.awx.objects[endpoint][number]
        return "", 204

    def start_update(self, number: int) -> Answer:
        return jsonify(id=number, status="pending", url=f"{API}/project_updates/{number}/"), 202

    def show_update(self, number: int) -> Answer:
        revision = self.awx.objects["projects"][number]["scm_revision"]
        done = {"status": "successful", "failed": False, "finished": "2026-01-01T00:00:00Z"}
        return jsonify(id=number, scm_revision=revision, **done)

    def show_survey(self, endpoint: str, number: int) -> Answer:
        return jsonify(self.awx.surveys.get(f"{endpoint}/{number}", {}))

    def set_survey(self, endpoint: str, number: int) -> Answer:
        if fault := wrong_survey(request.get_json()):
            return jsonify(error=fault), 400
        self.awx.surveys[f"{endpoint}/{number}"] = request.get_json()
        return jsonify({})

    def clear_survey(self, endpoint: str, number: int) -> Answer:
        self.awx.surveys.pop(f"{endpoint}/{number}", None)
        return jsonify({})

    def create_approval(self, number: int) -> Answer:
        if fault := wrong(self.awx, "workflow_approval_templates", request.get_json()):
            return jsonify(fault), 400
        made = self.awx.add("workflow_approval_templates", request.get_json())
        node = self.awx.objects["workflow_job_template_nodes"][number]
        node["unified_job_template"] = made["id"]
        node["related"]["unified_job_template"] = made["url"]
        return jsonify(made), 201

    def list_linked(self, endpoint: str, number: int, association: str) -> Answer:
        return page([{"id": one} for one in self.awx.links.get(f"{endpoint}/{number}/{association}", [])])

    def link(self, endpoint: str, number: int, association: str) -> Answer:
        body = request.get_json()
        ids = self.awx.links.setdefault(f"{endpoint}/{number}/{association}", [])
        if body.get("disassociate"):
            ids.remove(body["id"])
        else:
            ids.append(body["id"])
        return "", 204


ONE = "<endpoint>/<int:number>/"
ROUTES = {
    "list": ("GET", "<endpoint>/"),
    "create": ("POST", "<endpoint>/"),
    "show": ("GET", ONE),
    "change": ("PATCH", ONE),
    "remove": ("DELETE", ONE),
    "start_update": ("POST", "projects/<int:number>/update/"),
    "show_update": ("GET", "project_updates/<int:number>/"),
    "show_survey": ("GET", f"{ONE}survey_spec/"),
    "set_survey": ("POST", f"{ONE}survey_spec/"),
    "clear_survey": ("DELETE", f"{ONE}survey_spec/"),
    "create_approval": ("POST", "workflow_job_template_nodes/<int:number>/create_approval_template/"),
    "list_linked": ("GET", f"{ONE}<association>/"),
    "link": ("POST", f"{ONE}<association>/"),
}


def page(found: list[Json]) -> Response:
    return jsonify(count=len(found), next=None, previous=None, results=found)


@contextmanager
def running(awx: Awx) -> Iterator[Awx]:
    """Serve it on a free port of loopback for the time of the block."""
    app, api = Flask("awx"), Api(awx)
    app.before_request(api.judge)
    for name, (method, rule) in ROUTES.items():
        app.add_url_rule(f"{API}/{rule}", name, getattr(api, name), methods=[method])
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    awx.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield awx
    finally:
        awx.patience.set()
        server.shutdown()
        thread.join()
        server.server_close()
