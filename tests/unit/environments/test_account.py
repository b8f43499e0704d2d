"""Who may build, and how the modules of amazon.aws are pointed at an environment."""

from __future__ import annotations

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._account import builder_environment, surround
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.plugin_utils.guarded import judged

STAGING = {
    "name": "staging",
    "account_id": "123456789012",
    "region": "af-south-1",
    "role_pattern": "^daily-emr-staging-runbook-act$",
    "table": "daily-emr-staging-runbooks",
    "fingerprint_parameter": "/daily-emr/staging/fingerprint",
    "domain": "app.example.org",
    "endpoint_url": None,
    "credentials_file": None,
    "time_factor": 1,
}
SANDBOX = {
    **STAGING,
    "name": "sandbox",
    "endpoint_url": "http://127.0.0.1:1",
    "credentials_file": "/sandbox/credentials",
}


def test_who_builds_is_not_who_runs_runbooks():
    assert builder_environment(STAGING, "^daily-emr-staging-bootstrap$").role_pattern == "^daily-emr-staging-bootstrap$"


def test_an_account_that_is_not_filled_in_is_refused():
    with pytest.raises(Refused, match="account_id of environment staging is not set"):
        builder_environment({**STAGING, "account_id": "UNSET"}, "^builder$")


def test_without_a_pattern_nobody_may_build():
    with pytest.raises(Refused, match="emr_builder_role_pattern"):
        builder_environment(STAGING, None)


def test_only_the_sandbox_gets_an_endpoint():
    staging: dict[str, str] = {"AWS_PROFILE": "staging"}
    surround(builder_environment(STAGING, "^builder$"), staging)
    assert staging == {"AWS_PROFILE": "staging", "AWS_REGION": "af-south-1", "AWS_DEFAULT_REGION": "af-south-1"}
    sandbox = {"AWS_PROFILE": "staging", "AWS_ACCESS_KEY_ID": "real"}
    surround(builder_environment(SANDBOX, "^builder$"), sandbox)
    assert "AWS_PROFILE" not in sandbox
    assert "AWS_ACCESS_KEY_ID" not in sandbox
    assert sandbox["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"


def test_a_difference_in_what_somebody_else_owns_is_an_error():
    found = judged({"changed": True, "diff": {"before": 1}}, "amazon.aws.ec2_vpc_net")
    assert (found["failed"], found["changed"]) == (True, False)
    assert "somebody else owns it" in found["msg"]


def test_no_difference_is_none():
    assert judged({"changed": False}, "amazon.aws.ec2_vpc_net") == {"changed": False}
