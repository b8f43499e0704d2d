"""A run sees only what it needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daily_emr_runbooks.environment import refuse_redirection, replaced_environment, run_environment
from daily_emr_runbooks.errors import CommandError

ROOT = Path("/checkout")


def inside(**outside: str) -> dict[str, str]:
    return run_environment(outside, project=ROOT, runs_dir=ROOT / ".runs", sandbox=ROOT / ".sandbox")


@pytest.mark.parametrize(
    "name",
    [
        "HOME",
        "LC_CTYPE",
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "LAUNCHDARKLY_ACCESS_TOKEN",
        "DAILY_EMR_ANYTHING",
    ],
)
def test_what_a_run_needs_is_passed_on(name: str) -> None:
    assert inside(**{name: "x"})[name] == "x"


@pytest.mark.parametrize(
    "name",
    [
        "ANSIBLE_HOST_PATTERN_MISMATCH",
        "ANSIBLE_LIBRARY",
        "ANSIBLE_CALLBACK_PLUGINS",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "LD_PRELOAD",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_ECS",
        "GITHUB_TOKEN",
        "DATABASE_URL",
        "SSH_AUTH_SOCK",
    ],
)
def test_everything_else_stays_outside(name: str) -> None:
    assert name not in inside(**{name: "x"}, HOME="kept")
    assert "HOME" in inside(**{name: "x"}, HOME="kept")


def test_the_settings_are_those_of_the_project_whatever_the_shell_says() -> None:
    assert inside(ANSIBLE_CONFIG="/evil.cfg")["ANSIBLE_CONFIG"] == "/checkout/ansible.cfg"


def test_a_shell_that_redirects_aws_calls_is_refused_outside_of_the_sandbox() -> None:
    outside = {"AWS_ENDPOINT_URL_ECS": "http://elsewhere"}

    refuse_redirection(outside, "sandbox")
    with pytest.raises(CommandError, match="AWS_ENDPOINT_URL_ECS is set"):
        refuse_redirection(outside, "production")


def test_the_environment_of_the_command_itself_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEP_ME", "1")
    before = dict(os.environ)

    def fail() -> None:
        with replaced_environment({"ONLY": "1"}):
            assert dict(os.environ) == {"ONLY": "1"}
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert dict(os.environ) == before
