"""Policies of IAM, generated from the calls that modules declare: `clients.write(service, operation)` and the reads.

Nothing is executed: the sources of a module, and of what it imports from the collection, are read as syntax trees. A
write is found by its two words; a read by the service that a client is made for and the methods that are named.
What bootstrap's borrowed modules call was recorded in a run: roles/runbook_support/files/builder_calls.txt.
"""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name

COLLECTION = Path("collections/ansible_collections/daily_emr/ops/plugins")
USED = re.compile(r"daily_emr\.ops\.(\w+):")
IMPORTED = "ansible_collections.daily_emr.ops.plugins.module_utils."
READ = re.compile(r"(BatchGet|Describe|Get|Head|List|Lookup|Query|Scan|Search|Simulate|StartQuery)")
# Secrets are read by who needs one for a probe, by a statement of its own.
SECRET = "secretsmanager:GetSecretValue"  # noqa: S105  # the name of an action
PREFIXES = {
    "cloudwatch": "cloudwatch",
    "elbv2": "elasticloadbalancing",
    "opensearch": "es",
    "resourcegroupstaggingapi": "tag",
}
# Calls whose action has another name, or needs another one as well.
ACTIONS = {
    "s3:HeadBucket": ["s3:ListBucket"],
    "s3:ListBuckets": ["s3:ListAllMyBuckets"],
    "s3:ListObjectsV2": ["s3:ListBucket"],
    "s3:GetBucketEncryption": ["s3:GetEncryptionConfiguration"],
    "s3:PutBucketEncryption": ["s3:PutEncryptionConfiguration"],
    "s3:GetPublicAccessBlock": ["s3:GetBucketPublicAccessBlock"],
    "s3:PutPublicAccessBlock": ["s3:PutBucketPublicAccessBlock"],
    "s3:GetBucketReplication": ["s3:GetReplicationConfiguration"],
    "s3:PutBucketReplication": ["s3:PutReplicationConfiguration"],
    "s3:GetObjectLockConfiguration": ["s3:GetBucketObjectLockConfiguration"],
    "s3:PutObjectLockConfiguration": ["s3:PutBucketObjectLockConfiguration"],
    "s3:GetBucketAccelerateConfiguration": ["s3:GetAccelerateConfiguration"],
    "s3:ListBucketInventoryConfigurations": ["s3:GetInventoryConfiguration"],
    "s3:DeleteBucketEncryption": ["s3:PutEncryptionConfiguration"],
    "dynamodb:TransactWriteItems": ["dynamodb:ConditionCheckItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
    "dynamodb:TransactGetItems": ["dynamodb:GetItem"],
}
CALLS = ("write", "_write", "read", "_create")
GLOBAL = ("iam", "sts", "cloudfront", "route53")
TABLE = "dynamodb"
FIRST, SECOND = "{{ runbook_support_region }}", "{{ runbook_support_copy_region }}"
# The one playbook that is no runbook and acts under a lease: in the second region, because the first may be gone.
RECOVERY = "region_failover"
METRIC = "cloudwatch:PutMetricData"
# incident_domain, "IAM split": never, by nobody of ours.
DENIED = [
    "cloudtrail:DeleteTrail",
    "cloudtrail:StopLogging",
    "kms:ScheduleKeyDeletion",
    "logs:DeleteLogGroup",
    "logs:DeleteLogStream",
    "logs:DeleteRetentionPolicy",
    "rds:DeleteDBCluster",
    "rds:DeleteDBInstance",
    "rds:DeleteDBInstanceAutomatedBackup",
    "rds:DeleteDBSnapshot",
    "s3:DeleteObjectVersion",
    "sqs:PurgeQueue",
]


def action(service: str, operation: str) -> list[str]:
    """The actions of IAM that a call needs."""
    name = f"{PREFIXES.get(service, service)}:{operation}"
    return ACTIONS.get(name, [name])


@dataclass(frozen=True)
class Source:
    """What one file names: what it imports of the collection, every word in it, and its calls with their words."""

    imports: frozenset[str]
    words: frozenset[str]
    calls: tuple[tuple[str, tuple[str, ...]], ...]


@lru_cache(maxsize=512)
def _source(path: Path) -> Source:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    imported = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    words = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    words |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    calls = [
        (node.func.attr, tuple(one.value for one in node.args if isinstance(one, ast.Constant)))
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS
    ]
    listed = tuple((name, tuple(one for one in given if isinstance(one, str))) for name, given in calls)
    names = {name.removeprefix(IMPORTED) for name in imported if name.startswith(IMPORTED)}
    return Source(frozenset(names), frozenset(words), listed)


@lru_cache(maxsize=1)
def _session() -> Any:
    return botocore.session.Session()


@lru_cache(maxsize=64)
def _methods(service: str) -> dict[str, str]:
    """Method name -> operation of a service; empty for a word that is no service."""
    if service not in _session().get_available_services():
        return {}
    model = _session().get_service_model(service)
    return {xform_name(name): name for name in model.operation_names}


def sources(root: Path, module: str) -> dict[str, Source]:
    """The files of a module: its own, and what it imports from the collection, to the end."""
    folder = root / COLLECTION
    todo, found = [folder / "modules" / f"{module}.py"], dict[str, Source]()
    while todo:
        path = todo.pop()
        if path.stem not in found and path.is_file():
            found[path.stem] = _source(path)
            todo += [folder / "module_utils" / f"{name}.py" for name in found[path.stem].imports]
    return found


def declared(root: Path, module: str) -> tuple[set[str], set[str]]:
    """Actions of the reads and of the writes of a module."""
    files = sources(root, module)
    words = frozenset().union(*(source.words for source in files.values()))
    reads, writes = set[str](), set[str]()
    for file, name, given in ((file, *call) for file, source in files.items() for call in source.calls):
        if name == "write" and len(given) > 1:
            writes.update(action(*given[:2]))
        elif name == "_write" and file == "_lease" and given:
            writes.update(action(TABLE, given[0]))
        elif name in ("read", "_create") and given:
            named = {operation for method, operation in _methods(given[0]).items() if method in words}
            reads.update(one for operation in named if READ.match(operation) for one in action(given[0], operation))
    return reads - {SECRET}, writes


def modules_of(root: Path, role: str) -> set[str]:
    """Our modules that the tasks of a role name."""
    return {name for path in (root / "roles" / role).rglob("tasks/**/*.yml") for name in USED.findall(path.read_text())}


def runbooks(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / "runbooks").glob("*.yml"))


