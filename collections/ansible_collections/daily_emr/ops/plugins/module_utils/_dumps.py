# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what a dump is made of. May change without notice.

"""What a dump is: a folder of objects that a manifest ends. Everything here is pure.

2026/11/30/013000Z/0001.dump ... NNNN.dump     the dump, in parts: one PutObject and one SHA-256 each
2026/11/30/013000Z/globals.sql                 roles without their passwords
2026/11/30/013000Z/manifest.json               written last: a dump without a manifest is no dump
restore_checks/2026/11/30/021500Z.json         what a restore check found
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused

Json = dict[str, Any]

SCHEMA = 1
STAMP = "%Y/%m/%d/%H%M%SZ"
NAME = re.compile(r"\d{4}/\d{2}/\d{2}/\d{6}Z")
MANIFEST, GLOBALS = "manifest.json", "globals.sql"
CHECKS = "restore_checks"
SHA256 = re.compile(r"[0-9a-f]{64}")
# The last line of what pg_dumpall writes: a truncated file lacks it.
GLOBALS_END = b"-- PostgreSQL database cluster dump complete"

# The option `dumps` of every module of dumps.
DUMPS_OPTION: Json = {
    "type": "dict",
    "required": True,
    "options": {
        "component": {"type": "str", "required": True},
        "bucket": {"type": "str", "required": True},
        "retention_days": {"type": "int", "required": True},
        "encryption": {"type": "str", "choices": ["aws:kms", "AES256"], "default": "aws:kms"},
        "replicated": {"type": "bool", "default": True},
    },
}


class BadDump(OpsError):
    """What was looked at is no good dump. The sentence says what is wrong with it."""


@dataclass(frozen=True)
class Part:
    """A piece of a dump: where it is, and what it must be."""

    key: str
    bytes: int
    sha256: str
    version_id: str = ""

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Part:
        return cls(str(value["key"]), int(value["bytes"]), str(value["sha256"]), str(value.get("version_id") or ""))

    def as_json(self) -> Json:
        return {"key": self.key, "bytes": self.bytes, "sha256": self.sha256, "version_id": self.version_id}


def name_of(moment: datetime) -> str:
    """The name of a dump that was begun at a moment: it sorts by time."""
    return moment.astimezone(UTC).strftime(STAMP)


def moment_of(name: str) -> datetime:
    """When a dump of this name was begun. Raises Refused for what is no name of a dump."""
    try:
        if NAME.fullmatch(name):
            return datetime.strptime(name, STAMP).replace(tzinfo=UTC)
    except ValueError:
        pass
    raise Refused("The name of a dump must look like 2026/11/30/013000Z.")


def retain_until(name: str, days: int) -> datetime:
    """Until when the objects of a dump are locked. From its name, so that a second run means the same moment."""
    return moment_of(name) + timedelta(days=days)


def part_key(name: str, number: int) -> str:
    return f"{name}/{number:04d}.dump"


def globals_key(name: str) -> str:
    return f"{name}/{GLOBALS}"


def manifest_key(name: str) -> str:
    return f"{name}/{MANIFEST}"


def check_key(moment: datetime) -> str:
    return f"{CHECKS}/{name_of(moment)}.json"


def days_back(now: datetime, days: int, folder: str = "") -> list[str]:
    """Prefixes of the keys of the last days, the newest first."""
    return [f"{folder}{(now - timedelta(days=number)).strftime('%Y/%m/%d')}/" for number in range(days + 1)]


def as_bytes(value: Mapping[str, Any]) -> bytes:
    """A document as it is stored: readable, and the same for the same content."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def base64_of(sha256: str) -> str:
    """A SHA-256 as S3 writes it."""
    return base64.b64encode(bytes.fromhex(sha256)).decode()


def sha256_of(text: str | None) -> str:
    """A SHA-256 as everybody else writes it; empty when S3 has none, or one of several parts."""
    try:
        found = base64.b64decode(text or "", validate=True).hex()
    except ValueError:
        return ""
    return found if SHA256.fullmatch(found) else ""


def read_manifest(content: bytes, name: str) -> Json:
    """A manifest, checked. Raises BadDump for one that does not say everything, or not about this dump."""
    try:
        value = json.loads(content)
        faults = list(_faults(value, name))
    except (ValueError, KeyError, TypeError, AttributeError):
        faults = ["cannot be understood"]
        value = {}
    if faults:
        raise BadDump(f"The manifest of dump {name} {'; it '.join(faults)}.")
    made: Json = value
    return made


def parts_of(manifest: Mapping[str, Any]) -> list[Part]:
    """All objects that a manifest names, the dump's parts first."""
    return [*(Part.of(part) for part in manifest["parts"]), Part.of(manifest["globals"])]


def is_count(value: object) -> bool:
    """Whether a value of a document counts something; JSON's true is no number."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _faults(value: Json, name: str) -> Iterator[str]:
    if value["schema"] != SCHEMA or value["kind"] != "dump":
        yield f"is not of version {SCHEMA}"
        return
    *parts, roles = parts_of(value)
    numbered = [part_key(name, number) for number in range(1, len(parts) + 1)]
    moments = [datetime.fromisoformat(value[key]) for key in ("taken_at", "current_to")]
    for sound, fault in (
        (value["dump"] == name, "belongs to another dump"),
        (parts and [part.key for part in parts] == numbered, "does not name its parts in order"),
        (roles.key == globals_key(name), "does not name its roles"),
        (all(SHA256.fullmatch(part.sha256) for part in (*parts, roles)), "lacks the checksum of a part"),
        (all(part.version_id for part in (*parts, roles)), "lacks the version of a part"),
        (SHA256.fullmatch(value["sha256"]), "lacks the checksum of the whole"),
        (value["bytes"] == sum(part.bytes for part in parts), "has a size that does not fit its parts"),
        (value["rows"] and all(is_count(count) for count in value["rows"].values()), "has no row counts"),
        (value["schema_head"], "has no head of the migrations"),
        (all(moment.tzinfo for moment in moments), "has a time without a time zone"),
        (value["lsn"] and value["postgres"]["server"], "has no LSN or no version of PostgreSQL"),
        (all(is_count(value[key]) for key in ("foreign_keys", "indexes")), "does not count foreign keys or indexes"),
    ):
        if not sound:
            yield fault


def check_globals(content: bytes) -> None:
    """Raise BadDump unless the roles were written to the end, and without a password."""
    if GLOBALS_END not in content[-400:]:
        raise BadDump("The file of roles is truncated: its last line is missing.")
    if re.search(rb"\bPASSWORD\b", content, re.IGNORECASE):
        raise BadDump("The file of roles names a password, so it is not kept: use pg_dumpall --no-role-passwords.")


def roles_of(content: bytes) -> list[str]:
    """The roles that a file of roles makes, as they are quoted there."""
    return re.findall(r"(?m)^CREATE ROLE ((?:\"(?:[^\"]|\"\")+\"|[a-z_][a-z0-9_$]*));$", content.decode())
