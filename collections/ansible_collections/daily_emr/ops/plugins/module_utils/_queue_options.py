# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the options that the modules of a queue share. May change without notice.

"""``queue``, ``flow`` and ``thresholds``."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

BULLMQ, SQS = "bullmq", "sqs"

LOGIN_SPEC: Json = {
    "user": {"type": "str", "required": True},
    "method": {"type": "str", "choices": ["iam", "passfile"], "default": "iam"},
    "passfile": {"type": "path"},
    "tls": {"type": "bool", "default": True},
}

QUEUE_OPTION: Json = {
    "type": "dict",
    "required": True,
    "options": {
        "component": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "kind": {"type": "str", "choices": [BULLMQ, SQS], "required": True},
        "prefix": {"type": "str", "default": "bull"},
        "dead_letters": {"type": "str"},
        "replication_group": {"type": "str", "required": True},
        # The name of a secret, never its value.
        "secret": {"type": "str", "no_log": False},
        "login": {"type": "dict", "options": LOGIN_SPEC},
        "worker_cluster": {"type": "str", "required": True},
        "worker_service": {"type": "str", "required": True},
        "worker_expected": {"type": "int", "required": True},
        "worker_maximum": {"type": "int", "required": True},
        "pool_per_worker": {"type": "int", "required": True},
        "jobs_per_worker": {"type": "int", "default": 1},
        "database": {"type": "str", "required": True},
        "max_connections": {"type": "int"},
        "idempotent": {"type": "bool", "default": False},
        "oldest_s": {"type": "int", "required": True},
        "usual_job_ms": {"type": "int", "required": True},
        "provider_rate": {"type": "int", "default": 0},
        "usual_concurrency": {"type": "int", "default": 0},
        "usual_rate": {"type": "int", "default": 0},
        "downstream_runbook": {"type": "str", "default": ""},
        "circuit_flag": {"type": "str", "default": ""},
    },
}

FLAGS_OPTION: Json = {
    "type": "dict",
    "options": {"api_url": {"type": "str"}, "project": {"type": "str"}, "environment": {"type": "str"}},
}

# What a diagnosis has measured: a change says from it what it will lead to.
FLOW_OPTION: Json = {
    "type": "dict",
    "default": {},
    "options": {
        "depth": {"type": "int"},
        "arrivals": {"type": "float"},
        "completions": {"type": "float"},
        "workers": {"type": "int"},
        "connections": {"type": "int"},
        "usable_connections": {"type": "int"},
    },
}

# Of what sends jobs again.
RECONCILED_OPTION: Json = {"type": "bool", "default": False}

_THRESHOLDS = (
    "look_s",
    "drain_minutes",
    "deep_jobs",
    "failed_percent",
    "class_failures",
    "burst_percent",
    "slow_factor",
    "connections_percent",
    "database_cpu_percent",
    "memory_percent",
    "engine_cpu_percent",
    "failover_recent_minutes",
    "quiet_minutes",
)

QUEUE_HEALTH_SPEC: Json = {
    "queue": QUEUE_OPTION,
    "feature_flags": FLAGS_OPTION,
    "thresholds": {
        "type": "dict",
        "required": True,
        "options": {name: {"type": "int", "required": True} for name in _THRESHOLDS},
    },
}
