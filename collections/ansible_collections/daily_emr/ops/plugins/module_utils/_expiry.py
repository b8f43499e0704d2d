# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Credentials that end before a run may have ended are told before it begins, not in its middle."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused

# The longest that a runbook waits for one mitigation to settle, and its verification.
NEEDED = timedelta(minutes=20)
# With AWS_ACCESS_KEY_ID: what `aws configure export-credentials` says, and what botocore reads. Credentials
# of a profile, a container or a machine have an end too, but botocore asks for new ones by itself.
VARIABLE = "AWS_CREDENTIAL_EXPIRATION"


def refuse_expiring(environment: Environment, environ: Mapping[str, str]) -> None:
    """Raise Refused when the credentials in the variables end within NEEDED, by our clock: botocore goes by it too."""
    text = environ.get(VARIABLE, "")
    if environment.sandbox or not (text and environ.get("AWS_ACCESS_KEY_ID")):
        return
    try:
        ends = datetime.fromisoformat(text)
    except ValueError:
        ends = None
    if ends is None or ends.tzinfo is None:
        raise Refused(f"{VARIABLE} is no time with a zone, so nobody can say when the credentials end: log in again.")
    left = ends - datetime.now(UTC)
    if left < NEEDED:
        minutes = max(0, int(left.total_seconds() // 60))
        raise Refused(
            f"The AWS credentials end in {minutes} min, and a run may need {NEEDED.total_seconds() / 60:.0f}: log in "
            "again and run again."
        )
