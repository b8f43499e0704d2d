# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of what the runbooks need. May change without notice.

"""What the runbooks themselves stand on."""

from __future__ import annotations

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Look, Registry, Seen, seen

AREA = Registry("runbooks")
check = AREA.check


@check(
    "table",
    "Table of leases and journal",
    "the table is ACTIVE, protected from deletion and restorable to a point in time",
    calls=("dynamodb:DescribeTable", "dynamodb:DescribeContinuousBackups"),
)
def table(look: Look) -> Seen:
    name = look.names["runbooks_table"]
    found = look.read("dynamodb:DescribeTable", TableName=name)["Table"]
    backups = look.read("dynamodb:DescribeContinuousBackups", TableName=name)["ContinuousBackupsDescription"]
    point_in_time = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    protected = found.get("DeletionProtectionEnabled", False)
    return seen(
        found["TableStatus"] == "ACTIVE" and protected and point_in_time == "ENABLED",
        status=found["TableStatus"],
        protected=protected,
        point_in_time=point_in_time,
    )


@check(
    "roles",
    "Roles of the runbooks",
    "the roles to diagnose and to act exist, with sessions of at most {session_minutes} minutes",
    calls=("iam:GetRole",),
)
def roles(look: Look) -> Seen:
    found = {}
    for role in ("diagnose", "act"):
        name = f"{look.names['prefix']}-runbook-{role}"
        answer = look.read_or_none("iam:GetRole", "NoSuchEntity", RoleName=name)
        found[name] = answer["Role"]["MaxSessionDuration"] // 60 if answer else 0
    return seen(all(0 < session <= look.wanted["session_minutes"] for session in found.values()), session_minutes=found)
