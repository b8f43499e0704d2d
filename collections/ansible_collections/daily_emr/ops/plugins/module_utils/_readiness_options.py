# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the options of the modules of launch readiness. May change without notice.

"""The options of the doc fragment daily_emr.ops.readiness."""

from __future__ import annotations

from typing import Any

NAMES_SPEC: dict[str, Any] = {
    "prefix": {"type": "str", "required": True},
    "copy_region": {"type": "str", "required": True},
    "domain": {"type": "str", "required": True},
    "organizational_unit": {"type": "str", "required": True},
    "state_bucket": {"type": "str", "required": True},
    "state_table": {"type": "str", "required": True},
    "runbooks_table": {"type": "str", "required": True},
    "vpc": {"type": "str", "required": True},
    "database": {"type": "str", "required": True},
    "sessions": {"type": "str", "required": True},
    "queues": {"type": "str", "required": True},
    "cluster": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "workers": {"type": "list", "elements": "str", "required": True},
    "load_balancer": {"type": "str", "required": True},
    "repository": {"type": "str", "required": True},
    "web_acl": {"type": "str", "required": True},
    "secrets": {"type": "list", "elements": "str", "required": True, "no_log": False},
    "trail": {"type": "str", "required": True},
    "delivery_stream": {"type": "str", "required": True},
    "log_group_prefixes": {"type": "list", "elements": "str", "required": True},
    "canary": {"type": "str", "required": True},
    "dumps_bucket": {"type": "str", "required": True},
    "restore_checks": {"type": "str", "required": True},
    "buckets": {"type": "list", "elements": "str", "required": True},
}
WANTED_SPEC: dict[str, Any] = {
    "allowed_regions": {"type": "list", "elements": "str", "required": True},
    "required_controls": {"type": "list", "elements": "str", "required": True},
    "min_zones": {"type": "int", "required": True},
    "endpoints": {"type": "list", "elements": "str", "required": True},
    "analysis_days": {"type": "int", "required": True},
    "payer_allow_list": {"type": "list", "elements": "str", "required": True},
    "database_class": {"type": "str", "required": True},
    "database_backup_days": {"type": "int", "required": True},
    "database_restorable_minutes": {"type": "int", "required": True},
    "database_minor_upgrades": {"type": "bool", "required": True},
    "database_growth_percent": {"type": "int", "required": True},
    "database_log_exports": {"type": "list", "elements": "str", "required": True},
    "certificate_days": {"type": "int", "required": True},
    "snapshot_days": {"type": "int", "required": True},
    "min_tasks": {"type": "int", "required": True},
    "min_healthy_percent": {"type": "int", "required": True},
    "canary_percent": {"type": "int", "required": True},
    "canary_minutes": {"type": "int", "required": True},
    "cpu_target": {"type": "int", "required": True},
    "stop_timeout_s": {"type": "int", "required": True},
    "kept_images": {"type": "int", "required": True},
    "secret_days": {"type": "int", "required": True, "no_log": False},
    "trail_minutes": {"type": "int", "required": True},
    "log_days": {"type": "int", "required": True},
    "required_alarms": {"type": "list", "elements": "str", "required": True},
    "canary_minutes_ago": {"type": "int", "required": True},
    "dump_hours": {"type": "int", "required": True},
    "dump_size_percent": {"type": "int", "required": True},
    "restore_check_days": {"type": "int", "required": True},
    "lock_days": {"type": "int", "required": True},
    "rehearsal_days": {"type": "int", "required": True},
    "rto_minutes": {"type": "int", "required": True},
    "rpo_minutes": {"type": "int", "required": True},
    "runbooks": {"type": "list", "elements": "str", "required": True},
    "session_minutes": {"type": "int", "required": True},
    "quota_times": {"type": "int", "required": True},
    "needed_vcpus": {"type": "int", "required": True},
    "needed_databases": {"type": "int", "required": True},
    "needed_addresses": {"type": "int", "required": True},
}
CHECKS_SPEC: dict[str, Any] = {
    "names": {"type": "dict", "required": True, "options": NAMES_SPEC},
    "wanted": {"type": "dict", "required": True, "options": WANTED_SPEC},
}

ATTESTATIONS_SPEC: dict[str, Any] = {
    "control": {"type": "str", "required": True},
    "title": {"type": "str", "required": True},
    "roles": {"type": "list", "elements": "str", "required": True},
    "days": {"type": "int", "required": True},
    "artifact": {"type": "bool", "required": True},
}
REPORT_SPEC: dict[str, Any] = {
    "evidence": {"type": "list", "elements": "dict", "required": True},
    "calls": {"type": "int", "required": True},
    "attestations": {"type": "list", "elements": "dict", "required": True, "options": ATTESTATIONS_SPEC},
    "waiver_role": {"type": "str", "required": True},
    "folder": {"type": "path"},
    "reports": {"type": "path"},
    "page": {"type": "path", "required": True},
}
