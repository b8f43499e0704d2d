"""The draft of a post-mortem needs no figure by hand, names nobody, and never goes over what people wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from daily_emr_runbooks.errors import CommandError
from daily_emr_runbooks.postmortem.document import Document
from daily_emr_runbooks.postmortem.draft import render, write_draft
from daily_emr_runbooks.postmortem.incident import Incident, find_incident, read_incident
from daily_emr_runbooks.postmortem.lint import lint
from daily_emr_runbooks.postmortem.people import Names
from daily_emr_runbooks.postmortem.privacy import Exposure, Privacy, answered

from .conftest import permissions
from .incidents import FULL, NAME, record, refused, small, two_components, unknown_impact, write_incident
from .test_cli import Run, command  # noqa: F401  # a fixture

if TYPE_CHECKING:
    from pathlib import Path

    from daily_emr_runbooks.project import Project

AWARE = datetime(2026, 11, 23, 22, tzinfo=UTC)
NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
NOTHING = Privacy()


def incident(runs: Path, found: dict[str, Any]) -> Incident:
    return read_incident(write_incident(runs, found), Names.of_runs(runs))


def draft(runs: Path, found: dict[str, Any], privacy: Privacy = NOTHING) -> str:
    return render(incident(runs, found), privacy)


def test_everything_measured_stands_in_the_draft(tmp_path: Path) -> None:
    text = draft(tmp_path, record())

    for fact in (
        "| Status | Draft |",
        "| Owner | to be set |",
        "| Due | 2026-11-25 22:30:00 UTC, 2026-11-26 01:30:00 EAT, 48 h after it was resolved |",
        "| Mandatory | yes: every SEV1 has one |",
        "| Minutes of impact | 11.3 min |",
        "| Failed requests | 4100 |",
        "| Part of it | 26.2 % of the budget of the month |",
        "| Time to detect | 7 min 0 s |",
        "| Time to resolve | 1 h 38 min |",
        "| 2026-11-23 20:55:00 | 5 | 2100 | 8800 | not known |",
        "| outcome | failed |",
        "- predicted: Users see errors for up to 2 min.",
        "| before | revision: 3 |",
        "| 2026-11-23 21:00:00 | pagerduty | opened | sent | PD1 |",
    ):
        assert fact in text


def test_what_only_people_know_is_asked_for_with_how_and_what(tmp_path: Path) -> None:
    questions = [line for line in draft(tmp_path, record()).splitlines() if "To fill in:" in line]

    assert len(questions) > 10
    assert not [line for line in questions if "hy " in line or "who " in line.lower()]
    assert any("paper forms" in line for line in questions)
    assert any("back-entry" in line for line in questions)
    assert any("near misses" in line for line in questions)


def test_an_unknown_impact_is_said_to_be_unknown_and_why(tmp_path: Path) -> None:
    text = draft(tmp_path, unknown_impact())

    assert "| Minutes of impact | not known |" in text
    assert "| Why something is not known | AccessDenied in cloudwatch:GetMetricData |" in text
    assert "| Mandatory | yes: the impact is not known: AccessDenied in cloudwatch:GetMetricData |" in text
    assert "| Time to detect | not known |" in text


def test_an_incident_on_two_components_has_one_draft_with_both(tmp_path: Path) -> None:
    text = draft(tmp_path, two_components())

    assert "| Components | emr-db, emr-web |" in text
    assert "| r1 | emr-web | app_outage | succeeded |" in text
    assert "| r2 | emr-db | database_failover | noop |" in text


def test_a_refused_incident_that_is_still_open_is_not_due(tmp_path: Path) -> None:
    text = draft(tmp_path, refused())

    assert "| Due | not resolved yet |" in text
    assert "| Mandatory | no: it cost 2.0 min, less than a fifth of the budget of the month |" in text
    assert "The runbooks changed nothing." in text


@pytest.mark.parametrize(
    ("severity", "minutes", "share", "mandatory"),
    [
        ("SEV1", 0.0, 0.0, True),
        ("SEV2", 0.0, 0.0, True),
        ("SEV3", 8.5, 0.197, False),
        ("SEV3", 8.6, 0.199, True),
        ("SEV3", 8.1, 0.2, True),
        ("SEV3", None, 0.2, True),
        ("SEV4", None, None, True),
        ("SEV4", 0.0, 0.0, False),
    ],
)
def test_a_severe_or_costly_or_unmeasured_incident_needs_one(
    tmp_path: Path, severity: str, minutes: float | None, share: float | None, mandatory: bool
) -> None:
    cost = {**FULL["impact"], "minutes": minutes, "budget_share": share}

    assert incident(tmp_path, record(severity=severity, impact=cost)).mandatory[0] is mandatory


@pytest.mark.parametrize("found", [record(), unknown_impact(), two_components(), refused(), small()])
@pytest.mark.parametrize("privacy", [NOTHING, Privacy(Exposure.NONE), Privacy(Exposure.UNKNOWN, AWARE)])
def test_the_lint_finds_nothing_in_a_draft_but_what_is_still_open(
    tmp_path: Path, found: dict[str, Any], privacy: Privacy
) -> None:
    one = incident(tmp_path, found)
    path, _ = write_draft(one, privacy, again=False)

    findings = lint(one, Document.read(path))

    left = [finding.what for finding in findings if "still to be" not in finding.what]
    assert all("no action is of type" in what for what in left), left


def test_names_of_operators_become_roles(tmp_path: Path) -> None:
    text = draft(tmp_path, record(sentence="Wanjiru and grace.wanjiru@daily-emr.example looked in the grace period."))

    assert "anjiru" not in text
    assert "the operator and the operator looked in the grace period." in text
    assert "| action | the operator |" in text


@pytest.mark.parametrize("account", ["root", "awx", "runbook-act", "botocore-session-1764552000", "ci"])
def test_accounts_of_machines_are_no_people(account: str) -> None:
    text = "The root of it: awx and ci act in a session as runbook-act."

    assert Names(frozenset({account})).taken_out(text) == text


HOSTILE = "|x|\n## Summary\n[click](https://evil.example) <script>alert(1)</script> {{ 7*7 }} \x1b[2J\u202e @all `sh`"


def test_hostile_texts_of_the_record_are_harmless(tmp_path: Path) -> None:
    line = {**FULL["timeline"][0], "summary": HOSTILE, "actor": HOSTILE, "evidence": {"url": HOSTILE}}
    found = record(title=HOSTILE, sentence=HOSTILE, timeline=[line], components=[HOSTILE])

    text = draft(tmp_path, found)

    assert text.count("\n## Summary\n") == 1
    assert "<script" not in text
    assert "[click](" not in text
    assert "://evil" not in text
    assert "{{ 7" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "@all" not in text
    rows = [row for row in text.splitlines() if row.startswith("| 2026-11-23 20:59:00")]
    assert [row.replace("\\|", "").count("|") for row in rows] == [8]


def test_a_draft_is_for_its_owner_alone_and_is_written_again_when_the_record_has_changed(tmp_path: Path) -> None:
    path, _ = write_draft(incident(tmp_path, record()), None, again=False)
    assert permissions(path) == 0o600
    (tmp_path / NAME / "incident.json").write_text(json.dumps(record(title="Another title")), encoding="utf-8")

    again, _ = write_draft(read_incident(tmp_path / NAME, Names()), None, again=False)

    assert again == path
    assert "Another title" in path.read_text(encoding="utf-8")
    assert not list(tmp_path.glob("*/.*"))


def test_what_people_wrote_is_never_written_over(tmp_path: Path) -> None:
    one = incident(tmp_path, record())
    path, _ = write_draft(one, None, again=False)
    edited = path.read_text(encoding="utf-8").replace("> To fill in", "The pool was small. > To fill in", 1)
    path.write_text(edited, encoding="utf-8")

    with pytest.raises(CommandError, match="has been edited, and what people wrote stays: add --again"):
        write_draft(one, None, again=False)
    second, _ = write_draft(one, None, again=True)
    third, _ = write_draft(one, None, again=True)

    assert path.read_text(encoding="utf-8") == edited
    assert [second.name, third.name] == ["postmortem-draft-2.md", "postmortem-draft-3.md"]


def test_a_file_that_no_draft_was_is_not_written_over(tmp_path: Path) -> None:
    one = incident(tmp_path, record())
    (one.folder / "postmortem.md").write_text("Mine.", encoding="utf-8")
    (one.folder / "postmortem.json").write_text("[]", encoding="utf-8")

    with pytest.raises(CommandError, match="has been edited"):
        write_draft(one, None, again=False)


@pytest.mark.parametrize("exposure", [Exposure.SUSPECTED, Exposure.CONFIRMED, Exposure.UNKNOWN])
def test_every_exposure_but_none_starts_four_clocks_in_both_zones(tmp_path: Path, exposure: Exposure) -> None:
    text = draft(tmp_path, record(), Privacy(exposure, AWARE))

    for clock in (
        "| T+4 h | 2026-11-24 02:00:00 UTC, 05:00:00 EAT |",
        "| T+24 h | 2026-11-24 22:00:00 UTC, 2026-11-25 01:00:00 EAT |",
        "| T+48 h | 2026-11-25 22:00:00 UTC, 2026-11-26 01:00:00 EAT |",
        "| T+72 h | 2026-11-26 22:00:00 UTC, 2026-11-27 01:00:00 EAT |",
    ):
        assert clock in text
    assert "Nothing of this is sent" in text


def test_no_exposure_starts_no_clock(tmp_path: Path) -> None:
    assert "T+" not in draft(tmp_path, record(), Privacy(Exposure.NONE))


def test_the_answer_about_an_exposure_is_kept(tmp_path: Path) -> None:
    one = incident(tmp_path, record())
    write_draft(one, Privacy(Exposure.UNKNOWN, AWARE), again=False)

    path, privacy = write_draft(one, None, again=False)

    assert privacy == Privacy(Exposure.UNKNOWN, AWARE)
    assert "T+72 h" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("exposure", "aware_at", "sentence"),
    [
        (Exposure.SUSPECTED, None, "say when somebody first became aware"),
        (Exposure.SUSPECTED, "2026-11-23T22:00:00", "is no time with its zone"),
        (Exposure.SUSPECTED, "yesterday", "is no time with its zone"),
        (Exposure.SUSPECTED, "2026-11-24T06:00:01Z", "is still to come"),
        (Exposure.NONE, "2026-11-23T22:00:00Z", "name it with --data-exposure"),
        (None, "2026-11-23T22:00:00Z", "name it with --data-exposure"),
    ],
)
def test_a_clock_starts_only_at_a_time_that_somebody_named(
    exposure: Exposure | None, aware_at: str | None, sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        answered(exposure, aware_at, NOW)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "is of schema None, and this version reads 1"),
        ('{"schema": 2}', "is of schema 2, and this version reads 1"),
        ('{"schema": true}', "is of schema True"),
        ('{"schema": 1}', "is no record of an incident: incident is no text"),
        (json.dumps(record(times=[])), "times.impact_began is missing"),
        (json.dumps(record(times={**FULL["times"], "detected": "soon"})), "times.detected is no time"),
        (json.dumps(record(impact={**FULL["impact"], "minutes": "11"})), "impact.minutes is no figure"),
        (json.dumps(record(impact={**FULL["impact"], "minutes": float("nan")})), "impact.minutes is no figure"),
        (json.dumps(record(timeline=[{}])), "timeline is no list of rows with ts_utc, kind, summary"),
        (json.dumps(record(incident="INC-2")), "is about 'INC-2', not about INC-2026"),
        ("[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_a_record_of_another_shape_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    folder = write_incident(tmp_path, record())
    (folder / "incident.json").write_text(text, encoding="utf-8")

    with pytest.raises(CommandError) as refusal:
        read_incident(folder, Names())

    assert sentence in refusal.value.sentence
    assert "\n" not in refusal.value.sentence


def test_an_incident_without_a_record_is_one_sentence(project: Project) -> None:
    (project.runs_dir / NAME).mkdir(parents=True)

    with pytest.raises(CommandError, match=r"has no incident\.json yet"):
        find_incident(project, NAME)
    with pytest.raises(CommandError, match="There is no INC-1 in"):
        find_incident(project, "INC-1")
    with pytest.raises(CommandError, match="An incident is named like"):
        find_incident(project, "../etc")


def test_the_command_writes_the_draft_and_says_what_runs(project: Project, command: Run) -> None:  # noqa: F811
    write_incident(project.runs_dir, record())

    code, output, _ = command(
        "postmortem", NAME, "--data-exposure", "suspected", "--aware-at", "2026-11-23T22:00:00+00:00"
    )

    assert code == 0
    assert "has to be published 48 h after the incident is resolved: every SEV1 has one." in output
    assert "T+72 h, 2026-11-26 22:00:00 UTC, 2026-11-27 01:00:00 EAT: the Data Commissioner" in output
    assert str(project.runs_dir / NAME / "postmortem.md") in output


TOO_MUCH = (
    "",
    f"{NAME} --due",
    "--lint",
    f"{NAME} --lint --again",
    "--due --lint",
    "--due --again",
    f"{NAME} --jira --lint",
)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("words", TOO_MUCH)
def test_the_command_asks_for_one_thing_at_a_time(command: Run, words: str) -> None:  # noqa: F811
    code, _, error = command("postmortem", *words.split())

    assert code == 2
    assert "Name an incident to write its draft" in error
