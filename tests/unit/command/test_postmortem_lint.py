"""The lint of a post-mortem finds every way to blame, every gap and every wrong figure, and leaves good words alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from daily_emr_runbooks.errors import CommandError
from daily_emr_runbooks.postmortem.catalogue import Blame, Claim, catalogue
from daily_emr_runbooks.postmortem.document import Document
from daily_emr_runbooks.postmortem.draft import NOT_KNOWN, render, write_draft
from daily_emr_runbooks.postmortem.incident import Incident, read_incident
from daily_emr_runbooks.postmortem.lint import Finding, lint
from daily_emr_runbooks.postmortem.people import Names
from daily_emr_runbooks.postmortem.privacy import Privacy

from .incidents import FULL, NAME, record, small, unknown_impact, write_incident
from .test_cli import Run, command  # noqa: F401  # a fixture

if TYPE_CHECKING:
    from pathlib import Path

    from daily_emr_runbooks.project import Project

ACTIONS = (
    "| P0 | detect | Alert on the pool at 80 % | platform | 2026-12-06 | A drill pages within 2 min | |",
    "| P1 | prevent | Limit the wait for the pool to 5 s | web | 2026-12-20 | The drill shows errors within 6 s | |",
)
EMPTY_ACTION = "| to be set | to be set | to be set | to be set | to be set | to be set | |"

GOOD = """
The release of 20:50 UTC doubled the connections that each task opens, and the pool of the database had room for one
task less. The alarm waits for five minutes of errors, so a facility in Kisumu called first. The runbook looked at the
release, rolled it back and saw seven good looks in a row. On-call read the graph of the queue first, because the last
three incidents had begun there. In all 4,100 failed requests were counted; it was detected after 7 minutes and
mitigated within 11 min. It cost 26 % of the error budget. Traffic was light, by luck. The log said
`pool failed to connect: human error, you should have set max` and nobody could tell what it meant.

