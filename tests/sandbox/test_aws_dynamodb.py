"""DynamoDB transactions, which lease and journal stand on: all or nothing, once for each token, with reasons."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.aws_only import Aws, refusal, running_aws

TABLE = "t"
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("dynamodb")) as running:
        yield running


@pytest.fixture(scope="module")
def dynamodb(aws: Aws) -> Any:
    client = aws.client("dynamodb")
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    return client


def key(name: str) -> dict[str, Any]:
    return {"pk": {"S": name}, "sk": {"S": "x"}}


@pytest.fixture
def name() -> str:
    return f"item-{next(NUMBERS)}"


def put(name: str, value: str = "v", condition: str | None = "attribute_not_exists(pk)", **more: Any) -> dict[str, Any]:
    conditional = {"ConditionExpression": condition} if condition else {}
    return {"Put": {"TableName": TABLE, "Item": {**key(name), "v": {"S": value}}, **conditional, **more}}


def check(name: str, condition: str, **more: Any) -> dict[str, Any]:
    return {"ConditionCheck": {"TableName": TABLE, "Key": key(name), "ConditionExpression": condition, **more}}


def value(dynamodb, name: str) -> str | None:
    item = dynamodb.get_item(TableName=TABLE, Key=key(name), ConsistentRead=True).get("Item")
    return item["v"]["S"] if item else None


def test_a_table_has_an_id(dynamodb):
    described = dynamodb.describe_table(TableName=TABLE)["Table"]
    assert len(described["TableId"]) == 36
    assert described["TableId"] == dynamodb.describe_table(TableName=TABLE)["Table"]["TableId"]


def test_every_part_is_done_when_every_condition_holds(dynamodb, name):
    dynamodb.transact_write_items(TransactItems=[put(f"{name}-old"), put(f"{name}-gone")])
    dynamodb.transact_write_items(
        TransactItems=[
            put(name, "new"),
            check(f"{name}-absent", "attribute_not_exists(pk)"),
            {"Delete": {"TableName": TABLE, "Key": key(f"{name}-gone")}},
            {
                "Update": {
                    "TableName": TABLE,
                    "Key": key(f"{name}-old"),
                    "UpdateExpression": "SET #v = :v",
                    "ConditionExpression": "#v = :old",
                    "ExpressionAttributeNames": {"#v": "v"},
                    "ExpressionAttributeValues": {":v": {"S": "updated"}, ":old": {"S": "v"}},
                }
            },
        ]
    )
    assert [value(dynamodb, one) for one in (name, f"{name}-gone", f"{name}-old")] == ["new", None, "updated"]


def test_nothing_is_done_when_one_condition_fails_and_each_part_has_its_reason(dynamodb, name):
    dynamodb.transact_write_items(TransactItems=[put(name, "first")])
    with pytest.raises(ClientError) as error:
        dynamodb.transact_write_items(
            TransactItems=[
                put(f"{name}-other"),
                put(name, "second", ReturnValuesOnConditionCheckFailure="ALL_OLD"),
                check(f"{name}-absent", "attribute_exists(pk)"),
            ]
        )
    assert refusal(error.value) == ("TransactionCanceledException", 400)
    reasons = error.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed", "ConditionalCheckFailed"]
    assert reasons[1]["Item"]["v"] == {"S": "first"}
    assert reasons[1]["Message"] == "The conditional request failed"
    assert "[None, ConditionalCheckFailed, ConditionalCheckFailed]" in error.value.response["Error"]["Message"]
    assert (value(dynamodb, name), value(dynamodb, f"{name}-other")) == ("first", None)


def test_a_part_that_cannot_be_done_takes_the_others_back(dynamodb, name):
    dynamodb.put_item(TableName=TABLE, Item={**key(f"{name}-text"), "v": {"S": "text"}})
    add = {"TableName": TABLE, "Key": key(f"{name}-text"), "UpdateExpression": "ADD v :one"}
    with pytest.raises(ClientError):
        dynamodb.transact_write_items(
            TransactItems=[put(name), {"Update": add | {"ExpressionAttributeValues": {":one": {"N": "1"}}}}]
        )
    assert (value(dynamodb, name), value(dynamodb, f"{name}-text")) == (None, "text")


def test_a_token_makes_it_once(dynamodb, name):
    parts, token = [put(name)], f"token-{name}"
    for _ in range(3):
        dynamodb.transact_write_items(TransactItems=parts, ClientRequestToken=token)
    dynamodb.delete_item(TableName=TABLE, Key=key(name))
    dynamodb.transact_write_items(TransactItems=parts, ClientRequestToken=token)
    assert value(dynamodb, name) is None, "a token that was seen writes nothing"

    with pytest.raises(ClientError) as error:
        dynamodb.transact_write_items(TransactItems=[put(f"{name}-else")], ClientRequestToken=token)
    assert refusal(error.value) == ("IdempotentParameterMismatchException", 400)


def test_the_token_of_a_cancelled_transaction_may_be_used_again(dynamodb, name):
    dynamodb.put_item(TableName=TABLE, Item={**key(name), "v": {"S": "there"}})
    with pytest.raises(ClientError):
        dynamodb.transact_write_items(TransactItems=[put(name, "mine")], ClientRequestToken=f"token-{name}")
    dynamodb.delete_item(TableName=TABLE, Key=key(name))
    dynamodb.transact_write_items(TransactItems=[put(name, "mine")], ClientRequestToken=f"token-{name}")
    assert value(dynamodb, name) == "mine"


def test_two_parts_on_one_item_are_refused(dynamodb, name):
    with pytest.raises(ClientError) as error:
        dynamodb.transact_write_items(TransactItems=[put(name), check(name, "attribute_not_exists(pk)")])
    assert refusal(error.value) == ("ValidationException", 400)


def test_sixteen_transactions_race_and_one_wins(dynamodb, name):
    def attempt(number: int) -> bool:
        try:
            dynamodb.transact_write_items(TransactItems=[put(name, str(number)), put(f"{name}-{number}")])
        except dynamodb.exceptions.TransactionCanceledException:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        won = [number for number, ok in enumerate(pool.map(attempt, range(16))) if ok]
    assert len(won) == 1
    assert value(dynamodb, name) == str(won[0])
    assert [value(dynamodb, f"{name}-{n}") is not None for n in range(16)] == [n == won[0] for n in range(16)]
