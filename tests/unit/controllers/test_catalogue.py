"""The one source: what can be run, and what an operator is asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from daily_emr_runbooks import docs, permissions, runbooks
from daily_emr_runbooks.catalogue import Job, is_for_operators, jobs
from daily_emr_runbooks.errors import CommandError
from daily_emr_runbooks.inputs import check_inputs
from daily_emr_runbooks.project import Project
from daily_emr_runbooks.runbooks import Input

ROOT = Path(__file__).resolve().parents[3]
NEW = """      claims_api_outage_agreed:
        description: Whether somebody agreed.
        type: bool
        default: false
"""


@pytest.fixture(scope="module")
def known() -> dict[str, Job]:
    return {job.name: job for job in jobs(Project(ROOT))}


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the generated pages come from, without the policies of IAM, which take long."""
    for folder in ("runbooks", "playbooks", "roles", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    policies = (ROOT / docs.POLICIES).read_text()
    monkeypatch.setattr(permissions, "rendered", lambda _root: policies)
    return tmp_path


def entry(kind: str, default: object = None, *, required: bool = False, choices: tuple[str, ...] = ()) -> Input:
    return Input("one", kind, "One.", required, default, choices)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (entry("str", ""), True),
        (entry("bool", False), True),
        (entry("str", required=True), True),
        (entry("int", required=True), True),
        (entry("str", "verified", choices=("verified", "rotated")), True),
        (entry("str", "6h"), False),
        (entry("str", "{{ emr_prefix }}"), False),
        (entry("bool", True), False),
        (entry("int", 0), False),
        (entry("float", 0.05), False),
        (entry("path", ""), False),
        (entry("list", []), False),
        (entry("dict", required=True), False),
    ],
)
def test_an_operator_is_asked_for_decisions_and_not_for_settings(given: Input, asked: bool) -> None:
    assert is_for_operators(given) is asked


def test_every_file_on_components_is_a_job_and_tools_are_none(known: dict[str, Job]) -> None:
    files = {path: yaml.safe_load(path.read_text())[0]["hosts"] for path in ROOT.glob("*books/*.yml")}
    assert {job.playbook for job in known.values()} == {
        path.relative_to(ROOT).as_posix() for path, hosts in files.items() if hosts != "localhost"
    }
    assert "controller" not in known
    for job in known.values():
        assert job.title
        assert job.description
        assert job.targets == files[ROOT / job.playbook]


def test_what_changes_something_needs_approval_unless_its_play_says_otherwise(known: dict[str, Job]) -> None:
    assert {job.name for job in known.values() if not job.changes} == {"audit", "readiness", "release_gate", "status"}
    asks_nobody = {job.name for job in known.values() if job.changes and not job.needs_approval}
    approving = {"approve", "region_approval", "release_override"}
    assert asks_nobody == {"backup", "restore_check", "notify", "slo", "stop"} | approving
    assert all(job.needs_approval for job in known.values() if job.severity)


def test_a_play_says_nothing_about_its_job_that_nobody_reads(known: dict[str, Job]) -> None:
    for job in known.values():
        header = yaml.safe_load((ROOT / job.playbook).read_text())[0].get("vars") or {}
        assert {name for name in header if name.startswith("job_")} <= {"job_changes", "job_needs_approval"}


def test_an_incident_in_playbooks_has_what_a_runbook_has(known: dict[str, Job]) -> None:
    failover = known["region_failover"]
    assert (failover.severity, failover.kind, len(failover.triggers)) == ("SEV1", "playbook", 3)
    assert {"incident_id", "region_failover_stand_down"} <= {one.name for one in failover.inputs}


def test_a_new_input_appears_in_survey_docs_and_command_together(copied: Path) -> None:
    given, role = ["claims_api_outage_agreed=true"], copied / "roles/claims_api_outage"
    assert stale(copied) == {}
    with pytest.raises(CommandError, match="There is no input"):
        check_inputs(given, runbooks.load(Project(copied), "claims_api_outage").inputs)

    spec = role / "meta/argument_specs.yml"
    spec.write_text(spec.read_text() + NEW)

    complained = stale(copied)
    assert set(complained) == {
        "roles/claims_api_outage/README.md",
        "roles/controller/files/jobs.json",
        "roles/semaphore/files/definitions.json",
        "docs/controllers.md",
    }
    assert all("claims_api_outage_agreed" in text for text in complained.values())
    inputs = runbooks.load(Project(copied), "claims_api_outage").inputs
    assert check_inputs(given, inputs) == {"claims_api_outage_agreed": True}


def stale(root: Path) -> dict[str, str]:
    """The pages that `make lint` would complain about, as they should be."""
    should = docs.pages(root)
    return {page.relative_to(root).as_posix(): text for page, text in should.items() if page.read_text() != text}
