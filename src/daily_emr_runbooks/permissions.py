"""Policies of IAM, generated from the calls that modules declare (see calls.py) and from recorded calls of bootstrap.

What an action can be bounded by is asked of `policy_sentry`, which holds AWS's own tables: its kinds of resources, and
whether these have tags. A read is bounded by account and region; a write by the tags of the environment as well, or by
its name where what it is about has no tags.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from policy_sentry.querying.actions import get_action_data

from daily_emr_runbooks.calls import READ, SIGNED, Site, Sources
from daily_emr_runbooks.project import Project

# Modules make the policies of single calls from the same map, and it is with them in the collection.
Project.find().make_importable()
from ansible_collections.daily_emr.ops.plugins.module_utils._actions import (  # noqa: E402
    CHECKED,
    KEYS,
    PREFIXES,
    SECRET,
    action,
)

Json = dict[str, Any]
ROLE = Path("roles/runbook_support")
BUILDER = ROLE / "files/builder_calls.txt"
"""What the scenario bootstrap was seen to call; it writes the file, and compares it."""
UNSEEN = ROLE / "files/unseen_calls.yml"
"""Calls that no test makes, each with the reason. Those of bootstrap stand nowhere else."""
USED = re.compile(r"daily_emr\.ops\.(\w+):")
HERE = re.compile(r"^  hosts: localhost$", re.MULTILINE)
OTHER_ROLE = re.compile(r"(?:role|name|incident_runbook): (\w+)$", re.MULTILINE)
# Playbooks that have a policy by another rule.
OWN_RULE = ("approve", "bootstrap", "readiness", "region_approval", "release_override", "teardown")
APPROVING = ("approve", "region_approval", "release_override")
"""Playbooks of who approves."""
# Besides what acts on components or in the second region: a release is not approved by the nightly job of its budget.
UNAPPROVING = ("slo",)
# Jobs that look and never write, though what they look with could: the table's items, above all.
LOOKING = ("status",)
OWN_ROLE = "own_role"
"""The gate of Clients for sessions of the role itself."""
LOOK_AHEAD = Site("_preflight", "iam", "SimulatePrincipalPolicy", "read")
"""What a run asks of IAM before its first change: about the role itself, and about no other."""
TABLE = "dynamodb"
TABLE_CALLS = ("GetItem", "PutItem", "Query", "TransactWriteItems", "UpdateItem")
"""Calls about items: of the runbooks' own table, and never of another."""
GLOBAL = ("account", "cloudfront", "iam", "organizations", "route53", "sts")
EPHEMERAL = ("development", "sandbox")
"""As in _teardown.py: no other environment is ever taken down."""
LIMIT = 5800
"""Characters of a policy before the environment is filled in; IAM takes 6144 without spaces."""
LOGIN = "emr_runbook"
"""Who runbooks are in the database."""
USERS = {"backup": "emr_backup"}
"""Who another playbook is there."""

# How services call the action that a call with tags needs besides.
TAGGING = ("TagResource", "AddTagsToResource", "AddTags", "CreateTags", "TagQueue", "TagDeliveryStream")
# IAM wants the kind of its own resources said.
KINDS = {"iam": ("policy/*", "role/*")}
# What keeps data with our key gets a grant on it, in the name of who makes it: RDS user guide, "Authorizing use of a
# customer managed key"; the others ask for the same.
GRANTED = {
    "ecr:CreateRepository",
    "elasticache:CreateReplicationGroup",
    "es:CreateDomain",
    "firehose:CreateDeliveryStream",
    "rds:CreateDBInstance",
    "rds:CreateDBInstanceReadReplica",
}

