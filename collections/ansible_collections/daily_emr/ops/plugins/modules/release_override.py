#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_override
short_description: Ask for an override of a release freeze, approve one, or approve one release
version_added: 0.1.0
description:
  - An override is asked for by one person, with a reason, and approved by another one, each under their own name. It
    lifts a freeze for 24 hours from the moment it was asked for, and then ends by itself.
  - The approval of one release, by its commit, is what the gate asks for while care is needed and for a security fix.
    It counts for 24 hours.
  - The name is that of the caller's session, as STS tells it, and the time is AWS's. A session whose name is made up by
    a program is refused. Whether a name is its bearer's own, only the trust policy of the role can say.
  - Acts under the role of approvers, because who may act is denied to write approvals.
  - Needs no lease, because it changes no component.
author:
  - Daily EMR operations (@daily-emr)
options:
  reason:
    description: To ask for an override, why, in a few plain words; it stands in every answer of the gate meanwhile.
    type: str
    default: ""
  request:
    description: To approve an override, its digest, as whoever asked for it was told.
    type: str
    default: ""
  commit:
    description: To approve one release, its commit, 40 letters and digits.
    type: str
    default: ""
  approver_role_pattern:
    description: Regular expression that the name of the caller's role has to match, instead of that of who acts.
    type: str
    required: true
attributes:
  check_mode:
    description: Says what would be asked for or approved.
    support: full
  diff_mode:
    description: Shows whether it is asked for or approved, before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Ask for an override
  daily_emr.ops.release_override:
    environment: "{{ emr_environment }}"
    reason: The payer changes its API tonight
    approver_role_pattern: "{{ emr_approver_role_pattern }}"

- name: Approve it, as somebody else
  daily_emr.ops.release_override:
    environment: "{{ emr_environment }}"
    request: 2b1f0c9d8e7a6b5c
    approver_role_pattern: "{{ emr_approver_role_pattern }}"
"""

RETURN = r"""
outcome:
  description: How it ended, one of V(ok), V(noop), V(planned), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
request:
  description: The digest of the override that was asked for, which somebody else approves; else empty.
  returned: always
  type: str
  sample: 2b1f0c9d8e7a6b5c
"""

import re
from typing import TYPE_CHECKING, Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import AHEAD, key_of, person_of, read_approvals
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import approver_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._release_overrides import (
    ABOUT,
    COMMIT,
    DIGEST,
    VALID,
    Request,
    read_requests,
    release_about,
    release_digest,
    request_digest,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, iso, parse_utc

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

# It is shown in every answer of the gate.
REASON = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .,:;_/()'-]{9,200}")
NAMES = ("reason", "request", "commit")


class ReleaseOverride(Change):
    """What one person says: a request, or an approval of a request or of a release."""

    name: ClassVar[str] = "release_override"
    leased: ClassVar[bool] = False
    spec: ClassVar[Json] = {
        **{name: {"type": "str", "default": ""} for name in NAMES},
        "approver_role_pattern": {"type": "str", "required": True},
    }

    def __init__(self, params: Any, clients: Clients) -> None:
        super().__init__(params, clients)
        self._request = ""

    @property
    def person(self) -> str:
        return self.clients.prove().operator

    @property
    def target(self) -> str:
        given = [name for name in NAMES if self.params[name]]
        return f"release/{'-'.join(given) or 'nothing'}/{self.params['commit'] or self.params['request'] or ABOUT}"

    def observe(self) -> Json:
        person, commit = self.person, self.params["commit"]
        if commit:
            digest = release_digest(self.clients.environment.name, commit)
            approvals, now = read_approvals(self.clients, release_about(commit))
            requests: list[Request] = []
        else:
            digest = self.params["request"]
            requests, approvals, now = read_requests(self.clients)
        mine = next((one for one in requests if one.session == person and one.lives(now)), None)
        if self.params["reason"]:
            self._request = mine.digest if mine and mine.reason == self.params["reason"] else ""
            said = bool(self._request)
        else:
            said = any(
                one.session == person and one.digest == digest and -AHEAD <= now - parse_utc(one.at) < VALID
                for one in approvals
            )
        asked = next((one for one in requests if one.digest == digest), None)
        context = {"at": str(iso(now)), "person": person, "digest": digest, "asked": asked, "live": False}
        return {"said": said, "context": {**context, "live": bool(asked and asked.lives(now))}}

    def wanted(self, before: Json) -> Json:
        return {"said": True}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        if sum(bool(self.params[name]) for name in NAMES) != 1:
            return ["Give one of reason (to ask for an override), request (to approve one) or commit (to approve one)."]
        if not person_of(context["person"]):
            return [
                f"Your session is called {context['person']}, which names nobody: assume the role with your own name "
                "(role_session_name of the profile), and run again."
            ]
        if self.params["reason"] and not REASON.fullmatch(self.params["reason"]):
            return ["Say why in 10 to 200 plain letters: it stands in every answer of the gate meanwhile."]
        if self.params["commit"] and not COMMIT.fullmatch(self.params["commit"]):
            return [f"{self.params['commit']!r} is no commit: give all of its 40 letters and digits."]
        return self._unapprovable(context) if self.params["request"] else []

    def _unapprovable(self, context: Json) -> list[str]:
        asked = context["asked"]
        if not DIGEST.fullmatch(context["digest"]) or not asked:
            return [f"Nobody has asked for the override {context['digest']!r}: give the digest that they were told."]
        if not context["live"]:
            return [f"The override {asked.digest} ended at {iso(asked.until)}: have it asked for anew."]
        if person_of(asked.session) == person_of(context["person"]):
            return [
                "You have asked for it, so somebody else has to approve it: have them run this under their own name."
            ]
        return []

    def prediction(self, before: Json) -> list[str]:
        context = before["context"]
        if self.refusals(before):
            return []
        if self.params["commit"]:
            return [f"{context['person']} approves the release of {self.params['commit']}, for 24 hours."]
        if self.params["reason"]:
            return [f"{context['person']} asks for an override of the freeze, for 24 hours: {self.params['reason']}."]
        asked = context["asked"]
        return [
            f"{context['person']} approves what {asked.session} asked for until {iso(asked.until)}: {asked.reason}."
        ]

    def apply(self, before: Json) -> None:
        context = before["context"]
        about = release_about(self.params["commit"]) if self.params["commit"] else ABOUT
        said = {"digest": context["digest"], "at": context["at"], "by": self.clients.prove().arn}
        if reason := self.params["reason"]:
            environment = self.clients.environment.name
            said |= {"digest": request_digest(environment, context["person"], context["at"], reason), "reason": reason}
        self.clients.write("dynamodb", "PutItem").put_item(
            TableName=self.clients.environment.table,
            Item={
                **key_of(about, context["person"], context["at"]),
                **{name: {"S": text} for name, text in said.items()},
            },
            ConditionExpression="attribute_not_exists(pk)",
        )

    def inverse(self, before: Json) -> Json | str:
        return "It ends by itself after 24 hours."

    def remarks(self) -> Json:
        return {"request": self._request}


ENTRY = approver_entry(ReleaseOverride)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
