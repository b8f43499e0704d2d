"""What a stand-in for AWX 24.6.1 keeps, and what it refuses; awx_api.py serves it.

It knows the writable fields of that version (awx_contract.json, from its OPTIONS) and refuses every other one, so that
what the real modules of awx.awx send is checked.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

Json = dict[str, Any]
CONTRACT: dict[str, dict[str, Json]] = json.loads(Path(__file__).with_name("awx_contract.json").read_text())
API = "/api/v2"
TOKEN = "token-of-a-test"
KINDS = {
    "inventories": "inventory",
    "workflow_approval_templates": "workflow_approval_template",
    **{name: name.removesuffix("s") for name in CONTRACT if name not in ("inventories", "workflow_approval_templates")},
}
TYPES = {
    "string": ["string", "null"],
    "choice": ["string", "integer", "null"],
    "id": ["integer", "null"],
    "boolean": ["boolean", "null"],
    "integer": ["integer", "null"],
    "json": ["object", "string", "null"],
}
# What awx.awx sends though AWX does not take it; AWX ignores it.
IGNORED = {
    "workflow_job_template_nodes": {"type"},
    "credential_types": {"managed"},
    "job_templates": {"organization"},
}
UNIFIED = ("job_templates", "workflow_job_templates", "projects", "inventory_sources", "workflow_approval_templates")
ROLES = {
    "job_templates": ("execute_role", "admin_role", "read_role"),
    "workflow_job_templates": ("execute_role", "admin_role", "read_role", "approval_role"),
}
QUESTION_TYPES = {"text": str, "textarea": str, "multiplechoice": str, "integer": int, "float": float}


def schema(endpoint: str) -> Json:
    """JSON schema of what may be posted: no field but those of the contract."""
    properties: Json = {name: {} for name in IGNORED.get(endpoint, ())}
    for name, known in CONTRACT[endpoint].items():
        properties[name] = {"type": TYPES[known["type"]]}
        if known["type"] == "choice":
            properties[name] = {"enum": [*known["choices"], None]}
        for ours, theirs in (("max_length", "maxLength"), ("min_value", "minimum"), ("max_value", "maximum")):
            if ours in known:
                properties[name][theirs] = known[ours]
    required = [name for name, known in CONTRACT[endpoint].items() if known.get("required")]
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


@dataclass
class Awx:
    """The state, and what was asked of it."""

    playbooks: set[str]
    """What the project holds, by AWX's own rule."""
    objects: dict[str, dict[int, Json]] = field(default_factory=lambda: {name: {} for name in CONTRACT})
    links: dict[str, list[int]] = field(default_factory=dict)
    """Path of an association -> ids."""
    surveys: dict[str, Json] = field(default_factory=dict)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method, path and body of each request."""
    fault: tuple[str, str, int] | None = None
    """Method, pattern of the path, and the status to answer; 0 answers too late."""
    patience: threading.Event = field(default_factory=threading.Event)
    next_id: int = 1
    url: str = ""

    def changes(self) -> list[tuple[str, str]]:
        """The calls that changed something, or tried to; an update of the project fetches the same revision again."""
        return [
            (method, path) for method, path, _body in self.calls if method != "GET" and not path.endswith("/update/")
        ]

    def fields(self, endpoint: str) -> list[str]:
        """What may be written."""
        return list(CONTRACT[endpoint])

    def named(self, endpoint: str, name: str) -> Json:
        """The one object of that name."""
        (found,) = [one for one in self.objects[endpoint].values() if name in (one.get("name"), one.get("identifier"))]
        return found

    def linked(self, endpoint: str, name: str, association: str) -> list[int]:
        return self.links.get(f"{endpoint}/{self.named(endpoint, name)['id']}/{association}", [])

    def add(self, endpoint: str, body: Json) -> Json:
        """Keep a new object, with the defaults of AWX."""
        known = CONTRACT[endpoint]
        number, self.next_id = self.next_id, self.next_id + 1
        made = {name: body.get(name, one.get("default")) for name, one in known.items()}
        made |= {"id": number, "type": KINDS[endpoint], "url": f"{API}/{endpoint}/{number}/", "summary_fields": {}}
        made["related"] = {"survey_spec": f"{made['url']}survey_spec/", "update": f"{made['url']}update/"}
        if endpoint == "job_templates":
            made["organization"] = self.objects["projects"][body["project"]]["organization"]
        if endpoint == "projects":
            made["scm_revision"] = "0" * 40
        if endpoint == "credential_types":
            made["managed"] = False
        made["summary_fields"]["object_roles"] = {
            name: {"id": number * 10 + index} for index, name in enumerate(ROLES.get(endpoint, ()))
        }
        self.objects[endpoint][number] = made
        return made


def fits(awx: Awx, one: Json, key: str, value: str) -> bool:
    """Whether an object is what a query asks for."""
    if key == "page_size":
        return True
    if key == "organization__name":
        owner = awx.objects["organizations"].get(one.get("organization") or 0)
        return bool(owner) and owner["name"] == value
    return str(one.get(key)) == value


def wrong(awx: Awx, endpoint: str, body: Json, number: int = 0) -> Json:
    """What AWX would answer to a body that it does not take; empty when it does."""
    faults = [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema(endpoint)).iter_errors(body)
    ]
    same = [
        one
        for one in awx.objects[endpoint].values()
        if one["id"] != number
        and body.get("name")
        and (one.get("name"), one.get("organization"))
        == (body["name"], body.get("organization", one.get("organization")))
    ]
    if faults:
        return {"__all__": faults}
    if same and endpoint != "workflow_approval_templates":
        return {"__all__": [f"{body['name']} already exists."]}
    if endpoint == "job_templates" and body["playbook"] not in awx.playbooks:
        return {"playbook": ["Playbook not found for project."]}
    return {}


def wrong_survey(spec: Json) -> str:
    """AWX's rules for a survey (JobTemplateSurveySpec._validate_spec_data)."""
    if set(spec) != {"name", "description", "spec"} or not spec["spec"]:
        return "'name', 'description' and a 'spec' with questions are needed."
    seen: set[str] = set()
    for asked in spec["spec"]:
        variable = asked.get("variable")
        if missing := {"type", "question_name", "variable", "required"} - set(asked):
            return f"{sorted(missing)} missing from survey question {variable}."
        if not isinstance(asked["required"], bool) or asked["type"] not in QUESTION_TYPES or variable in seen:
            return f"Question {variable} is not right: required, type, or asked twice."
        if not re.fullmatch(r"[a-z][a-z0-9_]*", variable):
            return f"Variable {variable!r} is no name."
        if any(bound in asked and type(asked[bound]) is not int for bound in ("min", "max")):
            return f"Bounds of {variable} must be integers."
        if asked["type"] == "multiplechoice" and not all(type(one) is str for one in asked.get("choices") or [0]):
            return f"Choices of {variable} must be texts."
        if "default" in asked and type(asked["default"]) is not QUESTION_TYPES[asked["type"]]:
            return f"The default of {variable} has another type."
        seen.add(variable)
    return ""
