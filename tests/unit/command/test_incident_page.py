"""The page of an incident: what a reader finds in it, the picture, and that no text in it can act."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from daily_emr_runbooks import plot
from daily_emr_runbooks.impact import measured
from daily_emr_runbooks.incident_page import gathered, render, write_incident
from daily_emr_runbooks.record import RunFolder, runs_of
from tests import incidents
from tests.incidents import DONE, FIXTURES, STEP, journal, write

from .conftest import permissions
from .test_report import ACTIVE, Page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def page_of(run: Path, suffix: str) -> str:
    return render(gathered(runs_of(run.parent)), suffix)


@pytest.mark.parametrize("suffix", ["md", "html"])
def test_a_reader_finds_what_happened(tmp_path: Path, suffix: str) -> None:
    text = page_of(incidents.whole(tmp_path), suffix)
    text = Page(text).text if suffix == "html" else text
    for fact in (
        "closed: succeeded",
        "12.0 min down for facilities, 27.8 % of the month's error budget of 43.2 min.",
        "4320 of 26400 requests failed",
        "2026-11-23 20:56:00 UTC, 23:56:00 EAT",
        "12 min 0 s after it began",
        "Tasks are replaced one by one, in about three minutes.",
        "ok, 9.5 s",
        "revision",
        "daily_emr.ops.ecs_service_release with revision: 3",
        "users-get-errors began to ring",
        "Decided: The newest release fails.",
        "NOT NOTIFIED (failed)",
        "NOT NOTIFIED: statuspage, sms, grafana.",
    ):
        assert fact in text


@pytest.mark.parametrize("suffix", ["md", "html"])
def test_what_is_not_known_is_said_and_nobody_told_is_said(tmp_path: Path, suffix: str) -> None:
    text = page_of(incidents.refused(tmp_path), suffix)
    assert "What facilities felt is not known: No run of this incident got as far as reading it." in text
    assert "NOT NOTIFIED: pagerduty, slack, statuspage, sms, grafana." in text
    assert "Nothing was changed." in text
    assert "<svg" not in text
    assert "0.0 min" not in text


def test_why_a_time_is_missing_is_said_where_it_is_known(tmp_path: Path) -> None:
    def said(run: Path) -> dict[str, str]:
        return {moment.label: moment.at for moment in gathered(runs_of(run.parent)).moments}

    refused, queues = said(incidents.refused(tmp_path / "one")), said(incidents.two_components(tmp_path / "other"))
    assert (refused["Down from"], refused["Served again"], refused["Closed"]) == (
        "not known",
        "no step was seen to help",
        "still open",
    )
    assert queues["Down from"] == "no minute was down"


def test_minutes_of_aws_and_times_of_the_clock_are_told_apart(tmp_path: Path) -> None:
    line = {**incidents.felt(incidents.OPENED), "time_factor": 60.0}
    run = write(tmp_path, journal("r1", "emr-web", (0, "opened", {}), (9, "impact", line)), record=False)
    assert "Time runs 60 times faster here than on AWS" in page_of(run, "md")
    assert "faster" not in page_of(incidents.whole(tmp_path / "other"), "md")


@pytest.mark.parametrize("make", FIXTURES.values(), ids=FIXTURES)
def test_the_page_is_self_contained_and_cannot_act(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    html = page_of(make(tmp_path), "html")
    page = Page(html)
    assert not ACTIVE & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("href", "src", "style")]
    for word in ("url(", "@import", "http://" if "evil" not in html else "https://"):
        assert word not in html
    assert {"width=device-width, initial-scale=1", "en"} <= {value for _, value in page.attributes}
    assert "@media print" in html
    assert "prefers-color-scheme: dark" in html


def test_headings_are_in_order_and_table_headers_have_a_scope(tmp_path: Path) -> None:
    html = page_of(incidents.whole(tmp_path), "html")
    levels = [int(level) for level in re.findall(r"<h(\d)>", html)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert "<th>" not in html
    assert html.count('<th scope="col">') == html.count("</th>")


def test_hostile_text_is_shown_and_does_nothing(tmp_path: Path) -> None:
    run = incidents.hostile(tmp_path)
    html, markdown = page_of(run, "html"), page_of(run, "md")
    assert "<script>alert(1)</script>" in Page(html).text
    assert not ACTIVE & set(Page(html).tags)
    assert "<script" not in markdown
    assert not re.search(r"(?<!\\)\]\(", markdown)
    assert "http://" not in markdown
    for text in (html, markdown):
        assert not [letter for letter in text if not letter.isprintable() and letter != "\n"]
    # As many cells as columns: no text breaks out of its cell.
    rows = re.findall(r"^\| \d\d:\d\d:\d\d \|.*$", markdown, re.MULTILINE)
    assert rows
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}


def test_hostile_text_is_harmless_in_the_record(tmp_path: Path) -> None:
    run = incidents.hostile(tmp_path)
    write_incident(RunFolder(run))
    found = json.loads((run.parent / "incident.json").read_text())

    def texts(value: Any) -> list[str]:
        match value:
            case dict():
                return [text for item in value.items() for part in item for text in texts(part)]
            case list():
                return [text for item in value for text in texts(item)]
            case str():
                return [value]
        return []

    assert not [text for text in texts(found) if not text.isprintable()]


# -- the picture ------------------------------------------------------------------------------------------------------


def marked(html: str) -> list[str]:
    return re.findall(r'<g class="action">.*?</g>', html)


@pytest.mark.parametrize("make", FIXTURES.values(), ids=FIXTURES)
def test_the_picture_has_one_mark_for_each_action(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    page = gathered(runs_of(make(tmp_path).parent))
    html = render(page, "html")
    assert len(marked(html)) == (len(page.actions) if "<svg" in html else 0)
    for action, mark in zip(page.actions, marked(html), strict=False):
        assert f'class="number" x="{page.plot and page.plot.marks[action.number - 1].x}"' in mark


def test_marks_that_stand_close_do_not_cover_each_other(tmp_path: Path) -> None:
    steps = [{**STEP, "step": f"step_{number}"} for number in range(5)]
    lines: list[tuple[float, str, dict[str, Any]]] = [(0, "opened", {})]
    for number, step in enumerate(steps):
        lines += [(10 + number, "intent", step), (10.5 + number, "outcome", {**DONE, **step})]
    lines += [(600, "impact", incidents.felt(incidents.OPENED))]
    drawn = gathered(runs_of(write(tmp_path, journal("r1", "emr-web", *lines), record=False).parent)).plot
    assert drawn is not None
    assert [mark.number for mark in drawn.marks] == [1, 2, 3, 4, 5]
    assert len({(mark.x // plot.LEVEL, mark.y) for mark in drawn.marks[:3]}) == 3
    assert len({mark.label_y for mark in drawn.marks}) == 5
    assert all(mark.label_y < drawn.height for mark in drawn.marks)


def test_everything_is_inside_of_the_picture(tmp_path: Path) -> None:
    drawn = gathered(runs_of(incidents.whole(tmp_path).parent)).plot
    assert drawn is not None
    for panel in drawn.panels:
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", panel.path)]
        assert all(0 <= number <= plot.WIDTH for number in numbers)
    assert all(band.x >= plot.LEFT and band.x + band.width <= plot.RIGHT + 0.1 for band in drawn.bands)
    assert all(plot.LEFT <= mark.x <= plot.RIGHT and mark.y > 0 for mark in drawn.marks)
    # One stretch of twelve minutes.
    assert len(drawn.bands) == 1


def test_a_line_is_broken_where_nothing_is_known() -> None:
    line = incidents.felt(incidents.OPENED)
    del line["series"][10:12]
    line["series"][4]["p95_ms"] = None
    drawn = plot.drawn(measured([line]), [])
    assert drawn is not None
    assert [panel.path.count("M") for panel in drawn.panels] == [2, 3]


def test_the_picture_is_described_in_words(tmp_path: Path) -> None:
    html = page_of(incidents.whole(tmp_path), "html")
    [named] = re.findall(r'role="img" aria-labelledby="([^"]+)"', html)
    assert all(f'id="{name}"' in html for name in named.split())
    assert "at most 60.0 % of the requests of a minute failed" in html
    assert "12.0 min were down. Marked: 1 action." in html


def test_without_counts_there_is_no_picture() -> None:
    assert plot.drawn(replace(measured([])), [{"at": None}]) is None


# -- files ------------------------------------------------------------------------------------------------------------


def test_the_files_stand_above_the_runs_for_their_owner_only(tmp_path: Path) -> None:
    run = incidents.whole(tmp_path)
    paths = write_incident(RunFolder(run))
    assert paths == [run.parent / "incident.md", run.parent / "incident.html"]
    assert {permissions(path) for path in (*paths, run.parent / "incident.json")} == {0o600}
    assert write_incident(RunFolder(run), formats=("md",)) == paths[:1]


def test_a_run_that_has_left_nothing_has_no_page(tmp_path: Path) -> None:
    (tmp_path / "INC-1" / "r1").mkdir(parents=True)
    assert write_incident(RunFolder(tmp_path / "INC-1" / "r1")) == []


def test_a_run_of_another_incident_in_the_same_folder_is_left_out(tmp_path: Path) -> None:
    run = incidents.whole(tmp_path)
    other = [{**line, "incident": "INC-8"} for line in journal("r8", "emr-db", (0, "opened", {}))]
    (write(tmp_path / "else", other, record=False)).rename(run.parent / "r8")
    write_incident(RunFolder(run))
    found = json.loads((run.parent / "incident.json").read_text())
    assert [entry["run"] for entry in found["runs"]] == ["r1"]
