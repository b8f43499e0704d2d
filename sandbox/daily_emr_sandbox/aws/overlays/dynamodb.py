"""DynamoDB transactions as on AWS: all or nothing, idempotent by ClientRequestToken, a reason for each part.

moto copies whole tables to roll back, which gets slow with every journal entry, and ignores the token.
"""

from __future__ import annotations

import copy
import json
import time
import uuid
from typing import Any

from moto.core.responses import ActionResult
from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.exceptions import (
    MultipleTransactionsException,
    TooManyTransactionsException,
    TransactionCanceledException,
    TransactWriteSingleOpException,
)
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler

from ..errors import AwsError

TOKEN_S = 600.0
"""How long a ClientRequestToken is remembered."""
MAX_PARTS = 100
FAILED = "The conditional request failed"

_describe = Table.describe
_transact = DynamoHandler.transact_write_items


def describe(self: Any, base_key: str = "TableDescription") -> dict[str, Any]:
    described: dict[str, Any] = _describe(self, base_key)
    described[base_key]["TableId"] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.table_arn}/{self.created_at}"))
    return described


def transact_write_items(self: Any) -> ActionResult:
    """The request: a token that was seen with these parts means done, with other parts it is refused."""
    token = self.body.get("ClientRequestToken")
    seen: dict[str, tuple[float, str]] = self.dynamodb_backend.__dict__.setdefault("sandbox_tokens", {})
    parts = json.dumps(self.body["TransactItems"], sort_keys=True)
    if token:
        for old in [key for key, (at, _) in seen.items() if time.monotonic() - at > TOKEN_S]:
            del seen[old]
        if token in seen:
            if seen[token][1] != parts:
                raise AwsError(
                    "IdempotentParameterMismatchException",
                    "The request has the same ClientRequestToken as another one and different parameters.",
                )
            return ActionResult({"ConsumedCapacity": [], "ItemCollectionMetrics": {}})
    result: ActionResult = _transact(self)
    if token:
        seen[token] = (time.monotonic(), parts)
    return result


def transact(self: Any, transact_items: list[dict[str, Any]]) -> None:
    """Check every condition against what is stored, then do every part, or none."""
    if len(transact_items) > MAX_PARTS:
        raise TooManyTransactionsException
    if any(len(part) != 1 for part in transact_items):
        raise TransactWriteSingleOpException
    parts = [next(iter(part.items())) for part in transact_items]
    keys = [_key(self, kind, action) for kind, action in parts]
    places = [(action["TableName"], key) for (_, action), key in zip(parts, keys, strict=True)]
    if len({json.dumps(place, sort_keys=True) for place in places}) < len(places):
        raise MultipleTransactionsException
    reasons = [_reason(self, action, key) for (_, action), key in zip(parts, keys, strict=True)]
    if any(code for code, _, _ in reasons):
        raise TransactionCanceledException(reasons)
    before = [copy.deepcopy(self.get_item(table, key)) for table, key in places]
    try:
        for (kind, action), key in zip(parts, keys, strict=True):
            _do(self, kind, action, key)
    except Exception:
        for (table, key), item in zip(places, before, strict=True):
            self.delete_item(table, key)
            if item is not None:
                self.put_item(table, item.to_json()["Attributes"])
        raise


def _key(backend: Any, kind: str, action: dict[str, Any]) -> dict[str, Any]:
    if kind != "Put":
        key: dict[str, Any] = action["Key"]
        return key
    table = backend.get_table(action["TableName"])
    names = [name for name in (table.hash_key_attr, table.range_key_attr) if name]
    return {name: action["Item"][name] for name in names}


def _reason(backend: Any, action: dict[str, Any], key: dict[str, Any]) -> tuple[str | None, str | None, Any]:
    """Code, message and item of a part whose condition is not met; three times None when it is."""
    if action.get("ConditionExpression") is None:
        return None, None, None
    item = backend.get_item(action["TableName"], key)
    condition = get_filter_expression(
        action["ConditionExpression"], action.get("ExpressionAttributeNames"), action.get("ExpressionAttributeValues")
    )
    if condition.expr(item):
        return None, None, None
    shown = action.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and item is not None
    return "ConditionalCheckFailed", FAILED, item.to_json()["Attributes"] if shown else None


def _do(backend: Any, kind: str, action: dict[str, Any], key: dict[str, Any]) -> None:
    table = action["TableName"]
    if kind == "Put":
        backend.put_item(table, action["Item"])
    elif kind == "Delete":
        backend.delete_item(table, key)
    elif kind == "Update":
        backend.update_item(
            table, key, update_expression=action["UpdateExpression"],
            expression_attribute_names=action.get("ExpressionAttributeNames"),
            expression_attribute_values=action.get("ExpressionAttributeValues"),
        )  # fmt: skip


def install(aws: Any) -> None:  # noqa: ARG001 - the same for every server
    Table.describe = describe
    DynamoHandler.transact_write_items = transact_write_items
    DynamoDBBackend.transact_write_items = transact
