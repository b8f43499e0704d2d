# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Clients for building an environment: its account may still be empty, and who builds is not who runs runbooks."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients, error_code_of
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused


class BuilderClients(Clients):
    """Clients of an environment that is being built, or taken down.

    The identity guard is the same, with two differences: the role is one that may build, and a fingerprint that is
    not there yet is no refusal. One that says another environment always is.
    """

    def _fingerprint_reasons(self, found: Any) -> list[str]:
        if error_code_of(found) == "ParameterNotFound":
            return []
        return super()._fingerprint_reasons(found)


@lru_cache(maxsize=1)
def builder_clients(environment: Environment) -> BuilderClients:
    """The clients of this process, so that the items of a loop prove once where they are and share their clients."""
    return BuilderClients(environment)


def builder_environment(params: Mapping[str, Any], role_pattern: str | None) -> Environment:
    """The environment as it is seen by who builds it; Refused names every fault of the inventory at once."""
    if not role_pattern:
        raise Refused("emr_builder_role_pattern is not set: it stands in inventories/common/all.yml.")
    return replace(Environment.from_params(params), role_pattern=role_pattern)


def surround(environment: Environment, environ: MutableMapping[str, str] | None = None) -> None:
    """Point what reads the process's environment, as the modules of amazon.aws do, at this environment."""
    environ = os.environ if environ is None else environ
    environ["AWS_REGION"] = environment.region
    # The name that botocore knows: modules whose option region is about something else leave it to that.
    environ["AWS_DEFAULT_REGION"] = environment.region
    if environment.sandbox:
        environ["AWS_ENDPOINT_URL"] = str(environment.endpoint_url)
        environ["AWS_SHARED_CREDENTIALS_FILE"] = str(environment.credentials_file)
        for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            environ.pop(name, None)
