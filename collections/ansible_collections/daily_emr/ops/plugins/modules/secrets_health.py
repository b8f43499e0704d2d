#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets_health
short_description: Look whether every secret is there, sound, young, copied, and read by the right ones alone
version_added: 0.3.0
description:
  - Asks one question after the other about each key of O(entries). Every answer is V(ok), V(finding) or V(unknown),
    with what was expected, what was seen, and by which call. An unknown is never ok.
  - In AWS Secrets Manager it asks whether the secret exists and has a value, which key encrypts it, how old the
    value is, whether it is rotated, whether its replica is in sync, whom its policy lets in, and, by
    C(iam:SimulatePrincipalPolicy), which roles may read it.
  - In HashiCorp Vault and SOPS it asks whether the value is there and how old it is; of a file of SOPS also who can
    open it.
  - The shape of a value is judged in memory. Of a value nothing is returned, not even its length. A role without
    C(secretsmanager:GetSecretValue) gets V(unknown) for it.
author:
  - Daily EMR operations (@daily-emr)
options:
  entries:
    description: The keys, each as the option C(entry) of M(daily_emr.ops.secret).
    type: list
    elements: dict
    required: true
  checks:
    description: The questions to ask. Without it all that the backend can answer.
    type: list
    elements: str
    choices: [present, value, encrypted, shape, age, rotation, replica, readers, policy, recipients]
    default: []
  verifies:
    description: Whether the answers are the verification of a change, for the record of the incident.
    type: bool
    default: false
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.secrets
"""

EXAMPLES = r"""
- name: Look at all secrets
  daily_emr.ops.secrets_health:
    store: "{{ secrets_store }}"
    entries: "{{ secrets_keys }}"
"""

RETURN = r"""
observations:
  description: One for each key and question.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "age", "subject": "SHA_API_KEY", "status": "finding", "seen": "its value is 97 days old"}]
healthy:
  description: Whether all is ok; null when nothing is wrong and something is not known.
  returned: success
  type: bool
sentence:
  description: What is not ok, by key.
  returned: success
  type: str
  sample: "SHA_API_KEY: its value is 97 days old."
verified:
  description: The same as RV(healthy), and false where that is not known.
  returned: when O(verifies=true)
  type: bool
changed_at:
  description: When each secret was last changed in any way, its labels among them. Tasks that started before may not
    have it.
  returned: success
  type: dict
  sample: {"SHA_API_KEY": "2026-11-22T01:30:00.000Z"}