ACCOUNT, REGION = "{{ runbook_support_account }}", "{{ runbook_support_region }}"
PREFIX, ENVIRONMENT = "{{ runbook_support_prefix }}", "{{ runbook_support_environment }}"
COPY_REGION = "{{ runbook_support_copy_region }}"
ZONE = "{{ runbook_support_dns_zone }}"
REGIONS = [REGION, COPY_REGION, "us-east-1"]
# It acts, and keeps its lease, in the second region alone: the first one may be gone.
IN_COPY_REGION = ("region_failover",)
# The file whose calls are about heads of journals: in the bucket of the audit, and under no other prefix of it.
HEADS = "_heads"
HEADS_BUCKET = f"arn:aws:s3:::{PREFIX}-audit-{ACCOUNT}"
# Keys of approvals begin so: PREFIX of module_utils/_approvals.py, which a test compares.
APPROVALS = "approval#*"
# A metric is no resource: what bounds it is its namespace, which of ours only this one has.
METRIC = {"cloudwatch:PutMetricData": {"cloudwatch:namespace": "DailyEMR/Region"}}
OURS = {"aws:ResourceTag/app": "daily-emr", "aws:ResourceTag/Environment": ENVIRONMENT}
# Buckets have no tags that IAM looks at, unless somebody turns that on for each.
BUCKETS = [f"arn:aws:s3:::{PREFIX}-*"]
# Writes about something without tags, or without those of the environment: bounded by name. What and why.
NAMED = {
    # No module gives these tags.
    "application-autoscaling:RegisterScalableTarget": ["application-autoscaling:scalable-target/*"],
    "elasticloadbalancing:ModifyListener": [f"elasticloadbalancing:listener/*/{PREFIX}*"],
    "elasticloadbalancing:ModifyRule": [f"elasticloadbalancing:listener-rule/*/{PREFIX}*"],
    # A deployment is no resource with tags.
    "ecs:StopServiceDeployment": [f"ecs:service/{PREFIX}/*", f"ecs:service-deployment/{PREFIX}/*"],
    # It is not there yet, and what is not there has no tags.
    "secretsmanager:CreateSecret": [f"secretsmanager:secret:daily-emr/{ENVIRONMENT}/*"],
    # Records have no tags: those of the zone of the environment, which its owner names.
    "route53:ChangeResourceRecordSets": [f"route53:hostedzone/{ZONE}"],
    "route53:ListResourceRecordSets": [f"route53:hostedzone/{ZONE}"],
    "route53:UpdateHealthCheck": ["route53:healthcheck/*"],
    # Logging in, as the one user.
    "rds-db:connect": [f"rds-db:dbuser:*/{LOGIN}"],
    "elasticache:Connect": [f"elasticache:replicationgroup:{PREFIX}-*", f"elasticache:user:{PREFIX}-runbook"],
}
# AWS makes a role for such a service when the first resource of an account is made, in the name of who makes it.
LINKED = ("ecs", "ecs.application-autoscaling", "elasticache", "elasticloadbalancing", "opensearchservice", "rds")
# AWS bounds it by nothing but the region. What is deregistered still runs, and can be registered anew.
UNBOUND = {"ecs:DeregisterTaskDefinition"}
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


def actions(sites: Iterable[Site]) -> set[str]:
    return {one for site in sites for one in action(site.service, site.operation)}


@dataclass(frozen=True)
class Bounds:
    """What AWS says that an action can be bounded by."""

    services: frozenset[str]
    """Whose resources it is about; none when it is about no resource."""
    tags: bool
    """Whether each of these resources can have tags that a condition reads."""
    dependent: frozenset[str] = field(default_factory=frozenset)


@lru_cache(maxsize=4096)
def bounds(name: str) -> Bounds:
    """Raises ValueError for an action that AWS does not have."""
    service, _, operation = name.partition(":")
    rows = get_action_data(service, operation).get(service)
    if not rows:
        raise ValueError(f"{name} is no action of IAM: say in ACTIONS or PREFIXES what the call needs.")
    ours = {*PREFIXES.values(), service, "elasticloadbalancing"}
    formats = {row["resource_arn_format"]: row["condition_keys"] for row in rows if row["resource_arn_format"] != "*"}
    owners = {arn: arn.split(":")[2] for arn in formats}
    mine = {arn: keys for arn, keys in formats.items() if owners[arn] in ours}
    tags = bool(mine) and all(any(key.startswith("aws:ResourceTag/") for key in keys) for keys in mine.values())
    dependent = {one for row in rows for one in row["dependent_actions"]}
    return Bounds(frozenset(owners[arn] for arn in mine), tags, frozenset(dependent))


def tagging(name: str) -> set[str]:
    """What a call needs besides when it gives tags to what it makes."""
    service, _, operation = name.partition(":")
    if service == "s3" or not re.match(r"Create|Allocate|Put(Parameter|MetricAlarm)", operation):
        return set()
    wanted = [f"Tag{operation.removeprefix('Create')}"] if service == "iam" else TAGGING
    return {f"{service}:{one}" for one in wanted if get_action_data(service, one)}


