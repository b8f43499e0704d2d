"""The report: the facts of the run, nothing that could act, nothing made up."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from daily_emr_runbooks.rendering import escape_markdown
from daily_emr_runbooks.report import build, render, write_reports
from daily_emr_runbooks.text import clean
from daily_emr_runbooks.timeline import LEFT, NARROWEST, WIDTH

from .conftest import JOURNAL, RECORD, line, permissions, write_run

if TYPE_CHECKING:
    from pathlib import Path

    from daily_emr_runbooks.record import RunFolder

HOSTILE = "<script>alert(1)</script> ](http://evil.test) | `x` \x1b[2J \u202e & \"'"
ACTIVE = {"script", "img", "iframe", "link", "object", "embed", "form", "a", "base"}


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("suffix", ["md", "html"])
def test_every_fact_of_the_run_is_in_the_report(finished_run: RunFolder, suffix: str) -> None:
    text = render(build(finished_run), suffix)
    text = Page(text).text if suffix == "html" else text

    for fact in (
        "INC-7",
        "succeeded",
        "The release was rolled back and the service is good.",
        "2026-11-23 20:59:58 UTC, 23:59:58 EAT",
        "2026-11-23 21:03:21 UTC, 2026-11-24 00:03:21 EAT",
        "3 min 23 s",
        "wanjiru",
        "The newest release fails.",
        "wedged_tasks: no task hangs",
        "No deployment runs.",
        "20 of 20 looks were good.",
        "daily_emr.ops.ecs_service_release with revision: 3",
        str(finished_run.path),
    ):
        assert fact in text


@pytest.mark.parametrize("suffix", ["md", "html"])
def test_the_report_names_the_alert_that_started_the_run(tmp_path: Path, suffix: str) -> None:
    alert = {"name": "silence", "source": "cloudwatch", "reference": "A-1", "started_at": "2026-11-23T20:59:00Z"}
    text = render(build(write_run(tmp_path, JOURNAL, RECORD | {"alert": alert})), suffix)
    assert "silence of cloudwatch, A-1, since 2026-11-23T20:59:00Z" in (Page(text).text if suffix == "html" else text)
    assert "Alert" not in render(build(write_run(tmp_path / "by a person", JOURNAL, RECORD)), suffix)


def test_a_change_is_shown_from_before_to_after_without_what_stayed(finished_run: RunFolder) -> None:
    text = render(build(finished_run), "md")

    assert "| revision | 3 | 2 |" in text
    assert "| tasks |" not in text


@pytest.mark.parametrize("outcome", ["noop", "refused"])
def test_a_step_that_did_nothing_is_not_among_the_changes(tmp_path: Path, outcome: str) -> None:
    steps = [{"step": "stop_deployment", "outcome": outcome}, *RECORD["steps"]]

    report = build(write_run(tmp_path, JOURNAL, RECORD | {"steps": steps}))

    assert [step.name for step in report.steps] == ["roll_back_release"]


def test_findings_come_first_and_an_unknown_is_never_ok(finished_run: RunFolder) -> None:
    report = build(finished_run)
    rows = re.findall(r"^\| (finding|unknown|ok) \| (\w+) .*$", render(report, "md"), re.MULTILINE)

    assert rows == [("finding", "error_ratio_high"), ("unknown", "database_slow"), ("ok", "latency_high")]
    assert "| could not read the database: AccessDenied in rds:DescribeDBInstances |" in render(report, "md")


def test_a_status_that_nobody_knows_counts_as_unknown(tmp_path: Path) -> None:
    journal = [line("observed", "21:00:00.000", observations=[{"name": "x", "status": "OK"}, {"name": "y"}])]

    assert {seen.status for seen in build(write_run(tmp_path, journal, None)).observations} == {"unknown"}


def test_the_page_is_self_contained_and_cannot_act(finished_run: RunFolder) -> None:
    html = render(build(finished_run), "html")
    page = Page(html)

    assert not ACTIVE & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("href", "src", "style")]
    assert "url(" not in html
    assert "@import" not in html
    assert "http://" not in html
    assert "https://" not in html
    assert "width=device-width" in html
    assert "@media print" in html


def test_the_picture_shows_each_phase_inside_its_frame(finished_run: RunFolder) -> None:
    bars = build(finished_run).bars

    assert [bar.phase for bar in bars] == ["diagnose", "decide", "mitigate", "verify", "close"]
    assert all(bar.x >= LEFT and bar.x + bar.width <= LEFT + WIDTH + NARROWEST for bar in bars)
    assert max(bars, key=lambda bar: bar.width).phase == "verify"


def hostile(value: Any) -> Any:
    """The same run, with every free text replaced."""
    keep = {"kind", "at", "status", "outcome", "mode", "opened_at", "closed_at", "step", "verdict", "module"}
    match value:
        case dict():
            return {key: item if key in keep else hostile(item) for key, item in value.items()}
        case list():
            return [hostile(item) for item in value]
        case str():
            return HOSTILE
        case _:
            return value


def test_hostile_text_is_shown_and_does_nothing(tmp_path: Path) -> None:
    folder = write_run(tmp_path, hostile(copy.deepcopy(JOURNAL)), hostile(copy.deepcopy(RECORD)))
    report = build(folder)
    html, markdown = render(report, "html"), render(report, "md")

    assert "<script>alert(1)</script>" in Page(html).text
    assert not ACTIVE & set(Page(html).tags)
    assert "<script" not in markdown
    assert not re.search(r"(?<!\\)\]\(", markdown)
    assert "http://" not in markdown
    for text in (html, markdown):
        assert not [letter for letter in text if not letter.isprintable() and letter != "\n"]
    # As many cells as columns: no text breaks out of its cell.
    for row in re.findall(r"^\| (?:finding|unknown|ok) .*$", markdown, re.MULTILINE):
        assert len(re.findall(r"(?<!\\)\|", row)) == 8


def test_a_field_that_nobody_allowed_is_not_shown(tmp_path: Path) -> None:
    canary = "canary-54c1"
    journal = [entry | {"note": canary, "invocation": {"module_args": {"password": canary}}} for entry in JOURNAL]
    folder = write_run(tmp_path, journal, RECORD | {"note": canary, "environment_variables": {"X": canary}})

    for suffix in ("md", "html"):
        assert canary not in render(build(folder), suffix)


@pytest.mark.parametrize("kept", range(len(JOURNAL)))
def test_a_killed_run_has_a_report_that_says_what_is_missing(tmp_path: Path, kept: int) -> None:
    folder = write_run(tmp_path, JOURNAL[:kept], None)
    report = build(folder)

    assert report.outcome == "unknown"
    assert "left no record" in report.sentence
    assert render(report, "md")
    assert render(report, "html")


def test_a_change_in_doubt_is_shown_as_unknown(tmp_path: Path) -> None:
    killed = [entry for entry in JOURNAL if entry["kind"] in ("opened", "lease", "intent")]

    [step] = build(write_run(tmp_path, killed, None)).steps

    assert (step.name, step.outcome) == ("roll_back_release", "unknown")


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path, JOURNAL[:2], None)
    with (folder.path / "journal.jsonl").open("a") as journal:
        journal.write('{"kind": "decided", "verd')

    assert [entry["kind"] for entry in folder.journal()] == ["opened", "observed"]


def test_reports_are_readable_by_their_owner_only(finished_run: RunFolder) -> None:
    paths = write_reports(finished_run)

    assert [path.name for path in paths] == ["report.md", "report.html"]
    assert {permissions(path) for path in paths} == {0o600}


def test_the_verdict_of_the_gate_is_stricter_than_the_record_and_stays(finished_run: RunFolder) -> None:
    assert build(finished_run).outcome == "succeeded"

    finished_run.keep_verdict("unknown", "Ansible ended with 2.")

    for _again in range(2):
        report = build(finished_run)
        assert (report.outcome, report.sentence) == ("unknown", "Ansible ended with 2.")
    assert (finished_run.path / "verdict.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\u202eb", r"a\u202eb"),
        ("a\nb", "a b"),
        (None, "nothing"),
        ({"a": [1, True]}, "a: 1, yes"),
    ],
)
def test_text_from_outside_is_made_harmless(text: object, shown: str) -> None:
    assert clean(text) == shown


def test_markdown_keeps_ordinary_words_as_they_are() -> None:
    assert escape_markdown("roll_back_release on service/web, 5 %") == "roll_back_release on service/web, 5 %"
