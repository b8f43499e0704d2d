#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_gate
short_description: Say whether a release may go out, and sign the answer
version_added: 0.1.0
description:
  - Reads the error budget of the month, what is left of the month before, open incidents, change calendars, overrides
    and approvals, and answers with a state, V(open), V(caution), V(freeze) or V(unknown), and whether this release is
    allowed.
  - A rollback and the mitigation of an incident are always allowed, also when nothing can be read; then the answer may
    have no signature. A security fix needs one approval. What cannot be read is V(unknown), in which no other release
    goes out.
  - The answer is JSON, signed with a key of KMS, so that a pipeline verifies it with the public key and C(openssl). An
    answer that is no rollback and no mitigation and cannot be signed is V(unknown).
  - Changes nothing. Writes two files where O(folder) says so, also in check mode. Reads nothing about a patient.
author:
  - Daily EMR operations (@daily-emr)
options:
  kind:
    description:
      - What wants to go out. V(security) is a security fix, an issue of P0, or what a regulator demands.
      - The gate cannot see what it is. Its answer to a rollback says that it must have been released before.
    type: str
    choices: [release, rollback, mitigation, security]
    required: true
  commit:
    description: The commit that wants to go out, 40 letters and digits. Needed but for a rollback or a mitigation.
    type: str
    default: ""
  components:
    description: Components whose incidents hold releases up, as their inventory hosts are named.
    type: list
    elements: str
    required: true
  calendars:
    description: Change calendars of Systems Manager, by name or ARN, all of which have to be open.
    type: list
    elements: str
    default: []
  overdue_p0:
    description: Action items of P0 that are overdue, as the tracker of actions counts them.
    type: int
    default: 0
  signing_key:
    description: Alias of the key of KMS that signs the answer.
    type: str
    required: true
  limits:
    description:
      - The thresholds of the gate.
      - They have no defaults here; their home, with their reasons, is the defaults of the role C(release_gate).
    type: dict
    required: true
    suboptions:
      canary_percent:
        description: Percent of the traffic that a release takes first.
        type: int
        required: true
      canary_minutes:
        description: Minutes before a release takes all traffic.
        type: int
        required: true
      caution_canary_minutes:
        description: The same while care is needed.
        type: int
        required: true
      caution_approvals:
        description: People who have to approve a release while care is needed.
        type: int
        required: true
      security_approvals:
        description: People who have to approve a security fix.
        type: int
        required: true
      calm_days:
        description: Days in a row, each with a burn below 1, that end the freeze of the month before.
        type: int
        required: true
      incident_hours:
        description: Hours for which an incident that no run ended well counts as open.
        type: int
        required: true
      clinic_days:
        description: Days on which facilities see patients, as C(monday).
        type: list
        elements: str
        required: true
      clinic_from_hour:
        description: Hour, in East Africa Time, from which on they do.
        type: int
        required: true
      clinic_until_hour:
        description: Hour, in East Africa Time, until which they do.
        type: int
        required: true
      closed_days:
        description: Days on which nothing is released while care is needed, as C(friday).
        type: list
        elements: str
        required: true
      valid_minutes:
        description: Minutes for which an answer holds.
        type: int
        required: true
  folder:
    description: Folder in which C(release_gate.json) and C(release_gate.sig) are written. Without it, nothing is.
    type: path
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.service
  - daily_emr.ops.slo
  - daily_emr.ops.slo.canaries
"""

EXAMPLES = r"""
- name: Ask whether a release may go out
  daily_emr.ops.release_gate:
    environment: "{{ emr_environment }}"
    service: "{{ web_service }}"
    kind: release
    commit: 5a1c0de5a1c0de5a1c0de5a1c0de5a1c0de5a1c0
    components: [emr-web, emr-db]
    signing_key: alias/daily-emr-production-release-gate
    limits: "{{ release_gate_limits }}"
    folder: /tmp/gate
  register: gate
"""

RETURN = r"""
allowed:
  description: Whether it may go out.
  returned: success
  type: bool
  sample: true
state:
  description: One of V(open), V(caution), V(freeze), V(unknown).
  returned: success
  type: str
  sample: open
sentence:
  description: The answer in one sentence.
  returned: success
  type: str
  sample: "The release is allowed, the state is open: 3.1 min of the month are spent."
answer:
  description:
    - The answer as it is signed, with C(state), C(allowed), C(codes), C(reasons), C(budget), C(conditions),
      C(valid_until) and C(inputs_digest).
  returned: success
  type: dict
  sample: {state: open, allowed: true}
signed:
  description: Whether it is signed.
  returned: success
  type: bool
  sample: true
json_file:
  description: The file with exactly the bytes that were signed; empty when none was asked for.
  returned: success
  type: str
  sample: /tmp/gate/release_gate.json