def modules_of(root: Path, *roles: str) -> set[str]:
    """Our modules that the tasks of these roles name, and the tasks of the roles that they name."""
    todo, found, modules = set(roles), set[str](), set[str]()
    while todo:
        role = todo.pop()
        found.add(role)
        for path in (root / "roles" / role).rglob("tasks/**/*.yml"):
            text = path.read_text()
            modules |= set(USED.findall(text))
            todo |= {name for name in OTHER_ROLE.findall(text) if (root / "roles" / name).is_dir()} - found
    return modules


def modules_in(root: Path, playbook: str) -> set[str]:
    """Our modules that a playbook leads to by the roles that it names."""
    named = OTHER_ROLE.findall((root / f"playbooks/{playbook}.yml").read_text())
    return modules_of(root, *named)


def runbooks(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / "runbooks").glob("*.yml"))


def jobs(root: Path) -> dict[str, set[str]]:
    """Playbooks that are neither incident nor bootstrap, with their modules; one that runs here touches no account."""
    named = {path.stem for path in (root / "playbooks").glob("*.yml") if not HERE.search(path.read_text())} - set(
        OWN_RULE
    )
    found = {name: modules_in(root, name) for name in sorted(named)}
    return {name: modules for name, modules in found.items() if modules}


def modules_behind(root: Path) -> dict[str, set[str]]:
    """Policy -> the modules that its role runs; the policies of bootstrap are parts of one."""
    life = modules_of(root, "incident")
    acts = {f"act-{runbook}": modules_of(root, runbook) | life for runbook in runbooks(root)}
    return {
        **acts,
        **{f"job-{name}": modules for name, modules in jobs(root).items()},
        "diagnose": {module for some in acts.values() for module in some},
        "approver": {module for name in APPROVING for module in modules_in(root, name)},
        "readiness": modules_of(root, "readiness"),
        "teardown": modules_in(root, "teardown"),
        "bootstrap": modules_in(root, "bootstrap"),
    }


def unseen(root: Path) -> dict[str, dict[str, str]]:
    """File, or bootstrap -> call -> why no test makes it."""
    found: dict[str, dict[str, list[str]]] = yaml.safe_load((root / UNSEEN).read_text())
    return {
        file: {call: reason for reason, calls in reasons.items() for call in calls} for file, reasons in found.items()
    }


def built(root: Path) -> set[str]:
    """Calls of bootstrap's borrowed modules: those that were seen, and those that no test leads to."""
    return {*(root / BUILDER).read_text().split(), *unseen(root)["bootstrap"]}


def policies(root: Path) -> dict[str, Json]:
    """Name -> policy document; the words in double braces are filled in by the role runbook_support."""
    sources = Sources(root)
    calls = {
        policy: {site for module in modules for site in sources.calls(module)}
        for policy, modules in modules_behind(root).items()
    }
    proof, approving = actions(sources.proof), calls["approver"]
    made = {
        # A check run does not look ahead.
        "diagnose": _look(calls["diagnose"] - {LOOK_AHEAD}),
        "approver": _document(_reading(proof | _reads(approving)), _approving(approving), _denied(SECRET)),
        "readiness": _look(calls["readiness"], SECRET),
    }
    for policy, declared in calls.items():
        kind, _, name = policy.partition("-")
        # The calls by which a change narrows its own role, and a run looks ahead: their resource is that role alone.
        some = {site for site in declared if site.gate != OWN_ROLE and site != LOOK_AHEAD}
        about_itself = declared - some
        itself = _on_itself(f"runbook-{name.replace('_', '-')}" if kind == "job" else "runbook-act", about_itself)
        if kind == "act":
            kept = _on_table(some) + _on_heads(some)
            made[policy] = _document(_changing(some), kept, _unapproving(some, REGION), itself, _denied())
        elif name in LOOKING:
            made[policy] = _look(declared)
        elif kind == "job":
            region = COPY_REGION if name in IN_COPY_REGION else REGION
            may_not = region == COPY_REGION or name in UNAPPROVING
            table = _on_table(some, region) + (_unapproving(some, region) if may_not else [])
            kept = table + _on_heads(some)
            document = _document(_reading(_reads(some)), _changing(some, region), kept, itself, _denied())
            made[policy] = json.loads(json.dumps(document).replace(LOGIN, USERS.get(name, LOGIN)))
    built_calls = calls["bootstrap"]
    # What it keeps of itself, in the runbooks' own table and bucket, has statements of its own.
    kept_calls = {"s3:PutObject", *(f"{TABLE}:{operation}" for operation in TABLE_CALLS)}
    recorded = {one for call in built(root) - kept_calls for one in action(*call.split(":"))}
    writes = {one for one in recorded if not _reads_only(one)} | _writes(built_calls)
    made["bootstrap-read"] = _document(_reading(proof | (recorded - writes) | _reads(built_calls)), _denied())
    for number, part in enumerate(_parts(writes), 1):
        made[f"bootstrap-write-{number}"] = _document(_building(part), _denied())
    made["bootstrap-write-1"]["Statement"][:0] = _lending(root)
    # To make a secret is a change under a lease; there is room in the last one.
    made[f"bootstrap-write-{number}"]["Statement"][:0] = [
        *_on_table(built_calls, REGION, COPY_REGION),
        *_on_heads(built_calls),
        *_granting(writes),
    ]
    removed = calls["teardown"]
    made["teardown"] = _document(
        _reading(_reads(removed)), _removing(_writes(removed)), _denied(SECRET, but=_writes(removed))
    )
    return made


