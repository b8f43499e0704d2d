"""The policies, generated once for all tests of this folder, and filled in for a test environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daily_emr_runbooks.calls import Sources
from daily_emr_runbooks.permissions import policies

ROOT = Path(__file__).resolve().parents[3]
STAGING = {
    "account": "123456789012",
    "region": "af-south-1",
    "copy_region": "eu-west-1",
    "prefix": "daily-emr-staging",
    "environment": "staging",
    "table": "daily-emr-staging-runbooks",
    "dns_zone": "Z1",
}


@pytest.fixture(scope="session")
def made() -> dict[str, Any]:
    return policies(ROOT)


@pytest.fixture(scope="session")
def sources() -> Sources:
    return Sources(ROOT)


@pytest.fixture(scope="session")
def filled(made: dict[str, Any]) -> dict[str, Any]:
    """As staging gets them."""
    text = json.dumps(made)
    for name, value in STAGING.items():
        text = text.replace(f"{{{{ runbook_support_{name} }}}}", value)
    assert "{{" not in text
    return dict(json.loads(text))


def allowed(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [statement for statement in document["Statement"] if statement["Effect"] == "Allow"]


def names(document: dict[str, Any]) -> set[str]:
    """The actions that a policy allows."""
    return {name for statement in allowed(document) for name in statement["Action"]}
