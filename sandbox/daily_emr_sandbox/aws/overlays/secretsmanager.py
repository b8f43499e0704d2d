"""Secrets Manager: staging labels that decide what is read, and dates that say when a value was really written."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from moto.secretsmanager.models import SecretsManagerBackend

from ..errors import AwsError

if TYPE_CHECKING:
    from ..server import AwsServer

CURRENT = "AWSCURRENT"

_add_secret = SecretsManagerBackend._add_secret
_update_secret_version_stage = SecretsManagerBackend.update_secret_version_stage


def _add_secret_dated(self: Any, secret_id: str, *args: Any, **more: Any) -> Any:
    """moto dates in whole seconds, which would make a value seem older than a task that started before it."""
    before = set(self.secrets[secret_id].versions) if secret_id in self.secrets else set()
    secret, is_new = _add_secret(self, secret_id, *args, **more)
    moment = time.time()
    for name in set(secret.versions) - before:
        secret.versions[name]["createdate"] = moment
    secret.last_changed_date = moment
    if is_new:
        secret.created_date = moment
    return secret, is_new


def update_secret_version_stage(
    self: Any, secret_id: str, version_stage: str, remove_from_version_id: str | None, move_to_version_id: str | None
) -> tuple[str, str]:
    """Move a label. Everything is checked before anything moves: moto takes the label away first."""
    secret = self.secrets.get(secret_id)
    if secret is None:
        raise AwsError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
    holder = next((name for name, found in secret.versions.items() if version_stage in found["version_stages"]), None)
    for name in (remove_from_version_id, move_to_version_id):
        if name and name not in secret.versions:
            raise AwsError("ResourceNotFoundException", f"Secrets Manager can't find the secret version {name}.")
    if holder and holder not in (remove_from_version_id, move_to_version_id):
        raise AwsError(
            "InvalidParameterException",
            f"The parameter RemoveFromVersionId can't be empty. Staging label {version_stage} is currently attached "
            f"to version {holder}, so you must explicitly reference that version in RemoveFromVersionId.",
        )
    if version_stage == CURRENT and not move_to_version_id:
        raise AwsError("InvalidParameterException", "You can't remove the staging label AWSCURRENT: move it.")
    if not holder or holder != move_to_version_id:
        _update_secret_version_stage(self, secret_id, version_stage, remove_from_version_id, move_to_version_id)
        secret.last_changed_date = time.time()
    if version_stage == CURRENT:
        secret.set_default_version_id(move_to_version_id)
    return secret.arn, secret.name


def list_secret_version_ids(self: Any) -> str:
    """On the response class, because the backend does not get IncludeDeprecated."""
    secret_id = self._get_param("SecretId")
    secret = self.backend.secrets.get(secret_id)
    if secret is None:
        raise AwsError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
    everything = bool(self._get_param("IncludeDeprecated"))
    versions = [
        {"VersionId": name, "VersionStages": found["version_stages"], "CreatedDate": found["createdate"]}
        for name, found in secret.versions.items()
        if everything or found["version_stages"]
    ]
    return json.dumps({"ARN": secret.arn, "Name": secret.name, "Versions": versions})


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's Secrets Manager. Harmless when done twice."""
    from moto.secretsmanager.responses import SecretsManagerResponse

    SecretsManagerBackend._add_secret = _add_secret_dated
    SecretsManagerBackend.update_secret_version_stage = update_secret_version_stage
    SecretsManagerResponse.list_secret_version_ids = list_secret_version_ids
