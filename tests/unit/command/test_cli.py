"""The command as a person meets it: clear words, the right exit code, never a traceback."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from daily_emr_runbooks import cli
from daily_emr_runbooks.project import Project

from .conftest import JOURNAL, RECORD, ROOT, write_run

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the entry point as the shell does; returns exit code, stdout, stderr."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["runbook", *words])
        monkeypatch.setenv("COLUMNS", "120")
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


@pytest.mark.usefixtures("project")
def test_list_names_every_runbook_with_its_title(command: Run) -> None:
    code, output, _ = command("list")

    assert code == 0
    assert "kettle" in output
    assert "The kettle is cold" in output


@pytest.mark.usefixtures("project")
def test_show_tells_when_what_and_why(command: Run) -> None:
    code, output, _ = command("show", "kettle")

    assert code == 0
    for fact in (
        "No tea",
        "unplugged",
        "no_power and cold or lukewarm",
        "steam",
        "plug_in",
        "Buy a kettle.",
        "kettle_litres",
    ):
        assert fact in output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "kettel"], "There is no runbook 'kettel'. Did you mean kettle? There is: kettle."),
        (["run", "kettle", "-i", "prod"], "There is no environment 'prod'. There is: staging."),
        (["run", "kettle", "-i", "common"], "There is no environment 'common'. There is: staging."),
        (["run", "kettle", "-i", "staging", "--input", "kettle_litre=2"], "Did you mean kettle_litres?"),
        (["run", "kettle", "-i", "staging", "--input", "kettle_litres={{ 1 }}"], "must be a whole number"),
        (["run", "kettle", "-i", "staging", "--limit", "emr-wbe"], "--limit 'emr-wbe' is no component of web."),
        (["report"], "There is no record yet"),
        (["report", "latest", "--format", "pdf"], "There is no format 'pdf'."),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_starts_nothing(
    project: Project, command: Run, words: list[str], sentence: str
) -> None:
    code, _, error = command(*words)

    assert code == 2
    assert sentence in error
    assert "Traceback" not in error
    assert error.count("\n") == 1
    assert not project.runs_dir.exists()


def test_an_empty_group_is_refused(project: Project, command: Run) -> None:
    hosts = project.root / "inventories" / "staging" / "hosts.yml"
    hosts.write_text("all: {children: {web: {hosts: {}}}}\n")

    code, _, error = command("run", "kettle", "-i", "staging")

    assert (code, "The group web of environment staging has no components" in error) == (2, True)


@pytest.mark.usefixtures("project")
def test_a_part_of_the_sandbox_that_is_not_there_is_one_sentence(command: Run) -> None:
    code, _, error = command("sandbox", "up", "--parts", "queue")

    assert code == 2
    assert error.strip() == (
        "There is no part 'queue': use queues, claims, telehealth, people, region, or core for none of them."
    )


def test_a_sandbox_that_does_not_run_is_one_sentence(project: Project, command: Run) -> None:
    (project.root / "inventories" / "staging").rename(project.root / "inventories" / "sandbox")

    assert "No sandbox is running" in command("run", "kettle", "-i", "sandbox")[2]
    # A daemon that died leaves its file behind; Linux gives out no process id above 2^22.
    project.sandbox_dir.mkdir(parents=True)
    (project.sandbox_dir / "sandbox.json").write_text(json.dumps({"pid": 2**22 + 1}))
    assert "No sandbox is running" in command("run", "kettle", "-i", "sandbox")[2]


def test_outside_of_a_checkout_the_installed_one_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert Project.find().root == ROOT


def test_a_run_ends_with_its_outcome_its_record_and_its_report(project: Project, command: Run) -> None:
    code, output, _ = command("run", "kettle", "-i", "staging")

    assert code == 0
    assert "noop: Warm." in output
    folder = project.runs_dir / "INC-1" / "run-1"
    for path in (
        *(folder / name for name in ("record.json", "report.md", "report.html")),
        *(folder.parent / name for name in ("incident.md", "incident.html")),
    ):
        assert str(path) in output
        assert path.exists()


@pytest.mark.usefixtures("project")
def test_a_run_without_an_outcome_is_no_success_though_ansible_says_0(command: Run) -> None:
    code, output, _ = command("run", "kettle", "-i", "staging", "--input", "kettle_outcome=none")

    assert code == 4
    assert "failed_clean" in output


def test_the_report_of_a_run_is_found_by_latest_by_incident_and_by_path(project: Project, command: Run) -> None:
    folder = write_run(project.runs_dir, JOURNAL, RECORD)

    for which in ("latest", "INC-7", str(folder.path), str(folder.path / "record.json")):
        code, output, _ = command("report", which, "--format", "html", "--open-path")
        pages = [folder.path / "report.html", folder.path.parent / "incident.html"]
        assert (code, output.split()) == (0, [str(page) for page in pages])
    assert "The newest are: INC-7" in command("report", "INC-9")[2]


def test_the_real_runbooks_can_be_listed_and_shown(monkeypatch: pytest.MonkeyPatch, command: Run) -> None:
    monkeypatch.chdir(ROOT)

    assert "app_outage" in command("list")[1]
    assert "bad_release" in command("show", "app_outage")[1]
