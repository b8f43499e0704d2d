# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the changes of a secret share. May change without notice.

"""A change of one secret in AWS Secrets Manager, named by the options ``store`` and ``entry``."""

from __future__ import annotations

from functools import partial

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_readings import describe, full_name, versions
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings


class SecretChange(Change):
    """A change of one secret. None of them makes a value part of a state, a diff or a sentence."""

    @property
    def entry(self) -> Json:
        found: Json = self.params["entry"]
        return found

    @property
    def store(self) -> Json:
        found: Json = self.params["store"]
        return found

    @property
    def full_name(self) -> str:
        return full_name(self.store, self.entry)

    @property
    def target(self) -> str:
        return f"secret/{self.full_name}"

    def resources(self, before: Json) -> list[str]:
        return [self.clients.environment.secret_arn(self.full_name)]

    def look(self) -> tuple[Json | None, Json]:
        """The secret and its versions; no versions where there is no secret."""
        readings = Readings()
        readings.take(secret=partial(describe, self.clients, self.full_name))
        found = readings.need("secret")
        if found is None or found["deleted"]:
            return found, {}
        readings.take(versions=partial(versions, self.clients, self.full_name))
        return found, readings.need("versions")

    def missing(self, secret: Json | None) -> list[str]:
        """Why nothing can be done with a secret that is not there."""
        if secret is None:
            return [f"{self.full_name} does not exist: make it first, with secrets_state=present."]
        if secret["deleted"]:
            return [f"{self.full_name} is scheduled for deletion: restore it, if it is needed."]
        return []