signature_file:
  description: The file with the signature; empty when there is none.
  returned: success
  type: str
  sample: /tmp/gate/release_gate.sig
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import COMMON_SPEC, Entry, connect, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_pages import write_whole
from ansible_collections.daily_emr.ops.plugins.module_utils._release_facts import Seen, look, nothing_seen
from ansible_collections.daily_emr.ops.plugins.module_utils._release_gate import KINDS, RECOVERY, Limits, document
from ansible_collections.daily_emr.ops.plugins.module_utils._release_overrides import COMMIT
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_options import SLO_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import SERVICE_OPTION

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params

NUMBERS = (
    *("canary_percent", "canary_minutes", "caution_canary_minutes", "caution_approvals", "security_approvals"),
    *("calm_days", "incident_hours", "clinic_from_hour", "clinic_until_hour", "valid_minutes"),
)
LISTS = ("clinic_days", "closed_days")
GATE_SPEC: dict[str, Any] = {
    "service": SERVICE_OPTION,
    "slo": SLO_OPTION,
    "canaries": {"type": "list", "elements": "str", "default": []},
    "kind": {"type": "str", "choices": list(KINDS), "required": True},
    "commit": {"type": "str", "default": ""},
    "components": {"type": "list", "elements": "str", "required": True},
    "calendars": {"type": "list", "elements": "str", "default": []},
    "overdue_p0": {"type": "int", "default": 0},
    "signing_key": {"type": "str", "required": True, "no_log": False},
    "limits": {
        "type": "dict",
        "required": True,
        "options": {
            **{name: {"type": "int", "required": True} for name in NUMBERS},
            **{name: {"type": "list", "elements": "str", "required": True} for name in LISTS},
        },
    },
    "folder": {"type": "path"},
}
JSON_FILE = "release_gate.json"
SIGNATURE_FILE = "release_gate.sig"


def run(params: Params, context: Context) -> dict[str, Any]:
    """Look, decide, sign and write. Raises OpsError only for inputs that are none, and where there is no room."""
    kind, commit, limits = params["kind"], params["commit"], Limits.from_params(params["limits"])
    if not COMMIT.fullmatch(commit):
        if kind not in RECOVERY:
            raise Refused(f"{commit!r} is no commit: give all of its 40 letters and digits.")
        commit = ""
    clients: Clients | None = None
    try:
        clients, _session = connect(params)
        clients.prove()
        seen = look(params, commit, limits, clients)
    except OpsError as error:
        seen = nothing_seen(params, commit, error.sentence)
    message, signature = answer(params, seen, limits, clients)
    made = json.loads(message)
    context.progress(sentence(made))
    json_file, signature_file = write(params["folder"], message, signature) if params["folder"] else ("", "")
    return {
        "changed": False,
        "allowed": made["allowed"],
        "state": made["state"],
        "sentence": sentence(made),
        "answer": made,
        "signed": bool(signature),
        "json_file": json_file,
        "signature_file": signature_file,
    }


def answer(params: Params, seen: Seen, limits: Limits, clients: Clients | None) -> tuple[bytes, bytes]:
    """The answer and its signature, which is empty where nobody could sign it; then it is the answer of not knowing."""
    environment, component = params["environment"]["name"], params["service"]["component"]
    message = document(seen.facts, limits, environment, component, seen.budget)
    why = "The environment could not be proven, so nobody signs the answer."
    if clients:
        try:
            return message, clients.signature(params["signing_key"], message)
        except OpsError as error:
            why = f"The answer could not be signed: {error.sentence[:300]}"
    facts = replace(seen.facts, unread=(*seen.facts.unread, why))
    return document(facts, limits, environment, component, seen.budget), b""


def sentence(made: dict[str, Any]) -> str:
    """The answer in one sentence."""
    word = "is allowed" if made["allowed"] else "is not allowed"
    return f"The {made['kind']} {word}, the state is {made['state']}: {' '.join(made['reasons'])}"


def write(folder: str, message: bytes, signature: bytes) -> tuple[str, str]:
    """Both files; no signature of an earlier answer stays. Raises OpsError where there is no room."""
    place = Path(folder)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        (place / SIGNATURE_FILE).unlink(missing_ok=True)
        write_whole(place / JSON_FILE, message)
        if signature:
            write_whole(place / SIGNATURE_FILE, signature)
    except OSError as error:
        raise OpsError(
            f"The answer cannot be written into {place} ({error.strerror}): make room, or name another."
        ) from error
    return str(place / JSON_FILE), str(place / SIGNATURE_FILE) if signature else ""


ENTRY = Entry({**GATE_SPEC, **COMMON_SPEC}, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
