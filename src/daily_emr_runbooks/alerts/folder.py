"""The file of an alert: everything that is not a plain word travels in it, and it is read inside of the run as data."""

from __future__ import annotations

import hashlib
import json
import os
import re
from datetime import UTC
from typing import TYPE_CHECKING

from daily_emr_runbooks.errors import CommandError
from daily_emr_runbooks.text import clean

from .triggers import Left

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from .alert import Alert

FILE = "alert.json"
LONGEST = 500
PLAIN = re.compile(r"/[A-Za-z0-9._/-]{0,180}", re.ASCII)
"""The folder for records: with it the path of an alert is a plain word, which the filter plain_words lets through."""


def require_plain(runs_dir: Path) -> None:
    """Raise CommandError for a folder whose files no rule would ever hear of."""
    if not PLAIN.fullmatch(str(runs_dir)):
        raise CommandError(
            f"Alerts would lie in {str(runs_dir)!a}: set DAILY_EMR_RUNS to a short path of letters, digits and . _ / -."
        )


def incident_of(alert: Alert, component: str) -> str:
    """The incident that an alert opens. A copy of the alert has the same, however often it comes."""
    about = "\0".join((alert.source, alert.name, component, alert.reference))
    return f"INC-{alert.started_at:%Y%m%d-%H%M%S}-{hashlib.sha256(about.encode(errors='replace')).hexdigest()[:8]}"


def keep(alert: Alert, component: str, runs_dir: Path, now: datetime) -> Path:
    """Write an alert into the folder of its incident, for this user alone. One that is there already is left as it is.

    Raises Left for what a run would refuse, OSError.
    """
    from ansible_collections.daily_emr.ops.plugins.module_utils._alert import read_alert
    from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused

    path = runs_dir / incident_of(alert, component) / FILE
    about = {
        "source": alert.source,
        "name": alert.name,
        "component": component,
        "reference": alert.reference,
        "started_at": alert.started_at.isoformat(timespec="seconds"),
        "received_at": now.astimezone(UTC).isoformat(timespec="seconds"),
        "text": clean(alert.text, LONGEST),
    }
    text = json.dumps(about, indent=2)
    try:
        read_alert(text, component)
    except Refused as error:
        raise Left(f"{alert.name} of {alert.source} started nothing. {error.sentence}") from error
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            file.write(text)
        draft.replace(path)
    return path
