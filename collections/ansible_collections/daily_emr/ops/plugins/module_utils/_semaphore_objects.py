# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the objects of a project in Semaphore. May change without notice.

"""What a project of Semaphore consists of, described by names, as its own restore document does.

The API speaks of ids; here is the one place that knows which field of which kind refers to what.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallUnknown, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._semaphore import Json, Semaphore


@dataclass(frozen=True)
class Kind:
    """One kind of object: its path in the API, what names it, what it refers to, and what a person may add by hand."""

    path: str
    plural: str
    """Its list in the restore document."""
    title: str = "name"
    references: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """A field of a definition, and the field of the API with the id of what is named, and of which kind that is."""
    keeps: tuple[str, ...] = ()
    """Fields that are not ours; an update would remove them, because it replaces the whole object."""


# In the order in which they can be made: each refers only to those above it.
KINDS: dict[str, Kind] = {
    "key": Kind("keys", "keys"),
    "environment": Kind("environment", "environments"),
    "repository": Kind("repositories", "repositories", references={"ssh_key": ("ssh_key_id", "key")}),
    "inventory": Kind(
        "inventory",
        "inventories",
        references={"ssh_key": ("ssh_key_id", "key"), "become_key": ("become_key_id", "key")},
    ),
    "view": Kind("views", "views", title="title"),
    "template": Kind(
        "templates",
        "templates",
        references={
            "inventory": ("inventory_id", "inventory"),
            "repository": ("repository_id", "repository"),
            "environment": ("environment_id", "environment"),
            "view": ("view_id", "view"),
        },
        keeps=("runner_tag", "executor_image"),
    ),
    "schedule": Kind("schedules", "schedules", references={"template": ("template_id", "template")}),
}
SECRET_KINDS = ("key", "environment")
EMPTY = "none"
"""The type of a key that holds nothing."""


def project_id(server: Semaphore, name: str) -> int | None:
    """The id of the project of that name, None when there is none."""
    found = _named(server.listed("projects", "the projects"), "name", name, f"projects are named {name}")
    return int(found["id"]) if found else None


def names_of(server: Semaphore, project: int, kind: str) -> dict[str, int]:
    """The ids of all objects of a kind, by name."""
    title = KINDS[kind].title
    listed = server.listed(f"project/{project}/{KINDS[kind].path}", f"the {KINDS[kind].plural}")
    return {str(entry[title]): int(entry["id"]) for entry in listed}


def find(server: Semaphore, project: int, kind: str, name: str) -> Json | None:
    """The object of that name as the API has it, None when there is none. Refused when several are named so."""
    made = KINDS[kind]
    listed = server.listed(f"project/{project}/{made.path}", f"the {made.plural}")
    entry = _named(listed, made.title, name, f"{made.plural} are named {name}")
    if entry is None:
        return None
    # Only the object itself has everything: a list leaves the survey and the names of secrets out.
    whole = server.read(f"project/{project}/{made.path}/{entry['id']}", f"the {kind} {name}")
    return _with_environments(whole) if kind == "template" else whole


def described(kind: str, definition: Json, found: Json, ids: Mapping[str, Mapping[str, int]]) -> Json:
    """An object of the API in the words of a definition, as far as the definition goes."""
    references = KINDS[kind].references
    seen: Json = {}
    for name, value in definition.items():
        if name in references:
            key, other = references[name]
            seen[name] = next((title for title, number in ids[other].items() if number == found.get(key)), None)
        elif isinstance(value, dict) and isinstance(found.get(name), str):
            seen[name] = _variables(found[name])
        else:
            seen[name] = found.get(name)
    return seen


def payload(
    kind: str, project: int, definition: Json, found: Json | None, ids: Mapping[str, Mapping[str, int]]
) -> Json:
    """The body of the request that makes the definition so. Refused when it names what the project does not have."""
    body: Json = {"project_id": project}
    for name, value in encoded(definition).items():
        if name not in KINDS[kind].references:
            body[name] = value
            continue
        key, other = KINDS[kind].references[name]
        if value not in ids[other]:
            raise Refused(f"The project has no {other} {value}, which the {kind} {named(kind, definition)} needs.")
        body[key] = ids[other][value]
    if kind == "template" and body.get("environment_id"):
        # Releases of 2.16 and later differ in which of the two they read.
        body["environment_ids"] = [body["environment_id"]]
    if found:
        body["id"] = found["id"]
        body |= {name: found[name] for name in KINDS[kind].keeps if found.get(name)}
    return body


def encoded(definition: Json) -> Json:
    """A definition as it is sent: without what is None, which unsets it, and with variables as the text that Semaphore
    keeps of them."""
    kept = {name: value for name, value in definition.items() if value is not None}
    return kept | {
        name: json.dumps(kept[name], sort_keys=True) for name in ("json", "env") if isinstance(kept.get(name), dict)
    }


def different(wanted: Json, seen: Json) -> list[str]:
    """The fields that are not as wanted. What is empty, false or left out is the same to Semaphore."""
    return [name for name in wanted if _plain(wanted[name]) != _plain(seen.get(name))]


def named(kind: str, definition: Json) -> str:
    """The name that a definition gives. Refused when it gives none."""
    name = definition.get(KINDS[kind].title)
    if not name:
        raise Refused(f"A {kind} without {KINDS[kind].title} cannot be found again: give it one.")
    return str(name)


def restore_document(settings: Json, objects: Iterable[Json]) -> Json:
    """The document that Semaphore makes a project from, of settings with its name, and of entries {kind, definition}.

    Without parameters of tasks, because Semaphore's own reader of these documents cannot read them: a template then
    forbids everything until it is applied. Until then schedules are not active either, and keys have no type, because
    the document has no secrets.
    """
    document: Json = {"meta": dict(settings), **{kind.plural: [] for kind in KINDS.values()}}
    document |= {"integrations": [], "integration_aliases": []}
    for entry in objects:
        kind = entry["kind"]
        made = encoded(entry["definition"])
        made.pop("task_params", None)
        if kind == "template":
            made["environments"] = [made["environment"]] if made.get("environment") else []
        elif kind == "schedule":
            made["active"] = False
        elif kind == "key":
            made["type"] = EMPTY
        document[KINDS[kind].plural].append(made)
    return document


def ensure(
    server: Semaphore,
    project: str,
    kind: str,
    definition: Json,
    secrets: Json,
    *,
    update_secrets: bool,
    check_mode: bool,
) -> Json:
    """Make one object of a project as it is defined, by at most one request that changes anything.

    Returns changed, diff and msg. Secrets are sent where they are missing, or always with update_secrets; they cannot
    be read, so a value that somebody changed is not seen.
    """
    name = named(kind, definition)
    what = f"the {kind} {name}"
    number = project_id(server, project)
    if number is None:
        if not check_mode:
            raise Refused(
                f"Semaphore at {server.url} has no project {project}: run the whole playbook, which makes it."
            )
        return _result(True, {}, _shown(definition, secrets), f"{what} would be made with its project.")
    ids = {other: names_of(server, number, other) for _key, other in KINDS[kind].references.values()}
    found = find(server, number, kind, name)
    seen = described(kind, definition, found, ids) if found else {}
    fields = different(definition, seen) if found else list(definition)
    sent = _secrets_to_send(kind, definition, found, secrets, update_secrets or "type" in fields)
    if kind == "key" and (not found or "type" in fields):
        _need_secret(definition, sent)
    before = {key: seen.get(key) for key in fields} if found else {}
    after = _shown({key: definition[key] for key in fields}, sent)
    if found and not fields and not sent:
        return _result(False, {}, {}, f"{what} is as defined already.")
    if check_mode:
        return _result(True, before, after, f"{what} would be {'changed' if found else 'made'}.")
    body = payload(kind, number, definition, found, ids) | _secret_fields(kind, found, sent)
    path = f"project/{number}/{KINDS[kind].path}"
    server.write("PUT" if found else "POST", f"{path}/{found['id']}" if found else path, body, what)
    _look_again(server, number, kind, definition, ids)
    return _result(True, before, after, f"{what} was {'changed' if found else 'made'}.")


def _look_again(server: Semaphore, project: int, kind: str, definition: Json, ids: Mapping[str, Any]) -> None:
    """Semaphore leaves out without an error what it does not know: look whether everything is there."""
    name = named(kind, definition)
    found = find(server, project, kind, name)
    left = different(definition, described(kind, definition, found, ids)) if found else list(definition)
    if left:
        raise CallUnknown(
            f"Semaphore accepted the {kind} {name}, but keeps {', '.join(left)} otherwise: look at it there, and at "
            "the version of Semaphore."
        )


def _need_secret(definition: Json, sent: Json) -> None:
    """Raise Refused unless there is what a key of this type cannot do without; a log-in or passphrase may be empty."""
    part = {"login_password": "password", "ssh": "private_key"}.get(definition["type"])
    if part and part not in sent:
        raise Refused(
            f"The key {definition['name']} has no {part}: set the environment variable that holds it where Ansible "
            "runs."
        )


def _secrets_to_send(kind: str, definition: Json, found: Json | None, secrets: Json, all_of_them: bool) -> Json:
    if kind not in SECRET_KINDS or (kind == "key" and definition["type"] == EMPTY):
        return {}
    if all_of_them or not found:
        return secrets
    if kind == "key":
        return {}
    there = {entry["name"] for entry in found.get("secrets") or []}
    return {name: value for name, value in secrets.items() if name not in there}


def values_of(secrets: Mapping[str, str], environ: Mapping[str, str]) -> Json:
    """The values of secrets, by their names, from the environment variables that hold them; unset ones are left out."""
    return {name: environ[variable] for name, variable in secrets.items() if environ.get(variable)}


def _secret_fields(kind: str, found: Json | None, sent: Json) -> Json:
    """How a request carries secrets: those of a key by its type, those of an environment one by one."""
    if not sent:
        return {}
    if kind == "key":
        return {("ssh" if "private_key" in sent else "login_password"): sent, "override_secret": bool(found)}
    there = {entry["name"]: entry["id"] for entry in (found or {}).get("secrets") or []}
    return {
        "secrets": [
            {"name": name, "secret": value, "type": "env"}
            | ({"id": there[name], "operation": "update"} if name in there else {"operation": "create"})
            for name, value in sent.items()
        ]
    }


def _shown(definition: Json, sent: Json) -> Json:
    return {**definition, **({"secrets": [f"{name} (not shown)" for name in sent]} if sent else {})}


def _result(changed: bool, before: Json, after: Json, sentence: str) -> Json:
    text = f"{sentence[:1].upper()}{sentence[1:]}"
    return {"changed": changed, "diff": {"before": before, "after": after}, "msg": text}


def _variables(text: str) -> Any:
    """Variables of the text that Semaphore keeps of them, or the text where a person wrote something else."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _named(listed: list[Json], title: str, name: str, twice: str) -> Json | None:
    matches = [entry for entry in listed if entry.get(title) == name]
    if len(matches) > 1:
        raise Refused(f"{len(matches)} {twice}, and nobody can say which is meant: rename or remove all but one.")
    return matches[0] if matches else None


def _with_environments(found: Json) -> Json:
    numbers = found.get("environment_ids") or [found[key] for key in ("environment_id",) if found.get(key)]
    # A second one that somebody added by hand is a difference, so it must not look like the first alone.
    return {**found, "environment_id": numbers[0] if len(numbers) == 1 else None}


def _plain(value: Any) -> Any:
    """A value without what is empty, as Semaphore leaves it out of its answers."""
    if isinstance(value, Mapping):
        return {key: inner for key, item in value.items() if (inner := _plain(item)) is not None} or None
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value] or None
    return value or None