def policies(root: Path) -> dict[str, dict[str, Any]]:
    """Name -> policy document; the words in double braces are filled in by the role runbook_support."""
    incident = modules_of(root, "incident")
    reads, own_writes = _both(root, incident)
    acts = {}
    for runbook in runbooks(root):
        more, writes = _both(root, modules_of(root, runbook))
        reads |= more
        acts[runbook] = writes | own_writes
    recorded = (root / "roles/runbook_support/files/builder_calls.txt").read_text().split()
    built_reads, built_writes = _both(root, {"account", "account_resource"})
    for call in recorded:
        service, _, operation = call.partition(":")
        (built_reads if READ.match(operation) else built_writes).update(action(service, operation))
    table = {one for one in own_writes if one.startswith(TABLE)}
    checks, _ = _both(root, modules_of(root, "readiness"))
    made: dict[str, dict[str, Any]] = {
        "diagnose": _document(_reading(reads), _denied()),
        "approver": _document(_reading({"sts:GetCallerIdentity", "ssm:GetParameter"}), _approving(), _denied()),
        "readiness": _document(_reading(reads | checks), _denied()),
    }
    for runbook, writes in acts.items():
        tagged = {one for one in writes if not one.startswith(TABLE)}
        made[f"act-{runbook}"] = _document(_acting(tagged), _on_table(table), _denied())
    more, writes = _both(root, modules_of(root, RECOVERY))
    reads |= more
    made["diagnose"] = _document(_reading(reads), _denied())
    made[f"act-{RECOVERY}"] = _document(
        _recovering(writes | own_writes), _on_table(table, SECOND), _unapproving(), _denied()
    )
    pass_roles = {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": "arn:aws:iam::{{ runbook_support_account }}:role/{{ runbook_support_prefix }}-*",
    }
    made["bootstrap-read"] = _document(_reading(built_reads), _denied())
    made["bootstrap-write"] = _document(_building(built_writes), [pass_roles], _denied())
    return made


def rendered(root: Path) -> str:
    """What stands in roles/runbook_support/templates/policies.json.j2."""
    return json.dumps(policies(root), indent=1, sort_keys=True) + "\n"


def _both(root: Path, modules: Iterable[str]) -> tuple[set[str], set[str]]:
    reads, writes = set[str](), set[str]()
    for module in modules:
        found = declared(root, module)
        reads |= found[0]
        writes |= found[1]
    return reads, writes