def rendered(root: Path) -> str:
    """What stands in roles/runbook_support/templates/policies.json.j2."""
    return json.dumps(policies(root), indent=1, sort_keys=True) + "\n"


def _on_itself(role: str, sites: set[Site]) -> list[Json]:
    """A change makes its call with a session of its own role that can do nothing else (module_utils/_scope.py), and a
    run asks what its own role may do (module_utils/_preflight.py).
    """
    return [_allow(actions(sites), [f"arn:aws:iam::{ACCOUNT}:role/{PREFIX}-{role}"], {})] if sites else []


def _reads_only(name: str) -> bool:
    return READ.match(name.partition(":")[2]) is not None


def _about_items(site: Site) -> bool:
    return site.service == TABLE and site.operation in TABLE_CALLS


def _about_heads(site: Site) -> bool:
    return site.file == HEADS


def _bookkeeping(site: Site) -> bool:
    """What has statements of its own, because it is about the runbooks' own table and bucket."""
    return _about_items(site) or _about_heads(site)


def _reads(sites: Iterable[Site]) -> set[str]:
    return actions(site for site in sites if site.gate in ("read", "signed") and not _bookkeeping(site))


def _writes(sites: Iterable[Site]) -> set[str]:
    """Writes with what services check besides in their name, and what is read by a gate of its own."""
    changing = (site for site in sites if site.gate not in ("read", "signed", OWN_ROLE) and not _bookkeeping(site))
    names = actions(changing)
    return names | {one for name in names for one in CHECKED.get(name, ())}


def _document(*statements: list[Json]) -> Json:
    return {"Version": "2012-10-17", "Statement": [one for some in statements for one in some]}


def _look(sites: set[Site], *denied: str) -> Json:
    """For a role that only looks; it reads the reports of rehearsals and restore checks where a module does.

    IAM asks for s3:GetObject also where only the head of an object is read, so it cannot keep a dump from who looks at
    its head: the gate of Clients does.
    """
    items = {site for site in sites if site.operation == "GetItem"}
    reports = actions(site for site in sites if site.gate == "evidence")
    return _document(_reading(_reads(sites) | reports), _on_table(items), _with_keys(reports), _denied(*denied))


def _scoped(names: set[str], region: str) -> dict[tuple[str, ...], set[str]]:
    """Actions by the resources that bound them; what is about no resource has a star."""
    made = defaultdict[tuple[str, ...], set[str]](set)
    arns, everywhere = set[str](), set[str]()
    for name in names:
        if name in NAMED:
            made[tuple(_arn(f"{one}", region) for one in NAMED[name])].add(name)
        elif name.startswith("s3:") and bounds(name).services:
            made[tuple(BUCKETS)].add(name)
        elif bounds(name).services:
            everywhere.add(name)
            arns |= {
                _arn(f"{service}:{kind}", region)
                for service in bounds(name).services
                for kind in KINDS.get(service, "*")
            }
        else:
            made["*",].add(name)
    if everywhere:
        made[tuple(sorted(arns))] |= everywhere
    return dict(sorted(made.items()))


def _arn(what: str, region: str) -> str:
    service, _, rest = what.partition(":")
    account = "" if service == "route53" else ACCOUNT
    return f"arn:aws:{service}:{'' if service in GLOBAL else region}:{account}:{rest}"


def _allow(names: set[str], resources: Iterable[str], conditions: Json) -> Json:
    listed = list(resources)
    made = {"Effect": "Allow", "Action": sorted(names), "Resource": "*" if listed == ["*"] else listed}
    return {**made, "Condition": conditions} if conditions else made


