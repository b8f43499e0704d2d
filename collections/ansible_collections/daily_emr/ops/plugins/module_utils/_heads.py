# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Heads of journals in the bucket of the audit, where object lock keeps them: a witness beside the table.

Who may write the table can write lines in it that fit a journal written anew; a version in a locked bucket nobody of
ours can change or remove. Another one can be put in front of it, so all versions of a head are read.

A head is put when a run has ended and its lease is given back. Not before: no change ever waits for it.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._chain import Line, parse
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed

KEY = re.compile(r"heads/[^/]+/(?P<run>[^/]+)/(?P<seq>\d{1,9})\.json")
SAYS = ("incident", "run", "environment", "seq", "hash", "at")
# A run that has ended waits no longer for the bucket: two calls, each sent once.
PATIENCE_S = 3
# A head has a few hundred bytes; what is longer was not written here.
LONGEST = 4096


def key_of(line: Line) -> str:
    """Where the head that a line of a journal is lies in the bucket."""
    return f"heads/{line['incident']}/{line['run']}/{line['seq']}.json"


def keep_head(clients: Clients, line: Line) -> datetime:
    """Put the hash of a journal's newest line into the bucket, locked as the bucket itself locks; until when it is.

    Raises OpsError where it is not there, or nobody can say whether it is.
    """
    environment = clients.environment
    mode, until = _retention(clients)
    known = {**line, "environment": environment.name}
    s3 = clients.write("s3", "PutObject", environment.audit_region, patience=PATIENCE_S)
    with calling("s3:PutObject"):
        s3.put_object(
            Key=key_of(line),
            Body=json.dumps({name: known[name] for name in SAYS}).encode(),
            ContentType="application/json",
            # Said, though it is the default: a bucket that does not lock refuses it.
            ObjectLockMode=mode,
            ObjectLockRetainUntilDate=until,
            **_bucket(clients),
        )
    return until


def _retention(clients: Clients) -> tuple[str, datetime]:
    """How the bucket locks what is put into it, and until when that is; by AWS's clock."""
    s3 = clients.read("s3", clients.environment.audit_region, attempts=1, patience=PATIENCE_S)
    with calling("s3:GetObjectLockConfiguration"):
        found = s3.get_object_lock_configuration(**_bucket(clients))["ObjectLockConfiguration"]
    rule = found.get("Rule", {}).get("DefaultRetention", {})
    days = rule.get("Days", 0) or 365 * rule.get("Years", 0)
    if not days:
        raise CallFailed(f"{clients.environment.audit_bucket} has no retention: run playbooks/bootstrap.yml.")
    return str(rule["Mode"]), clients.aws_time().replace(microsecond=0) + timedelta(days=days)


def heads_of(clients: Clients, incident: str) -> dict[str, list[dict[str, Any]]]:
    """The heads of all runs of an incident that the bucket holds, each version of each. Raises OpsError."""
    found: dict[str, list[dict[str, Any]]] = {}
    s3 = clients.read("s3", clients.environment.audit_region)
    pages = s3.get_paginator("list_object_versions").paginate(Prefix=f"heads/{incident}/", **_bucket(clients))
    with calling("s3:ListObjectVersions"):
        versions = [version for page in pages for version in page.get("Versions", ())]
    for version in versions:
        if named := KEY.fullmatch(version["Key"]):
            said = _said(clients, version["Key"], version["VersionId"])
            # One that says nothing, or is about another line than its name, is like no line.
            fits = said.get("run") == named["run"] and said.get("seq") == int(named["seq"])
            line = {"seq": int(named["seq"]), "hash": said.get("hash") if fits else None}
            found.setdefault(named["run"], []).append(line)
    return found


def _said(clients: Clients, key: str, version: str) -> dict[str, Any]:
    s3 = clients.objects(clients.environment.audit_bucket)
    with calling("s3:GetObject"):
        body = s3.get_object(Key=key, VersionId=version, **_bucket(clients))["Body"].read(LONGEST)
    return parse(body) or {}


def _bucket(clients: Clients) -> dict[str, str]:
    """The bucket for every call, which is refused where it is another account's."""
    environment = clients.environment
    return {"Bucket": environment.audit_bucket, "ExpectedBucketOwner": environment.account_id}