REGIONS = ["{{ runbook_support_region }}", "{{ runbook_support_copy_region }}", "us-east-1"]
HERE = {"StringEquals": {"aws:RequestedRegion": REGIONS}}


def _document(*statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [one for some in statements for one in some]}


def _reading(actions: set[str]) -> list[dict[str, Any]]:
    """One statement for each kind of scope: what is global knows no region."""
    by_scope = defaultdict[bool, list[str]](list)
    for one in sorted(actions):
        by_scope[one.partition(":")[0] in GLOBAL].append(one)
    made = []
    for everywhere, some in sorted(by_scope.items()):
        statement: dict[str, Any] = {"Effect": "Allow", "Action": some, "Resource": "*"}
        made.append(statement if everywhere else {**statement, "Condition": HERE})
    return made


# What is named before it is made is bounded by its name; the rest has ids, and only its region is known.
OWN_NAMES = {
    "iam": [
        "arn:aws:iam::{{ runbook_support_account }}:role/{{ runbook_support_prefix }}-*",
        "arn:aws:iam::{{ runbook_support_account }}:policy/{{ runbook_support_prefix }}-*",
    ],
    "s3": ["arn:aws:s3:::{{ runbook_support_prefix }}-*"],
}


def _building(actions: set[str]) -> list[dict[str, Any]]:
    named = {service: {one for one in actions if one.startswith(f"{service}:")} for service in OWN_NAMES}
    made = [
        {"Effect": "Allow", "Action": sorted(some), "Resource": OWN_NAMES[service]}
        for service, some in named.items()
        if some
    ]
    return _reading(actions.difference(*named.values())) + made


def _acting(actions: set[str], region: str = FIRST) -> list[dict[str, Any]]:
    """Only on what carries the tags of the environment, in its region."""
    if not actions:
        return []
    tags = {"aws:ResourceTag/app": "daily-emr", "aws:ResourceTag/Environment": "{{ runbook_support_environment }}"}
    where = {"aws:RequestedRegion": region, **tags}
    return [{"Effect": "Allow", "Action": sorted(actions), "Resource": "*", "Condition": {"StringEquals": where}}]


def _recovering(actions: set[str]) -> list[dict[str, Any]]:
    """What a failover may do, in the second region alone. A metric has no tags, and is bounded by its namespace."""
    tagged = {one for one in actions if not one.startswith(TABLE) and one != METRIC}
    namespace = {"aws:RequestedRegion": SECOND, "cloudwatch:namespace": "DailyEMR/Region"}
    of_tasks = "daily-emr/{{ runbook_support_environment }}"
    secrets = f"arn:aws:secretsmanager:{SECOND}:{{{{ runbook_support_account }}}}:secret:{of_tasks}"
    return [
        *_acting(tagged, SECOND),
        {"Effect": "Allow", "Action": [METRIC], "Resource": "*", "Condition": {"StringEquals": namespace}},
        {
            "Effect": "Allow",
            "Action": [SECRET],
            "Resource": [f"{secrets}/DATABASE_URL-*", f"{secrets}/recovery/DATABASE_URL-*"],
        },
    ]


def _on_table(actions: set[str], region: str = FIRST) -> list[dict[str, Any]]:
    arn = f"arn:aws:dynamodb:{region}:{{{{ runbook_support_account }}}}:table/{{{{ runbook_support_table }}}}"
    return [{"Effect": "Allow", "Action": sorted({*actions, "dynamodb:GetItem", "dynamodb:Query"}), "Resource": arn}]


# Keys of approvals begin so: PREFIX of module_utils/_approvals.py, which a test compares.
APPROVALS = "approval#*"


def _approving() -> list[dict[str, Any]]:
    """Approvals are written in the second region, because the first may be gone; and nothing but approvals is."""
    (statement,) = _on_table(set(), SECOND)
    keys = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [APPROVALS]}, "Null": {"dynamodb:LeadingKeys": "false"}}
    return [{**statement, "Action": ["dynamodb:PutItem", "dynamodb:Query"], "Condition": keys}]


def _unapproving() -> list[dict[str, Any]]:
    """Who acts writes no approval, also where another policy would let them."""
    (statement,) = _on_table(set(), SECOND)
    writes = ["dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
    keys = {"ForAnyValue:StringLike": {"dynamodb:LeadingKeys": [APPROVALS]}}
    return [{"Effect": "Deny", "Action": writes, "Resource": statement["Resource"], "Condition": keys}]


def _denied() -> list[dict[str, Any]]:
    return [{"Effect": "Deny", "Action": DENIED, "Resource": "*"}]