"""

from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients, gather
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress, read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._secret_shapes import trouble
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_findings import (
    CHECKS,
    Book,
    Known,
    healthy,
    judge_aws,
    judge_held,
    judge_recipients,
    sentence,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_options import ENTRY_SPEC, STORE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_readings import (
    CURRENT,
    describe,
    full_name,
    versions,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, iso

# What asks Vault and SOPS is the controller's, as are the collections that it goes through.
STORES = "ansible_collections.daily_emr.ops.plugins.plugin_utils.secret_stores"
AWS = "aws_secrets_manager"
READ_VALUE = "secretsmanager:GetSecretValue"

ARGUMENT_SPEC: dict[str, Any] = {
    "store": STORE_OPTION,
    "entries": {"type": "list", "elements": "dict", "required": True},
    "checks": {"type": "list", "elements": "str", "choices": list(CHECKS), "default": []},
    "verifies": {"type": "bool", "default": False},
}


def look(params: Params, clients: Clients, _progress: Progress) -> Json:
    """Look at every key, and judge."""
    store, entries = params["store"], [checked_entry(entry) for entry in params["entries"]]
    names = [entry["name"] for entry in entries]
    if not names or len(set(names)) != len(names):
        raise Refused("entries must name at least one key, and none of them twice: correct the inventory.")
    checks = set(params["checks"]) or set(CHECKS)
    book = Book(str(iso(datetime.now(UTC))))
    changed: Json = {}
    if (store["backend"].get("backend") or AWS) == AWS:
        store = {**store, "account_id": clients.environment.account_id}
        for entry, known in zip(entries, read_all(clients, store, entries, checks), strict=True):
            judge_aws(book, entry, store, known, checks)
            if isinstance(known.secret, dict):
                changed[entry["name"]] = known.secret["changed_at"]
    else:
        look_elsewhere(book, clients, store, entries, checks)
    state = healthy(book.observations)
    result: Json = {
        "observations": book.observations,
        "healthy": state,
        "sentence": sentence(book.observations),
        "msg": sentence(book.observations),
        "changed_at": changed,
    }
    if params["verifies"]:
        result |= {"verified": state is True, "reached": "the secrets are as they should be"}
    return result


def checked_entry(given: Json) -> Json:
    """An entry with its defaults; Refused when it is not one."""
    checked = ArgumentSpecValidator(ENTRY_SPEC).validate(given)
    if checked.error_messages:
        raise Refused(f"A key of the inventory is not right: {'; '.join(checked.error_messages)}.")
    found: Json = checked.validated_parameters
    return found


def read_all(clients: Clients, store: Json, entries: list[Json], checks: set[str]) -> list[Known]:
    """Everything that AWS knows about the keys, asked at the same time."""
    names = {entry["name"]: full_name(store, entry) for entry in entries}
    calls: dict[str, Any] = {}
    for key, name in names.items():
        calls[f"secret {key}"] = partial(describe, clients, name)
        if checks & {"value", "shape", "age", "rotation"}:
            calls[f"versions {key}"] = partial(versions, clients, name)
        if "policy" in checks:
            calls[f"policy {key}"] = partial(policy_of, clients, name)
    found = gather(**calls)
    # Only of a secret that is there can anything more be asked.
    calls = {}
    for entry in entries:
        key, secret, labels = entry["name"], found[f"secret {entry['name']}"], found.get(f"versions {entry['name']}")
        if not isinstance(secret, dict) or secret["deleted"]:
            continue
        if "shape" in checks and isinstance(labels, dict) and CURRENT in labels:
            calls[f"shape {key}"] = partial(shape_of, clients, names[key], entry)
        if "readers" in checks:
            for role in {*entry["readers"], *store["strangers"]}:
                calls[f"allowed {key} {role}"] = partial(may_read, clients, secret["arn"], role)
    found |= gather(**calls)
    return [
        Known(
            secret=found[f"secret {key}"],
            versions=found.get(f"versions {key}", {}),
            shape=found.get(f"shape {key}", ""),
            policy=found.get(f"policy {key}", ""),
            allowed={
                name.rpartition(" ")[2]: value for name, value in found.items() if name.startswith(f"allowed {key} ")
            },
        )
        for key in names
    ]


def shape_of(clients: Clients, name: str, entry: Json) -> str:
    return trouble(clients.secret_value(name, stage=CURRENT).reveal(), entry["shape"])


def policy_of(clients: Clients, name: str) -> str:
    """The policy of the secret itself; empty when it has none."""
    with calling("secretsmanager:GetResourcePolicy"):
        answer = clients.read("secretsmanager").get_resource_policy(SecretId=name)
    return str(answer.get("ResourcePolicy") or "")


def may_read(clients: Clients, arn: str, role: str) -> bool:
    """Whether the policies of a role of this account let it read a secret."""
    account = clients.environment.account_id
    with calling("iam:SimulatePrincipalPolicy"):
        answer = clients.read("iam").simulate_principal_policy(
            PolicySourceArn=f"arn:aws:iam::{account}:role/{role}", ActionNames=[READ_VALUE], ResourceArns=[arn]
        )
    return all(item["EvalDecision"] == "allowed" for item in answer["EvaluationResults"])


def look_elsewhere(book: Book, clients: Clients, store: Json, entries: list[Json], checks: set[str]) -> None:
    """The keys in Vault or in a file of SOPS."""
    stores = import_module(STORES)
    checked = ArgumentSpecValidator(stores.SETTINGS).validate(store["backend"])
    if checked.error_messages:
        raise Refused(f"emr_secrets is not right: {'; '.join(checked.error_messages)}.")
    opened = stores.open_store(checked.validated_parameters, clients.environment, store["prefix"])
    call = f"{opened.where}: read"
    for entry in entries:
        # One after the other: the lookups of Ansible are not made for threads.
        found = gather(value=partial(opened.held, entry["name"]))["value"]
        failed = isinstance(found, Exception)
        shape = found if failed else trouble(found.secret.reveal(), entry["shape"])
        judge_held(book, entry, shape, "" if failed else found.made_at, call, checks)
    if hasattr(opened, "metadata") and "recipients" in checks:
        about = gather(found=opened.metadata)["found"]
        listed = about if isinstance(about, Exception) else [item["recipient"] for item in about.get("age") or []]
        judge_recipients(book, str(checked.validated_parameters["file"]), listed)


ENTRY = read_entry(ARGUMENT_SPEC, look)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