```
ERROR operator forgot to set the pool; mail grace.wanjiru@daily-emr.example
```
"""


@pytest.fixture
def incident(tmp_path: Path) -> Incident:
    write_incident(tmp_path, record())
    return read_incident(tmp_path / NAME, Names.of_runs(tmp_path))


def filled_in(incident: Incident, words: str = "It went as told above.", actions: tuple[str, ...] = ACTIONS) -> str:
    """The draft with every question answered; words are the first answer."""
    lines, answers = [], iter([words])
    for line in render(incident, Privacy()).splitlines():
        if line.startswith("> To fill in:"):
            lines.append(next(answers, "It is told above."))
        elif line == EMPTY_ACTION:
            lines += actions
        elif not line.startswith("> "):
            lines.append(line.replace("to be set", "see the calendar"))
    return "\n".join(lines)


def found(incident: Incident, text: str) -> list[Finding]:
    return lint(incident, Document(text))


def whats(incident: Incident, text: str) -> str:
    return "\n".join(finding.sentence for finding in found(incident, text))


def test_a_text_without_blame_passes(incident: Incident) -> None:
    assert found(incident, filled_in(incident, GOOD)) == []


@pytest.mark.parametrize("entry", catalogue().blame, ids=lambda entry: entry.name)
def test_every_way_to_blame_is_found_with_its_line_and_what_to_write_instead(incident: Incident, entry: Blame) -> None:
    text = filled_in(incident, f"First.\n{entry.example}")
    line = text.splitlines().index(entry.example) + 1

    findings = [finding for finding in found(incident, text) if f"({entry.name})" in finding.what]

    assert [finding.line for finding in findings] == [line]
    assert entry.instead in findings[0].sentence


@pytest.mark.parametrize("entry", catalogue().blame, ids=lambda entry: entry.name)
def test_what_is_quoted_from_a_program_blames_nobody(incident: Incident, entry: Blame) -> None:
    for quoted in (
        f"The log: `{entry.example}`",
        f"```text\n{entry.example}\n```",
        f"~~~~\n{entry.example}\n~~~\n~~~~",
    ):
        assert found(incident, filled_in(incident, quoted)) == []


@pytest.mark.parametrize(
    "words",
    [
        "HUMAN ERROR",
        "a human\nerror",
        "a human\u00a0error",
        "a hu\u200bman error",
        "a **human** error",
        "they shouldn\u2019t have",
        "they should\n  have known",
    ],
)
def test_blame_in_disguise_is_found(incident: Incident, words: str) -> None:
    assert found(incident, filled_in(incident, words))


def test_a_gap_between_paragraphs_makes_no_blame(incident: Incident) -> None:
    assert found(incident, filled_in(incident, "It was noticed by a human\n\nError ratios fell then.")) == []


@pytest.mark.parametrize("name", ["Wanjiru", "Grace", "grace.wanjiru", "someone@daily-emr.example", "@grace"])
def test_a_person_is_found(incident: Incident, name: str) -> None:
    assert "names a person" in whats(incident, filled_in(incident, f"It was {name} on call."))


@pytest.mark.parametrize("number", ["12345678", "+254712345678", "0712345678", "CR1234567"])
def test_what_looks_like_a_number_of_a_person_is_found(incident: Incident, number: str) -> None:
    assert "may be the number of a person" in whats(incident, filled_in(incident, f"The claim of {number} was late."))


def test_the_owner_of_the_document_may_be_named(incident: Incident) -> None:
    text = filled_in(incident).replace("| Owner | see the calendar |", "| Owner | Grace Wanjiru |")

    assert "| Owner | Grace Wanjiru |" in text
    assert found(incident, text) == []


def test_words_of_the_record_are_not_blamed_until_somebody_writes_them_again(incident: Incident) -> None:
    text = filled_in(incident)
    assert "failed to stay below" in text

    assert found(incident, text) == []
    assert "failed to" in whats(incident, text.replace("emr-web-5xx failed to stay", "The pool failed to stay"))


def test_a_block_that_is_never_closed_hides_nothing(incident: Incident) -> None:
    said = whats(incident, filled_in(incident, "```\nIt was a human error."))

    assert "never closed" in said
    assert "human error" in said


def test_a_question_that_is_still_open_is_found(incident: Incident) -> None:
    text = filled_in(incident, "> To fill in: What did the facilities meet?")

    assert "still to be filled in" in whats(incident, text)
    assert "Owner is still to be set" in whats(incident, text.replace("| Owner | see the", "| Owner | to be set | the"))


def test_a_section_that_is_missing_or_empty_is_found(incident: Incident) -> None:
    text = filled_in(incident)

    assert 'The section "Where we got lucky" is missing' in whats(incident, text.replace("## Where we", "### Where we"))
    emptied = text.replace("## What went well\n\nIt is told above.\n", "## What went well\n\n")
    assert emptied != text
    assert 'The section "What went well" is empty' in whats(incident, emptied)


@pytest.mark.parametrize(("status", "good"), [("Draft", True), ("Closed", True), ("Done", False), ("", False)])
def test_the_status_is_one_that_is_known(incident: Incident, status: str, good: bool) -> None:
    text = filled_in(incident).replace("| Status | Draft |", f"| Status | {status} |")

    assert (found(incident, text) == []) is good


@pytest.mark.parametrize(
    ("row", "other"),
    [
        ("| Minutes of impact | 11.3 min |", "| Minutes of impact | 5.0 min |"),
        ("| Time to detect | 7 min 0 s |", "| Time to detect | 2 min |"),
        ("| Failed requests | 4100 |", "| Failed requests | some |"),
        ("| Severity | SEV1 |", "| Severity | SEV3 |"),
    ],
)
def test_a_measured_row_that_differs_from_the_record_is_found(incident: Incident, row: str, other: str) -> None:
    text = filled_in(incident)
    assert row in text

    (finding,) = found(incident, text.replace(row, other))

    assert finding.line == text.splitlines().index(row) + 1
    assert row.split(" | ")[1].rstrip(" |") in finding.instead
    assert "is missing" in whats(incident, text.replace(row, ""))


@pytest.mark.parametrize("claim", catalogue().claims, ids=lambda claim: claim.example)
def test_a_figure_in_a_sentence_that_differs_from_the_record_is_found(incident: Incident, claim: Claim) -> None:
    assert "is not what the record has" in whats(incident, filled_in(incident, claim.example))


@pytest.mark.parametrize(
    "words",
    [
        "The outage lasted 11 min.",
        "The outage lasted about 12 minutes.",
        "The outage lasted 11.3 minutes.",
        "It was down for 678 seconds.",
        "It cost 26.2 % of the budget.",
        "It was resolved within 2 hours.",
        "There were 4 100 failed requests of 52,000 requests.",
    ],
)
def test_a_figure_may_be_rounded(incident: Incident, words: str) -> None:
    assert found(incident, filled_in(incident, words)) == []


def test_a_figure_that_the_record_does_not_know_is_the_writers_own(tmp_path: Path) -> None:
    write_incident(tmp_path, unknown_impact())
    one = read_incident(tmp_path / NAME, Names())
    text = filled_in(one, "The outage lasted 90 minutes.", (*ACTIONS, ACTIONS[0].replace("detect", "mitigate")))

    assert f"| Minutes of impact | {NOT_KNOWN} |" in text
    assert found(one, text) == []


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("Limit the wait", "The wait is limited", 'The action does not begin with a verb: "The wait is'),
        ("Limit the wait", "Investigate the wait", 'Nobody can tell when "investigate" is done.'),
        ("| web |", "| |", "The action has no owner."),
        ("2026-12-20", "2026-12-24", "P1 is due 30 days after the resolution, and 2026-12-24 is later."),
        ("2026-12-20", "soon", 'The due date "soon" is no date.'),
        ("| P1 |", "| P9 |", 'The priority "P9" is unknown.'),
        ("| prevent |", "| hope |", 'The type "hope" is unknown.'),
        ("The drill shows errors within 6 s", "done", "The action has no test of being done."),
        ("| The drill shows errors within 6 s | |", "|", "The action has no test of being done."),
    ],
)
def test_an_action_that_cannot_be_done_is_found(incident: Incident, before: str, after: str, sentence: str) -> None:
    assert before in ACTIONS[1]

    said = whats(incident, filled_in(incident, actions=(ACTIONS[0], ACTIONS[1].replace(before, after))))

    assert sentence in said


def test_more_than_seven_actions_are_too_many(incident: Incident) -> None:
    assert found(incident, filled_in(incident, actions=ACTIONS[:1] * 7)) == []
    assert "There are 8 actions" in whats(incident, filled_in(incident, actions=ACTIONS[:1] * 8))


@pytest.mark.parametrize(
    ("detect", "mitigate", "wanted"),
    [
        (301.0, 60.0, ["To detect took longer than 5 min, and no action is of type detect."]),
        (300.0, 1801.0, ["To mitigate took longer than 30 min, and no action is of type mitigate."]),
        (300.0, 1800.0, []),
        (None, 60.0, ["To detect took nobody knows how long, and no action is of type detect."]),
    ],
)
def test_what_was_slow_or_is_not_known_needs_an_action(
    tmp_path: Path, detect: float | None, mitigate: float, wanted: list[str]
) -> None:
    durations = {**FULL["durations_s"], "detect": detect, "mitigate": mitigate}
    write_incident(tmp_path, record(durations_s=durations))
    one = read_incident(tmp_path / NAME, Names())

    assert [finding.what for finding in found(one, filled_in(one, actions=ACTIONS[1:]))] == wanted


def test_a_small_incident_needs_no_action_for_what_nobody_measured(tmp_path: Path) -> None:
    write_incident(tmp_path, {**small(), "durations_s": dict.fromkeys(FULL["durations_s"])})
    one = read_incident(tmp_path / NAME, Names())

    assert found(one, filled_in(one, actions=())) == []


@pytest.mark.parametrize(
    "text", ["", "\0" * 10, "|" * 50_000, "```" * 20_000, "(" * 50_000, "a @" * 20_000, "# \n" * 9]
)
def test_hostile_texts_end_as_findings(incident: Incident, text: str) -> None:
    findings = found(incident, text)

    assert any("is missing" in finding.what for finding in findings)
    assert all("\n" not in finding.sentence and "\0" not in finding.sentence for finding in findings)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "`runbook postmortem INC-"), (b"\xff\xfe", "save it as UTF-8"), (b"x" * 1_000_001, "longer than 1 MB")],
)
def test_what_is_no_text_is_one_sentence(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / NAME / "postmortem.md"
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(CommandError, match=sentence):
        Document.read(path)


def test_the_command_ends_with_1_for_findings_and_0_without(project: Project, command: Run) -> None:  # noqa: F811
    write_incident(project.runs_dir, record())
    one = read_incident(project.runs_dir / NAME, Names.of_runs(project.runs_dir))
    path, _ = write_draft(one, None, again=False)

    code, output, _ = command("postmortem", NAME, "--lint")
    path.write_text(filled_in(one, GOOD), encoding="utf-8")
    clean_code, clean_output, _ = command("postmortem", NAME, "--lint")

    assert (code, clean_code) == (1, 0)
    assert "This is still to be filled in." in output
    assert "nothing to be written otherwise" in clean_output