def _reading(names: set[str]) -> list[Json]:
    """In this account and in the regions of the environment; what is global knows no region."""
    logins = names & set(SIGNED.values())
    everywhere = {name for name in names if name.partition(":")[0] in GLOBAL}
    here = {"StringEquals": {"aws:RequestedRegion": REGIONS}}
    made = [
        _allow(some, resources, conditions)
        for group, conditions in ((names - everywhere - logins, here), (everywhere, {}))
        for resources, some in _scoped(group, "*").items()
    ]
    # No call is made by who logs in, so there is no region that was called: it stands in the name.
    arns = {name: [_arn(what, region) for region in REGIONS[:2] for what in NAMED[name]] for name in logins}
    return made + [_allow({name}, arns[name], {}) for name in sorted(logins)]


def _changing(sites: set[Site], region: str = REGION) -> list[Json]:
    """Only on what carries the tags of the environment, in one region; by name what has none."""
    names, here = _writes(sites), {"aws:RequestedRegion": region}
    metrics = [
        _allow({name}, ["*"], {"StringEquals": {**here, **METRIC[name]}}) for name in sorted(names & METRIC.keys())
    ]
    names -= METRIC.keys()
    tagged = {name for name in names if name not in NAMED and not name.startswith("s3:") and bounds(name).tags}
    made = [_allow(some, arns, {"StringEquals": {**here, **OURS}}) for arns, some in _scoped(tagged, region).items()]
    made += [_allow(some, arns, {"StringEquals": here}) for arns, some in _scoped(names - tagged, region).items()]
    return made + metrics + _with_keys(names, region)


def _with_keys(names: set[str], region: str = REGION) -> list[Json]:
    """What AWS does with a key of the environment on behalf of who makes the calls, and by that service alone."""
    calling = {name for name in names if name in KEYS}
    services = sorted({f"{name.partition(':')[0]}.{region}.amazonaws.com" for name in calling})
    where = {"StringEquals": {"kms:ViaService": services, **OURS}}
    keys = {key for name in calling for key in KEYS[name]}
    return [_allow(keys, [_arn("kms:key/*", region)], where)] if keys else []


def _on_table(sites: Iterable[Site], *regions: str) -> list[Json]:
    """On the runbooks' own table, in the first region unless others are named."""
    names = actions(site for site in sites if _about_items(site))
    arns = [f"arn:aws:dynamodb:{one}:{ACCOUNT}:table/{{{{ runbook_support_table }}}}" for one in regions or (REGION,)]
    return [_allow(names, arns, {})] if names else []


def _on_heads(sites: Iterable[Site]) -> list[Json]:
    """Heads of journals: who acts adds them, under their retention; who audits reads every version of them."""
    declared = {site.call for site in sites if _about_heads(site)}
    objects = declared & {"s3:GetObject", "s3:PutObject"}
    made = [_allow({call, *CHECKED[call]}, [f"{HEADS_BUCKET}/heads/*"], {}) for call in sorted(objects)]
    if "s3:ListObjectVersions" in declared:
        made.append(_allow({"s3:ListBucketVersions"}, [HEADS_BUCKET], {"StringLike": {"s3:prefix": "heads/*"}}))
    if "s3:GetObjectLockConfiguration" in declared:
        made.append(_allow({"s3:GetBucketObjectLockConfiguration"}, [HEADS_BUCKET], {}))
    return made + _with_keys(objects)


def _approving(sites: set[Site]) -> list[Json]:
    """Approvals are written where the run looks for them: those of a failover in the second region, because the first
    may be gone. Nothing but approvals is.
    """
    keys = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [APPROVALS]}, "Null": {"dynamodb:LeadingKeys": "false"}}
    return [{**statement, "Condition": keys} for statement in _on_table(sites, REGION, COPY_REGION)]


