"""Credentials for one call: what is asked for, what happens without them, and what they end with."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _changes, _clients
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import execute_change
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._scope import LONGEST_POLICY, Scope, session_policy

from .conftest import ACCOUNT, ENVIRONMENT, REGION, ROLE, TABLE, Wire, account
from .test_changes import NAME, Limit, do, live

Json = dict[str, Any]
ENDS = datetime(2026, 11, 22, 1, 31, 59, 900_000, tzinfo=UTC)
SERVICE = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/p/web"


@pytest.fixture(autouse=True)
def parameter(aws: None) -> None:  # noqa: ARG001  # for its effect
    account("ssm").put_parameter(Name=NAME, Value="2", Type="String")


def asked(wire: Wire) -> Json:
    """What was said to AssumeRole, with its policy read."""
    (body,) = [body for name, body in wire.bodies if name == "AssumeRole"]
    text = body.decode() if isinstance(body, bytes) else str(body)
    said = {name: values[0] for name, values in parse_qs(text).items()}
    return {**said, "Policy": json.loads(said["Policy"])}


def test_one_action_on_what_the_change_is_about_until_the_lease_ends(
    clients: Clients, wire: Wire, leased: Session
) -> None:
    began = datetime.now(UTC)
    assert do(clients, leased)["outcome"] == "ok"

    said = asked(wire)
    assert said["RoleArn"] == f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
    assert (said["RoleSessionName"], said["DurationSeconds"]) == ("wanjiru", "900")
    (statement,) = said["Policy"]["Statement"]
    assert (statement["Action"], statement["Resource"]) == (
        ["ssm:PutParameter"],
        [f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{NAME}"],
    )
    assert statement["Condition"]["StringEquals"] == {"aws:RequestedRegion": REGION}
    ends = datetime.fromisoformat(statement["Condition"]["DateLessThan"]["aws:CurrentTime"])
    # 120 s of lease less the longest call, rather less than more.
    assert began + timedelta(seconds=60) < ends <= began + timedelta(seconds=106 + 30)


def test_the_call_is_signed_with_them_and_reads_are_not(clients: Clients, wire: Wire, leased: Session) -> None:
    keys: dict[str, list[str]] = {}
    wire.faults["PutParameter"] = [lambda request: keys.setdefault("call", []).append(request.headers["Authorization"])]
    wire.faults["PutItem"] = [lambda request: keys.setdefault("table", []).append(request.headers["Authorization"])]

    do(clients, leased)

    def key(header: Any) -> str:
        return str(header).partition("Credential=")[2].partition("/")[0]

    assert key(keys["call"][0]) != key(keys["table"][0])


@pytest.mark.parametrize("lose", ["lose_request", "lose_reply", "unreachable"])
def test_without_them_nothing_is_sent(lose: str, clients: Clients, wire: Wire, leased: Session) -> None:
    getattr(wire, lose)("AssumeRole", 9)

    result = do(clients, leased)

    assert (result["outcome"], live(), wire.count("PutParameter")) == ("refused", "2", 0)
    assert "There are no credentials for ssm:PutParameter" in result["msg"]
    assert "bootstrap" in result["msg"]


def test_where_a_change_says_no_resource_nothing_is_sent(clients: Clients, wire: Wire, leased: Session) -> None:
    class Silent(Limit):
        def resources(self, before: Json) -> list[str]:  # as the base class has it
            return []

    result = do(clients, leased, kind=Silent)

    assert (result["outcome"], live(), wire.count("AssumeRole")) == ("refused", "2", 0)


def test_a_target_that_is_an_arn_is_the_resource(clients: Clients) -> None:
    class Named(Limit):
        @property
        def target(self) -> str:
            return SERVICE

        resources = _changes.Change.resources

    assert Named({"value": "1"}, clients).resources({}) == [SERVICE]


def test_what_is_not_under_a_lease_is_bounded_by_the_role(clients: Clients, wire: Wire) -> None:
    class Building(Limit):
        leased = False

    change = Building({"value": "5"}, clients)

    assert execute_change(change, clients, None, check_mode=False)["outcome"] == "ok"
    assert wire.count("AssumeRole") == 0


@pytest.mark.parametrize("passed", ["AssumeRole", "PutParameter"])
def test_a_process_that_was_stopped_on_the_way_to_the_call_sends_nothing(
    passed: str, clients: Clients, wire: Wire, leased: Session
) -> None:
    """Stopped after the intent, or after the credentials: the lease is looked at once more before the bytes leave."""
    now = [0.0]
    store = LeaseStore(clients, TABLE, clock=lambda: now[0])
    if passed == "AssumeRole":
        wire.watchers.append(lambda operation: now.__setitem__(0, 106.0) if operation == passed else None)
    else:
        write = clients.write

        def late(service: str, operation: str, region: str = "") -> Any:
            client = write(service, operation, region)
            now[0] += 106.0 if operation == passed else 0.0
            return client

        clients.write = late  # type: ignore[method-assign]

    result = execute_change(Limit({"value": "5"}, clients), clients, leased, check_mode=False, store=store)

    assert (result["outcome"], live(), wire.count("PutParameter")) == ("refused", "2", 0)
    assert "ran out before the call was sent" in result["msg"]


def scope(clients: Clients, left: Callable[[], float], resources: tuple[str, ...] = (SERVICE,)) -> Scope:
    return Scope(clients, narrows=True, target="service/p/web", resources=lambda: resources, left=left)


def test_a_wrong_clock_of_ours_changes_nothing(clients: Clients, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    clients.prove()
    now = [5_000_000.0]
    monkeypatch.setattr(_clients, "boottime", lambda: now[0])
    said = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
    clients._aws_time = (said, now[0])
    now[0] += 7.0

    assert clients.aws_time() == said + timedelta(seconds=7)
    assert scope(clients, lambda: 60.0)._ends_at() == said + timedelta(seconds=67)
    assert wire.count("AssumeRole") == 0


@pytest.mark.usefixtures("wire")
def test_where_aws_never_said_its_time_there_is_no_end_and_no_call() -> None:
    silent = Clients(Environment.from_params(ENVIRONMENT), environ={})
    with pytest.raises(Refused, match="has not said what time it is"):
        silent.aws_time()


def test_a_policy_that_aws_would_not_take_is_not_sent(clients: Clients, wire: Wire) -> None:
    many = tuple(f"{SERVICE}-{number:04d}" for number in range(60))

    clients.prove()

    with pytest.raises(Refused, match="60 resources, too many for one call"):
        scope(clients, lambda: 60.0, many).credentials("ecs", "UpdateService", REGION)

    assert wire.count("AssumeRole") == 0


def test_the_client_for_sessions_of_the_own_role_does_nothing_else(clients: Clients, wire: Wire) -> None:
    mine = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
    for given in (
        {"RoleArn": mine},
        {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/admin", "Policy": "{}"},
    ):
        with pytest.raises(Refused, match="only narrows the role that runs"):
            clients.own_role().assume_role(RoleSessionName="wanjiru", **given)
    assert wire.count("AssumeRole") == 0


def test_a_policy_is_short_and_says_what_aws_does_with_keys() -> None:
    arns = [f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:x-??????"]
    text = session_policy("secretsmanager", "PutSecretValue", arns, REGION, ACCOUNT, ENDS)

    assert len(text) < LONGEST_POLICY / 2
    call, keys = json.loads(text)["Statement"]
    assert call["Condition"]["DateLessThan"] == {"aws:CurrentTime": "2026-11-22T01:31:59Z"}, "never later"
    assert keys["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert keys["Condition"]["StringEquals"]["kms:ViaService"] == f"secretsmanager.{REGION}.amazonaws.com"


def test_actions_have_the_names_of_iam() -> None:
    text = session_policy("elbv2", "ModifyListener", ["arn:x"], REGION, ACCOUNT, ENDS)
    assert json.loads(text)["Statement"][0]["Action"] == ["elasticloadbalancing:ModifyListener"]
