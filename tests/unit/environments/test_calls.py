"""What modules call is read from their sources; what cannot be told is an error."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from daily_emr_runbooks.calls import PLUGINS, NotInferred, Sources
from tests.unit.environments.conftest import ROOT

HEAD = "from ansible_collections.daily_emr.ops.plugins.module_utils"


def found(sources: Sources, module: str) -> set[str]:
    return {site.call for site in sources.calls(module)}


def test_a_write_is_found_by_its_two_words_and_a_read_by_its_service_and_method(sources):
    assert "rds:RebootDBInstance" in found(sources, "database_failover")
    assert {"ecs:DescribeServices", "elbv2:DescribeTargetHealth"} <= found(sources, "web_service_health")


def test_a_call_is_found_where_data_says_it(sources):
    assert "controltower:GetLandingZone" in found(sources, "readiness_evidence")
    assert "ec2:DeleteVpc" in found(sources, "teardown")
    assert "dynamodb:TransactWriteItems" in found(sources, "incident")


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("claims_api_health", "secretsmanager:GetSecretValue"),
        ("readiness_evidence", "s3:GetObject"),
        ("database_restore_check", "s3:GetObject"),
        ("database_health", "rds-db:connect"),
        ("queue_health", "elasticache:Connect"),
    ],
)
def test_what_other_gates_let_through_is_found(sources, module, call):
    assert call in found(sources, module)


def test_what_a_neighbour_in_the_same_file_calls_is_not_taken(sources):
    assert "wafv2:UpdateWebACL" in found(sources, "waf_rule")
    assert "wafv2:UpdateWebACL" not in found(sources, "web_service_health")


def test_every_file_says_what_it_calls(sources):
    assert len(sources.declared()) > 200


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A project with the gates and nothing else; a test adds a module."""
    for kind in ("modules", "module_utils"):
        (tmp_path / PLUGINS / kind).mkdir(parents=True)
    shutil.copy(ROOT / PLUGINS / "module_utils/_clients.py", tmp_path / PLUGINS / "module_utils")
    return tmp_path


def calls(checkout: Path, text: str, **others: str) -> set[str]:
    for name, other in others.items():
        (checkout / PLUGINS / f"module_utils/{name}.py").write_text(other)
    (checkout / PLUGINS / "modules/probe.py").write_text(text)
    return found(Sources(checkout), "probe") - {"sts:GetCallerIdentity", "ssm:GetParameter"}


def test_only_what_is_named_of_an_imported_file_is_reached(checkout):
    other = (
        'def one(clients):\n    return clients.read("ecs").describe_tasks()\n'
        'def two(clients):\n    clients.write("ecs", "StopTask").stop_task()\n'
    )
    assert calls(checkout, f"{HEAD}._other import one\nRUN = one\n", _other=other) == {"ecs:DescribeTasks"}


def test_a_function_that_registers_itself_is_reached_by_the_registry(checkout):
    other = (
        "AREA = Registry()\ncheck = AREA.check\n"
        '@check\ndef one(clients):\n    return clients.read("ecs").list_tasks()\n'
    )
    text = f"from {HEAD.split()[1]} import (\n    _other as other,\n)\nRUN = other.AREA\n"
    assert calls(checkout, text, _other=other) == {"ecs:ListTasks"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('def f(clients):\n    return clients.read("ecs")\n', "names no read of it"),
        ('def f(clients):\n    return clients.read("nothing").list_it()\n', "which is no service of AWS"),
        ("def f(clients, name):\n    return clients.read(name)\n", "whose service is no word"),
        ('def f(clients, name):\n    clients.write("ecs", name)\n', "no operation is named there"),
        ('def f(clients):\n    clients.write("ecs", "StopTasks")\n', "which AWS does not have"),
        (
            'def f(client):\n    client.describe_tasks()\ndef g(clients):\n    clients.read("ecs").list_tasks()\n',
            "describe_tasks of a client that was made elsewhere",
        ),
        ("def f(aws: Clients):\n    pass\n", "name the parameter `clients`"),
    ],
)
def test_what_cannot_be_told_is_an_error(checkout, text, sentence):
    with pytest.raises(NotInferred, match=sentence):
        calls(checkout, text)


def test_a_gate_that_does_not_say_what_it_lets_through_is_an_error(checkout):
    path = checkout / PLUGINS / "module_utils/_clients.py"
    path.write_text(path.read_text().replace('    "objects": "s3:GetObject",\n', ""))
    with pytest.raises(NotInferred, match=r"Clients\.objects makes a client, and GATES"):
        Sources(checkout)