def _unapproving(sites: set[Site], region: str) -> list[Json]:
    """Who acts writes no approval, also where another policy would let them."""
    writes = ["dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
    keys = {"ForAnyValue:StringLike": {"dynamodb:LeadingKeys": [APPROVALS]}}
    return [
        {**statement, "Effect": "Deny", "Action": writes, "Condition": keys} for statement in _on_table(sites, region)
    ]


# What is made has no tags yet, so what has none is let through, and what has those of another environment is not.
NOT_ANOTHERS = {
    "StringEqualsIfExists": {"aws:ResourceTag/Environment": ENVIRONMENT, "aws:RequestTag/Environment": ENVIRONMENT}
}
# The secrets whose values bootstrap makes and reads: it hands them to services of AWS, which prove themselves by them.
OWN_SECRETS = ("ORIGIN_HEADER", "QUEUE_PASSWORD", "SESSION_PASSWORD")
VALUES = {SECRET, "secretsmanager:PutSecretValue"}
OWN_ROLES = [
    f"arn:aws:iam::{ACCOUNT}:role/{PREFIX}-*",
    f"arn:aws:iam::{ACCOUNT}:policy/{PREFIX}-*",
]


def _building(names: set[str]) -> list[Json]:
    """By its name what is named before it is made; the rest has ids, and its region and its tags are known."""
    own = {name for name in names if name.startswith("iam:")}
    made = [_allow(own, OWN_ROLES, NOT_ANOTHERS)] if own else []
    if values := names & VALUES:
        secrets = [_arn(f"secretsmanager:secret:daily-emr/{ENVIRONMENT}/{name}-*", REGION) for name in OWN_SECRETS]
        made += [_allow(values, secrets, NOT_ANOTHERS), *_with_keys(values)]
        own |= values
    here = {"StringEquals": {"aws:RequestedRegion": REGIONS}, **NOT_ANOTHERS}
    return made + [_allow(some, arns, here) for arns, some in _scoped(names - own, "*").items()]


def _parts(names: set[str]) -> list[set[str]]:
    """The same in as many policies as IAM wants, with what calls with tags need besides."""
    todo = sorted(names | {one for name in names for one in tagging(name)})
    parts: list[set[str]] = [set()]
    for name in todo:
        more = parts[-1] | {name}
        if len(json.dumps(_building(more), separators=(",", ":"))) > LIMIT - 1200:
            parts.append({name})
        else:
            parts[-1] = more
    return parts


def _granting(names: set[str]) -> list[Json]:
    """A grant on a key of the environment, asked for by a service of AWS and by nobody else."""
    places = REGIONS[:2]
    services = {name.partition(":")[0] for name in names & GRANTED}
    asked = [f"{service}.{region}.amazonaws.com" for service in sorted(services) for region in places]
    where = {"StringEquals": {"kms:ViaService": asked, **OURS}, "Bool": {"kms:GrantIsForAWSResource": "true"}}
    return [_allow({"kms:CreateGrant"}, [_arn("kms:key/*", region) for region in places], where)] if asked else []


def _lending(root: Path) -> list[Json]:
    """Roles are handed to services, and only to those that a role of the environment trusts; AWS makes its own."""
    text = (root / "roles/identities/vars/main.yml").read_text()
    services = sorted(set(re.findall(r"service: ([a-z0-9.-]+\.amazonaws\.com)", text)))
    handed = {"StringEquals": {"iam:PassedToService": services}}
    linked = {"StringEquals": {"iam:AWSServiceName": [f"{service}.amazonaws.com" for service in LINKED]}}
    return [
        _allow({"iam:PassRole"}, OWN_ROLES[:1], handed),
        _allow({"iam:CreateServiceLinkedRole"}, [_arn("iam:role/aws-service-role/*", "")], linked),
    ]


def _removing(names: set[str]) -> list[Json]:
    """Only of an environment that may be taken down, told by its tags, or by its name where there are none."""
    where = {"aws:ResourceTag/app": "daily-emr", "aws:ResourceTag/Environment": list(EPHEMERAL)}
    here = {"aws:RequestedRegion": REGIONS}
    buckets = {name for name in names if name.startswith("s3:")}
    tagged = {name for name in names - buckets if bounds(name).tags}
    made = [_allow(some, arns, {"StringEquals": {**here, **where}}) for arns, some in _scoped(tagged, "*").items()]
    if buckets:
        made.append(_allow(buckets, [f"arn:aws:s3:::daily-emr-{name}-*" for name in EPHEMERAL], {}))
    if unbound := names & UNBOUND:
        made.append(_allow(unbound, ["*"], {"StringEquals": here}))
    bare = names - buckets - tagged - UNBOUND
    if bare:
        raise ValueError(f"{', '.join(sorted(bare))}: nothing bounds it to an environment that may be taken down.")
    return made


def _denied(*more: str, but: Iterable[str] = ()) -> list[Json]:
    return [{"Effect": "Deny", "Action": sorted({*DENIED, *more} - set(but)), "Resource": "*"}]
