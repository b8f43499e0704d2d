"""After the teardown: nothing that carries the tags is left but what is left on purpose."""

from __future__ import annotations

import json
import os
from pathlib import Path

import boto3


def test_only_keys_are_left():
    facts = json.loads((Path(os.environ["DAILY_EMR_SANDBOX"]) / "sandbox.json").read_text())
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = facts["credentials_file"]
    client = boto3.client("resourcegroupstaggingapi", region_name=facts["region"], endpoint_url=facts["endpoint_url"])
    filters = [{"Key": "managed_by", "Values": ["daily-emr-bootstrap"]}]
    pages = client.get_paginator("get_resources").paginate(TagFilters=filters)
    left = [entry["ResourceARN"] for page in pages for entry in page["ResourceTagMappingList"]]
    # moto still shows what is inactive in ECS, and the snapshot that RDS made by itself.
    assert {arn.split(":")[2] for arn in left} <= {"ecs", "kms", "rds"}
    assert not any(":db:" in arn for arn in left)
