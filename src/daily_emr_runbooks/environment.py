"""The environment that a run may see: an allow-list, everything else stays outside.

Not passed on, on purpose: ANSIBLE_* settings that could switch guards off, PYTHON* settings that could load other
code, AWS_ENDPOINT_URL* that would redirect calls, and every secret that a shell may hold besides.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ALLOWED = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "TERM",
        "TZ",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "LAUNCHDARKLY_ACCESS_TOKEN",
        "GRAFANA_TOKEN",
        "PAGERDUTY_API_TOKEN",
        "PAGERDUTY_ROUTING_KEY",
        "SLACK_BOT_TOKEN",
        "STATUSPAGE_API_KEY",
        "TELEHEALTH_PRIMARY_PROBE_KEY",
        "TELEHEALTH_SECONDARY_PROBE_KEY",
    }
)
ALLOWED_PREFIXES = ("LC_", "AWS_CONTAINER_", "DAILY_EMR_")


def refuse_redirection(outside: Mapping[str, str], environment: str) -> None:
    """Refuse a shell that sends AWS calls elsewhere. The sandbox has an address of its own, so there it is moot."""
    if environment == "sandbox":
        return
    if redirecting := sorted(name for name in outside if name.startswith("AWS_ENDPOINT_URL")):
        raise CommandError(
            f"{redirecting[0]} is set, which sends AWS calls somewhere else than {environment}: "
            "unset it, then run again."
        )


def run_environment(outside: Mapping[str, str], *, project: Path, runs_dir: Path, sandbox: Path) -> dict[str, str]:
    """Everything that ansible-playbook will see, besides what ansible-runner itself adds."""
    inside = {name: value for name, value in outside.items() if name in ALLOWED or name.startswith(ALLOWED_PREFIXES)}
    inside["ANSIBLE_CONFIG"] = str(project / "ansible.cfg")
    inside["DAILY_EMR_RUNS"] = str(runs_dir)
    inside["DAILY_EMR_SANDBOX"] = str(sandbox)
    # The command may be called by its path, without its virtual environment being active.
    inside["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), inside.get("PATH", os.defpath)])
    # ansible-core refuses to start under a locale that is not UTF-8.
    inside.setdefault("LC_ALL", "C.UTF-8")
    return inside


@contextmanager
def replaced_environment(inside: Mapping[str, str]) -> Iterator[None]:
    """For the time of the block, let this process have exactly that environment (ansible-runner copies os.environ)."""
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(inside)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
