# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The environment a run works in, as its inventory describes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused

SANDBOX = "sandbox"
UNSET = "UNSET"

ENVIRONMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "account_id": {"type": "str", "required": True},
    "region": {"type": "str", "required": True},
    "role_pattern": {"type": "str", "required": True},
    "table": {"type": "str", "required": True},
    "fingerprint_parameter": {"type": "str", "required": True},
    "audit_region": {"type": "str"},
    "domain": {"type": "str"},
    "endpoint_url": {"type": "str"},
    "credentials_file": {"type": "path"},
    "time_factor": {"type": "float", "default": 1.0},
}


@dataclass(frozen=True)
class Environment:
    """One environment: where it is, who may act in it, and where its journal and leases are kept."""

    name: str
    account_id: str
    region: str
    role_pattern: str
    table: str
    fingerprint_parameter: str
    endpoint_url: str | None = None
    credentials_file: str | None = None
    time_factor: float = 1.0
    # Where the bucket of the audit is, where that is another region than this one.
    audit_region: str = ""

    @property
    def audit_bucket(self) -> str:
        """The bucket with object lock that bootstrap makes for the audit, by the convention of names."""
        return f"daily-emr-{self.name}-audit-{self.account_id}"

    @property
    def sandbox(self) -> bool:
        return self.name == SANDBOX

    def seconds(self, aws_seconds: float) -> float:
        """A duration on this environment's clock; every other duration in the code is AWS sized."""
        return aws_seconds / self.time_factor

    def arn(self, service: str, what: str) -> str:
        """The ARN of something of this account in this region. service: as in ARNs, such as elasticloadbalancing."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{what}"

    def secret_arn(self, name: str) -> str:
        """The ARN of a secret, with one sign for each of the six letters that AWS adds to its name."""
        return name if name.startswith("arn:") else self.arn("secretsmanager", f"secret:{name}-??????")

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Environment:
        """Read and check the inventory's dictionary; Refused names every fault at once."""
        values = {key: params.get(key) for key in ENVIRONMENT_SPEC}
        name = str(values["name"] or UNSET)
        unset = [key for key, option in ENVIRONMENT_SPEC.items() if option.get("required") and is_unset(values[key])]
        # Addresses are made of it: the owner is asked for it by its own name, before they are asked for.
        unset += ["domain"] if values["domain"] == UNSET else []
        if unset:
            raise Refused(
                *(
                    f"{key} of environment {name} is not set: "
                    f"put it into inventories/{name}/group_vars/all/environment.yml."
                    for key in unset
                )
            )
        reasons = list(_faults(values))
        if reasons:
            raise Refused(*reasons)
        return cls(
            **{key: str(values[key]) for key, option in ENVIRONMENT_SPEC.items() if option.get("required")},
            endpoint_url=values["endpoint_url"] or None,
            credentials_file=values["credentials_file"] or None,
            time_factor=float(values["time_factor"] or 1.0),
            audit_region=str(values["audit_region"] or ""),
        )


def is_unset(value: object) -> bool:
    """Whether the owner of the environment still has to fill this value in."""
    return value is None or str(value).strip() in ("", UNSET)


def _faults(values: Mapping[str, Any]) -> list[str]:
    name = values["name"]
    faults = []
    if not re.fullmatch(r"\d{12}", str(values["account_id"])):
        faults.append(f"account_id of environment {name} is not a number of 12 digits: quote it in the inventory.")
    faults += [
        f"{key} of environment {name} is not the name of an AWS region, such as af-south-1."
        for key in ("region", "audit_region")
        if (key == "region" or values[key]) and not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", str(values[key]))
    ]
    try:
        re.compile(str(values["role_pattern"]))
    except re.error:
        faults.append(f"role_pattern of environment {name} is not a regular expression: repair it in the inventory.")
    if float(values["time_factor"] or 1.0) < 1.0:
        faults.append(f"time_factor of environment {name} is below 1: set it to 1, or higher in the sandbox.")
    if name != SANDBOX:
        faults += [
            f"{key} is set in environment {name}, but only the sandbox may have one: remove it from the inventory."
            for key in ("endpoint_url", "credentials_file")
            if values[key]
        ]
        if float(values["time_factor"] or 1.0) != 1.0:
            faults.append(f"time_factor of environment {name} is not 1: only the sandbox may run faster than AWS.")
    else:
        faults += [
            f"{key} of the sandbox is not set: start a sandbox with `runbook sandbox up`."
            for key in ("endpoint_url", "credentials_file")
            if not values[key]
        ]
    return faults
