"""The pages of an incident and of a run in a real browser: they ask for nothing, fit a phone, and all can read them.

Not a part of the suite, because it needs Chromium: `make browser`. Pictures of the pages are left in .cache/browser.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from daily_emr_runbooks.incident_page import write_incident
from daily_emr_runbooks.record import RunFolder
from daily_emr_runbooks.report import write_reports
from tests.incidents import FIXTURES

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

PICTURES = Path(__file__).resolve().parents[2] / ".cache/browser"
PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# --no-sandbox, because Chromium refuses to be started by root otherwise; what it opens here is our own file. The others
# keep it from asking the network for itself.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FLAGS += ["--disable-sync", "--no-first-run"]
PHONE, DESK = (360, 780), (1280, 900)
BAD = ("serious", "critical")
RUNS = {"run": ("whole", write_reports), "hostile_run": ("hostile", write_reports)}
"""Pages of runs, which share their parts with that of the incident."""
INSIDE = """() => {
  const frame = document.querySelector('svg').getBoundingClientRect();
  return [...document.querySelectorAll('svg text, svg path, svg rect')].map(one => one.getBoundingClientRect()).every(
    box => box.left >= frame.left - 1 && box.right <= frame.right + 1 && box.bottom <= frame.bottom + 1);
}"""

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="There is no Chromium: bin/chromium says how to get one.")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=PROGRAM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module", params=[*FIXTURES, *RUNS])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    fixture, write = (request.param, write_incident) if request.param in FIXTURES else RUNS[request.param]
    run = FIXTURES[fixture](tmp_path_factory.mktemp(request.param))
    [page] = write(RunFolder(run), formats=("html",))
    return request.param, page


class Opened:
    """A page, and what it wanted while it was opened."""

    def __init__(self, browser: Browser, path: Path, size: tuple[int, int], **more: Any) -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **more)
        self.tab: Tab = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(path.as_uri(), wait_until="networkidle")

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_error: object) -> None:
        self.context.close()


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_the_page_asks_for_nothing_and_fits(browser: Browser, path: tuple[str, Path], size: tuple[int, int]) -> None:
    name, file = path
    with Opened(browser, file, size) as opened:
        assert (opened.said, opened.asked) == ([], [file.as_uri()])
        assert opened.tab.evaluate("document.documentElement.scrollWidth") <= size[0]
        PICTURES.mkdir(parents=True, exist_ok=True)
        opened.tab.screenshot(path=PICTURES / f"{name}-{size[0]}.png", full_page=True)


def test_a_page_that_asks_for_more_and_is_too_wide_is_found(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<p style="width: 50rem">wide</p><img src="missing.png"><script>console.log("here")</script>')
    with Opened(browser, page, PHONE) as opened:
        assert "here" in opened.said
        assert (tmp_path / "missing.png").as_uri() in opened.asked
        assert opened.tab.evaluate("document.documentElement.scrollWidth") > PHONE[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_everybody_can_read_it(browser: Browser, path: tuple[str, Path], size: tuple[int, int], scheme: str) -> None:
    # axe is a script of ours in a page that lets none run.
    with Opened(browser, path[1], size, color_scheme=scheme, bypass_csp=True) as opened:
        opened.tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        faults = [fault for fault in Axe().run(opened.tab).response["violations"] if fault["impact"] in BAD]
        assert [(fault["id"], [node["target"] for node in fault["nodes"]]) for fault in faults] == []


def test_what_not_everybody_can_read_is_found(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<html lang="en"><title>x</title><main><h1>x</h1><p style="color: #bbb">pale</p></main></html>')
    with Opened(browser, page, DESK) as opened:
        assert {"color-contrast"} <= {fault["id"] for fault in Axe().run(opened.tab).response["violations"]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_picture_is_drawn_and_its_words_do_not_leave_it(browser: Browser, tmp_path: Path, scheme: str) -> None:
    [file] = write_incident(RunFolder(FIXTURES["whole"](tmp_path)), formats=("html",))
    with Opened(browser, file, PHONE, color_scheme=scheme) as opened:
        inside = opened.tab.evaluate(INSIDE)
        assert inside
        assert opened.tab.locator("svg g.action").count() == 1
        # Letters as large as a reader needs them, on a phone.
        assert opened.tab.evaluate("document.querySelector('svg text').getBoundingClientRect().height") >= 10


def test_a_page_on_paper_is_light_and_whole(browser: Browser, tmp_path: Path) -> None:
    [file] = write_incident(RunFolder(FIXTURES["whole"](tmp_path)), formats=("html",))
    with Opened(browser, file, DESK, color_scheme="light") as opened:
        PICTURES.mkdir(parents=True, exist_ok=True)
        opened.tab.pdf(path=PICTURES / "whole.pdf", format="A4")
        assert (PICTURES / "whole.pdf").stat().st_size > 10_000
