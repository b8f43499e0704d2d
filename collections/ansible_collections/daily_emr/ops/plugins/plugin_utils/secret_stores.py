# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where secrets are kept: one face for AWS Secrets Manager, HashiCorp Vault and files of SOPS.

AWS is asked through our client factory, which proves account, role, region and fingerprint first. Vault and SOPS are
asked through community.hashi_vault (its lookup) and community.sops (what its lookup itself calls). The words of a
backend never get into a sentence, because they can quote what they are about: what is kept of an error is its kind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import yaml
from ansible.plugins.loader import lookup_loader
from ansible_collections.daily_emr.ops.plugins.module_utils._calls import error_code
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients, Secret
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, CallUnknown, OpsError, Refused

try:
    from ansible_collections.community.sops.plugins.module_utils.sops import Sops, SopsError
except ImportError:  # a controller without that collection; SopsStore says so
    Sops = SopsError = None

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

AWS, VAULT, SOPS = "aws_secrets_manager", "hashi_vault", "sops"
NAME = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
CURRENT = "AWSCURRENT"

# What the inventory says in emr_secrets. `backend` decides which of the rest is needed.
SETTINGS: Json = {
    "backend": {"type": "str", "choices": [AWS, VAULT, SOPS], "default": AWS},
    # HashiCorp Vault: a KV engine of version 2.
    "url": {"type": "str"},
    "mount": {"type": "str", "default": "secret"},
    "auth_method": {"type": "str", "choices": ["token", "approle", "aws_iam"], "default": "aws_iam"},
    # Names of the environment variables that hold what the log-in needs; the inventory never holds them.
    "token_variable": {"type": "str", "default": "VAULT_TOKEN", "no_log": False},
    "role_id": {"type": "str"},
    "secret_id_variable": {"type": "str", "default": "VAULT_SECRET_ID", "no_log": False},
    "ca_file": {"type": "path"},
    # SOPS: one file of flat YAML, and the age identities of whoever runs this.
    "file": {"type": "path"},
    "age_identities": {"type": "path"},
}
TIMEOUT_S = 10


@dataclass(frozen=True)
class Held:
    """One value and what is known of it. made_at: when this version was written, ISO 8601, where the store knows."""

    secret: Secret
    version: str = ""
    made_at: str = ""


class Store(Protocol):
    """One backend. Every error is an OpsError of one sentence."""

    where: str

    def held(self, name: str, stage: str = CURRENT) -> Held:
        """The value of a key."""


def open_store(settings: Mapping[str, Any], environment: Environment, prefix: str) -> Store:
    """The store that the inventory names. Raises Refused when its settings are not complete."""
    backend = settings["backend"]
    if backend == VAULT:
        return VaultStore(settings, environment, prefix)
    if backend == SOPS:
        return SopsStore(settings, environment)
    return AwsStore(environment, prefix)


class AwsStore:
    """AWS Secrets Manager, by the client factory."""

    where = "AWS Secrets Manager"
    _sentences: ClassVar[dict[str, str]] = {
        "ResourceNotFoundException": "{name} is not in {where} of {environment}, or has no value {stage} yet: "
        "put one in, see playbooks/secrets.yml.",
        "AccessDeniedException": "This role may not read {name} in {where} of {environment}: "
        "ask for secretsmanager:GetSecretValue on it, and kms:Decrypt on its key.",
        "DecryptionFailure": "{name} in {where} of {environment} cannot be decrypted: look at its KMS key.",
        "InvalidRequestException": "{name} in {where} of {environment} is scheduled for deletion: restore it.",
    }

    def __init__(self, environment: Environment, prefix: str) -> None:
        self.clients, self._prefix = Clients(environment), prefix

    def held(self, name: str, stage: str = CURRENT) -> Held:
        full = f"{self._prefix}/{name}"
        try:
            return Held(self.clients.secret_value(full, stage=stage))
        except Refused:
            raise
        except OpsError as error:
            known = self._sentences.get(error_code(error))
            about = {"name": full, "stage": stage, "where": self.where, "environment": self.clients.environment.name}
            if known:
                raise CallFailed(known.format(**about)) from error
            raise type(error)(f"{full} was not read: {error.sentence}") from error


class VaultStore:
    """HashiCorp Vault, by the lookup vault_kv2_get. A key is a secret with the field `value`."""

    where = "Vault"
    FIELD = "value"

    def __init__(self, settings: Mapping[str, Any], environment: Environment, prefix: str) -> None:
        self._settings, self._prefix, self._environment = settings, prefix, environment
        url = str(settings["url"] or "")
        if not url.startswith("https://") and not (environment.sandbox and url.startswith("http://127.")):
            raise Refused(f"emr_secrets.url of environment {environment.name} is not an https address: correct it.")

    def held(self, name: str, stage: str = CURRENT) -> Held:
        if stage != CURRENT:
            raise Refused("Vault has no stages, only versions: the newest one is read.")
        full = f"{self._prefix}/{name}"
        with self._speaking(full):
            lookup = lookup_loader.get("community.hashi_vault.vault_kv2_get")
            if lookup is None:
                raise Refused("community.hashi_vault is not installed: see collections/requirements.yml.")
            answer = lookup.run([full], variables={}, **self._options())[0]
        value = answer["secret"].get(self.FIELD)
        if not isinstance(value, str):
            raise CallFailed(f"{full} in {self.where} has no text in its field {self.FIELD}: put one in.")
        about = answer["metadata"]
        return Held(Secret(value), str(about.get("version", "")), str(about.get("created_time", "")))

    def _options(self) -> Json:
        settings = self._settings
        options: Json = {
            "url": settings["url"],
            "engine_mount_point": settings["mount"],
            "auth_method": settings["auth_method"],
            "timeout": TIMEOUT_S,
            "validate_certs": True,
            "token_validate": False,
        }
        if settings.get("ca_file"):
            options["ca_cert"] = settings["ca_file"]
        if settings["auth_method"] == "token":
            options["token"] = _from_environment(settings["token_variable"])
        elif settings["auth_method"] == "approle":
            options["role_id"] = settings["role_id"]
            options["secret_id"] = _from_environment(settings["secret_id_variable"])
        else:
            options["role_id"] = settings["role_id"]
            options["region"] = self._environment.region
        return options

    @contextmanager
    def _speaking(self, name: str) -> Iterator[None]:
        """Turn what the lookup, hvac or requests raise into one sentence, by its kind alone."""
        try:
            yield
        except OpsError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, its words stay here
            kinds = {type(cause).__name__ for cause in _causes(error)}
            where = f"{self.where} at {self._settings['url']}"
            raise _vault_error(kinds, name, where) from None


