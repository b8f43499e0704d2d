#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: region_secret
short_description: Let the second region's tasks find the promoted database
version_added: 0.1.0
description:
  - Writes a version of the DATABASE_URL that only the second region's tasks get, with the account of the first
    region's one (of which the second region has a copy) and the address of the promoted database.
  - Refuses while the replica is not promoted by a failover, or the first region is neither fenced nor dead. Tasks
    take it when they start. The version before stays as C(AWSPREVIOUS).
  - Values are never shown. The diff names host and port, and whether the account is the same.
author:
  - Daily EMR operations (@daily-emr)
attributes:
  check_mode:
    description: Says where it points, and where it would.
    support: full
  diff_mode:
    description: Shows host and port before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
  - daily_emr.ops.region
"""

EXAMPLES = r"""
- name: Point the second region's tasks to the promoted database
  daily_emr.ops.region_secret:
    recovery: "{{ recovery }}"
    database: "{{ recovery_database }}"
"""

RETURN = r"""
outcome:
  description: How the change ended, one of V(ok), V(noop), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["The replica is not promoted: promote it first."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample: "Put the stage AWSCURRENT back to the version that is AWSPREVIOUS now."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: secret/daily-emr/staging/recovery/DATABASE_URL
"""

import uuid
from typing import ClassVar
from urllib.parse import urlsplit, urlunsplit

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import error_code
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Secret
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._region import ALONE, RECOVERY_OPTION, RegionChange
from ansible_collections.daily_emr.ops.plugins.module_utils._region_findings import opening_second
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

CURRENT = "AWSCURRENT"
NO_VALUE = "ResourceNotFoundException"


class RegionSecret(RegionChange):
    """The DATABASE_URL of the second region's tasks."""

    name: ClassVar[str] = "region_secret"
    sends: ClassVar[tuple[str, ...]] = ("secretsmanager:PutSecretValue",)
    spec: ClassVar[Json] = {"recovery": RECOVERY_OPTION, "database": DATABASE_OPTION}

    @property
    def target(self) -> str:
        return f"secret/{self.recovery['secret']}"

    def observe(self) -> Json:
        readings = self.take_sides()
        place = readings.need("replica")
        if not place["address"]:
            raise OpsError(f"{self.instance} has no endpoint.")
        source = self.clients.secret_value(self.recovery["source_secret"], stage=CURRENT)
        current = self.standing()
        # Kept beside the state: nothing of it may get into a diff.
        self._wanted = moved(source, f"{place['address']}:{place['port']}")
        same = current is not None and _account(current) == _account(source)
        context = readings.context()
        return {
            "points_to": place_of(current) if current else "",
            "account": "same" if same else "another",
            ALONE: not opening_second(context, self.params),
            "context": {**context, "wanted": f"{place['address']}:{place['port']}"},
        }

    def standing(self) -> Secret | None:
        """The value that the tasks would get now; None while it is the placeholder that bootstrap made."""
        try:
            return self.clients.secret_value(self.recovery["secret"], stage=CURRENT)
        except CallFailed as error:
            if error_code(error) != NO_VALUE:
                raise
            return None

    def wanted(self, before: Json) -> Json:
        return {"points_to": before["context"]["wanted"], "account": "same", ALONE: True}

    def refusals(self, before: Json) -> list[str]:
        return opening_second(before["context"], self.params)

    def apply(self, before: Json) -> None:
        run = str((self.params.get("incident") or {}).get("run") or "")
        self.clients.write("secretsmanager", "PutSecretValue").put_secret_value(
            SecretId=self.recovery["secret"],
            SecretString=self._wanted.reveal(),
            ClientRequestToken=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run}/{self.target}")),
        )

    def resources(self, before: Json) -> list[str]:
        return [self.clients.environment.secret_arn(self.recovery["secret"])]

    def inverse(self, before: Json) -> Json | str:
        return "Put the stage AWSCURRENT back to the version that is AWSPREVIOUS now."


def place_of(value: Secret) -> str:
    """Host and port of a URL."""
    return urlsplit(value.reveal()).netloc.rpartition("@")[2]


def moved(value: Secret, place: str) -> Secret:
    """The same URL with another host and port."""
    parts = urlsplit(value.reveal())
    account, at, _place = parts.netloc.rpartition("@")
    return Secret(urlunsplit(parts._replace(netloc=f"{account}{at}{place}")))


def _account(value: Secret) -> tuple[str, str]:
    parts = urlsplit(value.reveal())
    return parts.netloc.rpartition("@")[0], parts.path


ENTRY = change_entry(RegionSecret)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
