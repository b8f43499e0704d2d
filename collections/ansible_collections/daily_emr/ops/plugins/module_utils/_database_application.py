# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the application sees of its database. May change without notice.

"""Observations of the tasks of the application, their pools, their secret and their mode. Pure."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import TaskProbe
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import parse_utc, plural, since

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._database_evidence import DatabaseEvidence

_CALL = "GET a chart and /readyz at each task"


def stuck(probe: TaskProbe) -> bool:
    """Content with its dependencies over connections of their own, and its requests hang or miss the database.

    A 500 is a fault of the application itself, whatever its pool does.
    """
    missing = probe.chart.status == HTTPStatus.SERVICE_UNAVAILABLE and "database" in str(probe.chart.body.get("error"))
    return probe.content and not probe.chart.ok and (missing or probe.chart.failure == "timeout")


def application(evidence: DatabaseEvidence) -> None:
    read = evidence.read

    def failing() -> tuple[bool | None, str]:
        probes = evidence.probes
        bad = [probe for probe in probes if not probe.chart.ok]
        if not probes:
            return None, "no task runs"
        return bool(bad), f"{len(bad)} of {plural(len(probes), 'task')} do not serve a chart"

    evidence.look(
        "application_failing",
        ("task_probes",),
        failing,
        expected="every task serves a chart",
        call="GET a chart at each task",
    )

    def refused() -> tuple[bool, str]:
        bad = [probe for probe in evidence.probes if probe.reason("database") == "auth"]
        return bool(bad), f"the database refuses the credentials of {plural(len(bad), 'task')}"

    evidence.look(
        "application_auth_failing",
        ("task_probes",),
        refused,
        expected="accepted credentials",
        call="GET /readyz at each task",
    )

    def pools() -> tuple[bool | None, str]:
        write = read("write")
        bad = [probe for probe in evidence.probes if stuck(probe)]
        seen = f"{plural(len(bad), 'task')} find the database ready, and their requests do not get through to it"
        if not bad:
            return False, seen
        status = evidence.status("write_failing")
        return (
            None if status == "unknown" else status == "ok"
        ), f"{seen}; a new session: write {write.trouble or 'ok'}"

    evidence.look(
        "pools_stuck", ("task_probes", "write"), pools, expected="tasks whose pools follow the database", call=_CALL
    )

    def rotated() -> tuple[bool, str]:
        """Lately, or after tasks began that are refused now."""
        changed = read("secret")
        lately = since(changed, evidence.at) < timedelta(minutes=evidence.thresholds["release_recent_minutes"])
        probes = evidence.readings.values.get("task_probes", {}).values()
        before = [
            probe
            for probe in probes
            if probe.reason("database") == "auth" and parse_utc(probe.started_at) < parse_utc(changed)
        ]
        evidence.subjects["rotated_secret"] = evidence.database["secret"] if lately or before else None
        return lately or bool(before), f"changed {changed}, {plural(len(before), 'refused task')} older than that"

    evidence.look(
        "secret_rotated",
        ("secret",),
        rotated,
        expected="the secret of the application did not change lately",
        call="secretsmanager:ListSecretVersionIds",
    )
    evidence.subjects["read_only_flag"] = evidence.database["read_only_flag"]
    evidence.look(
        "read_only_mode",
        ("read_only",),
        lambda: (
            read("read_only")["on"],
            f"{'on' if read('read_only')['on'] else 'off'} since {read('read_only')['changed_at']}",
        ),
        expected="the application may write",
        call="LaunchDarkly:GetFeatureFlags",
    )

    def after_failover() -> tuple[bool, str]:
        """Whether RDS has failed over since the flag was changed: then the mode may be left from that failover."""
        changed = parse_utc(read("read_only")["changed_at"])
        later = [event["at"] for event in read("events")["failovers"] if parse_utc(event["at"]) >= changed]
        seen = f"failover at {later[-1]}" if later else "no failover since the flag was changed"
        return read("read_only")["on"] and bool(later), seen

    evidence.look(
        "failover_since_read_only",
        ("read_only", "events"),
        after_failover,
        expected="no read-only mode that is older than a failover",
        call="LaunchDarkly:GetFeatureFlags, rds:DescribeEvents",
    )