def _vault_error(kinds: set[str], name: str, where: str) -> OpsError:
    if "InvalidPath" in kinds:
        return CallFailed(f"{name} is not in {where}, or its newest version is deleted: put one in.")
    if kinds & {"Forbidden", "Unauthorized"}:
        return CallFailed(f"This log-in may not read {name} in {where}: look at its policy and whether it has expired.")
    if "VaultDown" in kinds:
        return CallFailed(f"{where} is sealed or in maintenance, so {name} was not read: unseal it and run again.")
    if "VaultNotInitialized" in kinds:
        return CallFailed(f"{where} is not initialised, so {name} was not read: look whether the address is right.")
    if "SSLError" in kinds:
        return CallFailed(
            f"{where} has a certificate that is not trusted, so {name} was not read: set emr_secrets.ca_file."
        )
    if kinds & {"ConnectionError", "ConnectTimeout", "ReadTimeout", "MaxRetryError", "NewConnectionError"}:
        return CallFailed(f"{where} cannot be reached, so {name} was not read: look at the network and the address.")
    if kinds & {"ModuleNotFoundError", "ImportError", "HVACMissingError"}:
        return Refused("hvac is not installed in the Python that runs Ansible: install the project with [vault].")
    if "BadGateway" in kinds or "InternalServerError" in kinds or "RateLimitExceeded" in kinds:
        return CallUnknown(f"{where} is in trouble ({', '.join(sorted(kinds & _TROUBLED))}), so {name} was not read.")
    return CallUnknown(f"{where} gave no usable answer for {name} ({', '.join(sorted(kinds))}).")


_TROUBLED = {"BadGateway", "InternalServerError", "RateLimitExceeded"}


class SopsStore:
    """A file of SOPS in the repository, decrypted by sops with the age identities at hand."""

    where = "SOPS"

    def __init__(self, settings: Mapping[str, Any], environment: Environment) -> None:
        if not settings.get("file"):
            raise Refused(f"emr_secrets.file of environment {environment.name} is not set: name the file of SOPS.")
        self._file, self._identities = Path(settings["file"]), settings.get("age_identities")

    def metadata(self) -> Json:
        """What SOPS itself wrote into the file: recipients and date; none of it is secret."""
        try:
            found = yaml.safe_load(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CallFailed(f"There is no file {self._file}: make it with `sops edit`.") from None
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise CallFailed(f"The file {self._file} cannot be read ({type(error).__name__}).") from None
        about = found.get("sops") if isinstance(found, dict) else None
        if not isinstance(about, dict):
            raise CallFailed(
                f"{self._file} is not encrypted by SOPS: take it out of the repository and change its values."
            )
        return {**about, "names": sorted(name for name in found if name != "sops")}

    def held(self, name: str, stage: str = CURRENT) -> Held:
        if stage != CURRENT:
            raise Refused("A file of SOPS has no stages: the value in the file is read.")
        about = self.metadata()
        if name not in about["names"]:
            raise CallFailed(f"{name} is not in {self._file}: add it with `sops edit`.")
        options = {"age_keyfile": str(self._identities)} if self._identities else {}
        if Sops is None:
            raise Refused("community.sops is not installed: see collections/requirements.yml.")
        try:
            value = Sops.decrypt(str(self._file), rstrip=False, extract=f'["{name}"]', get_option_value=options.get)
        except (SopsError, OSError) as error:
            raise _sops_error(str(error), name, self._file) from None
        return Held(Secret(str(value)), "", str(about.get("lastmodified", "")))


def _sops_error(words: str, name: str, file: Path) -> OpsError:
    """By the exit code that community.sops names; the words of sops are dropped."""
    if "CouldNotRetrieveKey" in words or "NoEncryptionKeyFound" in words:
        return CallFailed(
            f"None of the age identities at hand opens {file}, so {name} was not read: "
            "set emr_secrets.age_identities, or ask to be made a recipient."
        )
    if "MacMismatch" in words or "MacNotFound" in words:
        return CallFailed(f"{file} was changed without SOPS, so {name} was not read: restore it from the repository.")
    if "ErrorDecryptingTree" in words or "ErrorDecryptingMac" in words:
        return CallFailed(f"{file} is damaged, so {name} was not read: restore it from the repository.")
    if "executable" in words or "No such file" in words:
        return Refused("sops is not installed where Ansible runs: install it, or set SOPS_BINARY.")
    return CallUnknown(f"sops could not read {name} in {file}: run `sops decrypt` on it by hand.")


def _from_environment(variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise Refused(f"The environment variable {variable} is not set: it holds the log-in for Vault.")
    return value


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        inner = getattr(seen, "orig_exc", None) or seen.__cause__ or seen.__context__
        seen = inner if inner is not seen else None
