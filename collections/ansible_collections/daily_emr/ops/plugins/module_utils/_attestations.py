# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what people sign. May change without notice.

"""Attestations and waivers: YAML files that end with the SSH signature of everything before it.

The fields are read from the signed part alone, so nothing that was added after the signature counts. A role belongs to
a key in the file of allowed signers (`amina@example.org,role:ciso ssh-ed25519 …`), never to what a document says.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError

try:
    import yaml
except ImportError:  # only where modules are imported without PyYAML, as ansible-test does; Ansible needs it anyway
    yaml = None  # type: ignore[assignment]

ATTESTATION, WAIVER = "attestation.readiness.daily-emr", "waiver.readiness.daily-emr"
"""Namespaces of signatures: what was signed as one of them, or for anything else, is never taken for the other."""

FIELDS = {
    ATTESTATION: ("control", "environment", "statement", "signer", "role", "date", "expires"),
    WAIVER: ("control", "environment", "reason", "signer", "role", "date", "expires"),
}
ARTIFACT = ("artifact", "artifact_sha256")
LONGEST_WAIVER_DAYS = 30
SECONDS = 20
MARK = "signature: |\n"
ARMOUR = re.compile(r"  -----BEGIN SSH SIGNATURE-----\n(  [A-Za-z0-9+/=]{1,76}\n)+  -----END SSH SIGNATURE-----\n*")
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,120}")


@dataclass(frozen=True)
class Document:
    """A file as it was found: what it says, and why it does not count, one sentence for each fault."""

    name: str
    values: Mapping[str, Any]
    faults: tuple[str, ...]

    def __getattr__(self, field: str) -> Any:
        if field.startswith("_"):
            raise AttributeError(field)
        return self.values.get(field, "")


@dataclass(frozen=True)
class Desk:
    """Where documents are judged: the folder that they lie in, the environment they must be for, and the day."""

    folder: Path
    environment: str
    today: date

    def attestations(self) -> list[Document]:
        return [self.judge(path, ATTESTATION) for path in sorted((self.folder / "attestations").glob("*.yml"))]

    def waivers(self) -> list[Document]:
        return [self.judge(path, WAIVER) for path in sorted((self.folder / "waivers").glob("*.yml"))]

    def judge(self, path: Path, namespace: str) -> Document:
        """Read a file and find everything that is wrong with it. A value is never repeated before it is known good."""
        try:
            signed, signature = split(path.read_text(encoding="utf-8"))
            values = _fields(signed, namespace)
        except (OSError, UnicodeDecodeError):
            return Document(path.name, {}, (f"{path.name} cannot be read.",))
        except OpsError as error:
            return Document(path.name, {}, (f"{path.name} {error.sentence}",))
        faults = [
            *self._dates(values, namespace),
            *self._place(values),
            *self._signature(signed, signature, namespace, values),
            *self._artifact(values),
        ]
        return Document(path.name, values, tuple(f"{path.name} {fault}" for fault in faults))

    def _place(self, values: Mapping[str, Any]) -> Iterator[str]:
        if values["environment"] != self.environment:
            yield f"was made for another environment than {self.environment}: make one for it."

    def _dates(self, values: Mapping[str, Any], namespace: str) -> Iterator[str]:
        made, expires = values["date"], values["expires"]
        if made > self.today:
            yield f"is dated {made}, which is in the future: correct its date and sign it again."
        if expires < self.today:
            yield f"expired on {expires}: look again at what it says, and sign a new one."
        if namespace == WAIVER and (expires - made).days > LONGEST_WAIVER_DAYS:
            yield (
                f"waives for {(expires - made).days} days: a waiver holds for {LONGEST_WAIVER_DAYS} days at most, "
                "mend it meanwhile."
            )

    def _signature(self, signed: str, signature: str, namespace: str, values: Mapping[str, Any]) -> Iterator[str]:
        """In the order in which one fault hides the next; the first one is told."""
        signers = self.folder / "allowed_signers"
        if shutil.which("ssh-keygen") is None:
            yield "cannot be verified, because ssh-keygen is not installed: install OpenSSH."
            return
        if not signers.is_file():
            yield f"cannot be verified, because there is no file {signers.name} beside it: say in it who may sign."
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "signature"
            file.write_text(signature, encoding="ascii")
            about = ("-s", str(file))
            if not _ssh(signed, "check-novalidate", "-n", namespace, *about)[0]:
                yield "has a wrong signature: it was changed after it was signed, or signed as something else."
                return
            _known, answer = _ssh(signed, "find-principals", "-f", str(signers), *about)
            principals = set(answer.split())
            if not principals:
                yield "is signed with an unknown key, or one that is no longer valid: it is not in allowed_signers."
                return
            if values["signer"] not in principals:
                yield f"is not signed with a key of {values['signer']}: who signs must be who it names."
                return
            if f"role:{values['role']}" not in principals:
                yield f"is signed by {values['signer']}, who has not the role {values['role']}: ask who has it."
                return
            for identity in (values["signer"], f"role:{values['role']}"):
                if not _ssh(signed, "verify", "-f", str(signers), "-I", identity, "-n", namespace, *about)[0]:
                    yield f"is signed with a key that may not sign this: look at {signers.name}."
                    return

    def _artifact(self, values: Mapping[str, Any]) -> Iterator[str]:
        if "artifact" not in values:
            return
        folder = (self.folder / "artifacts").resolve()
        path = (folder / values["artifact"]).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            yield "names an artifact that is not in the folder artifacts: put it there."
        elif hashlib.sha256(path.read_bytes()).hexdigest() != values["artifact_sha256"]:
            yield "is about another version of its artifact: the digest does not match, so it has to be signed again."


def split(text: str) -> tuple[str, str]:
    """The signed part of a file and its signature. Raises OpsError when it is not exactly that."""
    signed, mark, rest = text.partition(f"\n{MARK}")
    if not mark:
        raise OpsError("is not signed: sign it with bin/attest.")
    if not ARMOUR.fullmatch(rest):
        raise OpsError("has something else than an SSH signature at its end: sign it again with bin/attest.")
    return f"{signed}\n", "\n".join(line[2:] for line in rest.splitlines() if line) + "\n"


def _fields(signed: str, namespace: str) -> dict[str, Any]:
    """The fields of a signed part, typed. Raises OpsError in words that follow the name of the file."""
    values = _mapping(signed)
    optional = ARTIFACT if namespace == ATTESTATION else ()
    # An artifact without its digest, or a digest without its artifact, proves nothing.
    needed = [*FIELDS[namespace], *(optional if set(optional) & set(values) else ())]
    if missing := [name for name in needed if name not in values]:
        raise OpsError(f"does not say its {missing[0]}: add it, and sign it again.")
    if set(values) - set(needed):
        raise OpsError("says more than it may: leave out what docs/readiness.md does not name, and sign it again.")
    for name in needed:
        if problem := _problem(name, values[name]):
            raise OpsError(f"has a {name} that is {problem}: correct it, and sign it again.")
    return values


def _mapping(text: str) -> dict[str, Any]:
    try:
        values, node = yaml.safe_load(text), yaml.compose(text)
    except yaml.YAMLError:
        values = node = None
    if not isinstance(values, dict) or not isinstance(node, yaml.MappingNode):
        raise OpsError("is not a YAML mapping: write it like the example in docs/readiness.md.")
    names = Counter(str(key.value) for key, _value in node.value)
    if repeated := [name for name, count in names.items() if count > 1]:
        raise OpsError(f"says {repeated[0]} twice: say it once, and sign it again.")
    return values


def _problem(name: str, value: Any) -> str:
    if name in ("date", "expires"):
        is_day = isinstance(value, date) and not isinstance(value, datetime)
        return "" if is_day else "not a day such as 2026-11-30"
    if not isinstance(value, str) or not value.strip():
        return "not a text"
    if name in ("control", "environment", "signer", "role") and not WORD.fullmatch(value):
        return "not a plain word"
    return ""


def _ssh(signed: str, what: str, *options: str) -> tuple[bool, str]:
    """Whether ssh-keygen says yes, and what it printed. Its own words never get into a report."""
    try:
        done = subprocess.run(  # noqa: S603  # no shell; every option is a plain word or a path of ours
            [str(shutil.which("ssh-keygen")), "-Y", what, *options],
            input=signed.encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False, ""
    return done.returncode == 0, done.stdout.decode(errors="replace")


def by_control(documents: Sequence[Document], control: str) -> list[Document]:
    return [item for item in documents if item.control == control]
