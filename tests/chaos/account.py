"""The account of the sandbox as bootstrap leaves it, for what needs no more of it than leases."""

from __future__ import annotations

import json
from typing import Any

from daily_emr_sandbox.aws.server import AwsServer

Json = dict[str, Any]
P = "daily-emr-sandbox"
TABLE, FINGERPRINT = f"{P}-runbooks", "/daily-emr/sandbox/fingerprint"


def environment_of(aws: AwsServer) -> Json:
    """The environment as an inventory describes it."""
    settings = aws.settings
    return {
        "name": "sandbox",
        "account_id": settings.account_id,
        "region": settings.region,
        "role_pattern": f"{P}-runbook-act",
        "table": TABLE,
        "fingerprint_parameter": FINGERPRINT,
        "endpoint_url": settings.endpoint_url,
        "credentials_file": str(settings.credentials_file),
    }


def prepare_account(aws: AwsServer) -> None:
    """The table of leases and the fingerprint, as bootstrap makes them."""
    settings, dynamodb = aws.settings, aws.boto("dynamodb")
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    where = {"environment": "sandbox", "account_id": settings.account_id, "region": settings.region}
    aws.boto("ssm").put_parameter(Name=FINGERPRINT, Value=json.dumps(where), Type="String")
