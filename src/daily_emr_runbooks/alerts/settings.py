"""What an operator decides about the receiver of alerts."""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daily_emr_runbooks.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = re.compile(r"[!-~]{16,256}", re.ASCII)
SECRETS = {
    "alertmanager": ("alertmanager_token",),
    "pagerduty": ("pagerduty_token", "pagerduty_secret"),
    "cloudwatch": ("cloudwatch_token",),
}
"""The files that a source needs; without any of them there is no such source."""


@dataclass(frozen=True)
class Settings:
    """Where the receiver listens and whom it believes. Secrets are in files: what is in the environment of a process
    reaches everything that it starts."""

    environment: str
    host: str
    port: int
    topic: str
    """ARN of the topic of SNS that CloudWatch's alarms come through."""
    secrets: dict[str, str]
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """From the options of the event source. Raises CommandError with what is wrong and what to do."""
        host, port = str(options.get("host") or "127.0.0.1"), int(options.get("port") or 0)
        certificate, key = options.get("certfile"), options.get("keyfile")
        tls = None
        if certificate and key:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(certificate, key)
        elif not _is_loopback(host):
            raise CommandError(
                f"Alerts would be received on {host} without TLS, and with them the tokens: give certfile and keyfile, "
                "or listen on 127.0.0.1 behind a proxy that has them."
            )
        secrets = _secrets(Path(str(options.get("secrets") or "")))
        topic = str(options.get("topic") or "")
        if ("cloudwatch_token" in secrets) != bool(topic):
            raise CommandError("Alarms of CloudWatch need both the file cloudwatch_token and the ARN of the topic.")
        return cls(str(options.get("environment") or ""), host, port, topic, secrets, tls)

    def has(self, source: str) -> bool:
        return set(SECRETS[source]) <= set(self.secrets)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _secrets(folder: Path) -> dict[str, str]:
    names = [name for names in SECRETS.values() for name in names]
    found: dict[str, str] = {}
    for path in (folder / name for name in names if (folder / name).is_file()):
        if path.stat().st_mode & 0o077:
            raise CommandError(f"{path} can be read by others: chmod 600 {path}.")
        found[path.name] = path.read_text(encoding="utf-8").strip()
        if not SECRET.fullmatch(found[path.name]):
            raise CommandError(f"{path} must hold one secret of 16 to 256 printable characters, without spaces.")
    for source, needed in SECRETS.items():
        if 0 < len(set(needed) & set(found)) < len(needed):
            raise CommandError(f"{source} needs the files {' and '.join(needed)} in {folder}: write the missing one.")
    if not found:
        raise CommandError(
            f"There is no token in {folder}, so nobody would be believed: docs/controllers.md says which."
        )
    return found
