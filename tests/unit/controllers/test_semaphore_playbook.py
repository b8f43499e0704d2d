"""The playbook itself against the stand-in: one run makes everything, and a plan finds what somebody changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .semaphore_server import TOKEN, Server

ROOT = Path(__file__).resolve().parents[3]
SITE = {
    "semaphore_repository_url": "https://git.example.org/daily-emr/runbooks.git",
    "semaphore_repository_key": "login_password",
    # Half of the objects are enough for the same tasks.
    "semaphore_environments": ["staging"],
    "semaphore_variables": {"DAILY_EMR_RUNS": "/var/lib/daily-emr/runs"},
}
SECRETS = {"SEMAPHORE_REPOSITORY_PASSWORD": "repository-secret", "STAGING_LAUNCHDARKLY_ACCESS_TOKEN": "flag-secret"}


def play(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    server.calls.clear()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    site = json.dumps({**SITE, "semaphore_url": server.url})
    return subprocess.run(
        [program, "-vv", "-i", "localhost,", "playbooks/semaphore.yml", "-e", site, *arguments],
        cwd=ROOT,
        env={**kept, **SECRETS, "SEMAPHORE_API_TOKEN": TOKEN, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_one_run_makes_everything_and_a_plan_shows_only_what_somebody_changed(semaphore: Server) -> None:
    done = play(semaphore)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed=0" in done.stdout
    assert [call.path for call in semaphore.changes][:1] == ["/api/projects/restore"]
    (key,) = [call.body for call in semaphore.changes if "/keys/" in call.path]
    assert (key["name"], key["login_password"]) == ("runbooks", {"password": "repository-secret"})
    act = semaphore.named("environment", "daily-emr-staging-runbook-act")
    assert json.loads(act["env"]) == {"AWS_PROFILE": act["name"], "DAILY_EMR_RUNS": "/var/lib/daily-emr/runs"}
    assert [entry["name"] for entry in act["secrets"]] == ["LAUNCHDARKLY_ACCESS_TOKEN"]
    assert "secrets" not in semaphore.named("environment", "daily-emr-staging-runbook-backup")
    assert semaphore.named("repository", "runbooks")["git_url"] == SITE["semaphore_repository_url"]
    assert semaphore.named("schedule", "backup on staging")["active"]

    template = semaphore.named("template", "app_outage on staging")
    template["allow_override_args_in_task"] = True
    shown = play(semaphore, "--check", "--diff")

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert semaphore.changes == []
    changed = [line for line in shown.stdout.splitlines() if line.startswith("changed:")]
    assert [line.split(" => ")[1].split(") ")[0].rstrip(")") for line in changed] == [
        "(item=template app_outage on staging"
    ]
    assert "-    allow_override_args_in_task: true" in shown.stdout
    for secret in (TOKEN, *SECRETS.values()):
        assert secret not in done.stdout + done.stderr + shown.stdout + shown.stderr
