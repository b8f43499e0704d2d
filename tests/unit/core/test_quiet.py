"""What a task with no_log says stays hidden, whoever shows it, and nothing that is shown can move a cursor."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ansible.utils.display import Display
from ansible_collections.daily_emr.ops.plugins.plugin_utils import quiet
from ansible_runner import Runner, RunnerConfig

from tests.leaky import Leaky, hits

if TYPE_CHECKING:
    from collections.abc import Callable


def test_nothing_of_a_task_with_no_log_is_shown_or_logged(tmp_path: Path) -> None:
    said = Leaky(tmp_path / "toy").play()

    assert hits(said) == []
    # Every task has run and is told of.
    assert said.count("TASK [") == 2 * 16  # on the screen and in the log


def test_without_the_callback_the_same_tasks_show_it(tmp_path: Path) -> None:
    """The control of the test above, and of the one below."""
    assert hits(Leaky(tmp_path / "toy", quiet=False).play())


def test_the_events_of_ansible_runner_hold_nothing_of_it_either_not_even_at_vvv(tmp_path: Path) -> None:
    """Its own callback takes the place of the configured one, as in AWX."""
    toy = Leaky(tmp_path / "toy")
    events: list[dict[str, Any]] = []
    config = RunnerConfig(
        private_data_dir=str(tmp_path / "runner"),
        project_dir=str(toy.folder),
        ident="run",
        playbook="leaky.yml",
        inventory=str(toy.folder / "hosts.ini"),
        cmdline="-vvv",
        envvars={**toy.environment(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        quiet=True,
    )
    config.prepare()
    status, _ = Runner(config, event_handler=lambda event: bool(events.append(event))).run()

    assert status == "successful"
    assert len(events) > 40
    stdout = (tmp_path / "runner" / "artifacts" / "run" / "stdout").read_text()
    assert hits(json.dumps(events) + stdout) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nof lines, with ümlauts and 日本語", "plain\ttext\nof lines, with ümlauts and 日本語"),
        ("\x1b]0;title\x07\x1b[2J", "\\x1b]0;title\\x07\\x1b[2J"),
        ("done\rfailed\r\nnext", "done\\rfailed\nnext"),
        ("abc\u202edcba\u2066\u200b", "abc\\u202edcba\\u2066\\u200b"),
        ("a\x9b31mb\x00c\ud800\u2028", "a\\x9b31mb\\x00c\\ud800\\u2028"),
    ],
)
def test_what_could_move_a_cursor_hide_or_reorder_letters_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert quiet.harmless(text) == shown
    assert quiet.harmless(shown) == shown


def test_only_the_colours_of_ansible_itself_stay_where_they_may() -> None:
    text = "\x1b[0;32mok=1\x1b[0m \x1b[8mhidden\x1b[0;30mblack\x1b[1A"

    assert quiet.harmless(text, own_colours=True) == "\x1b[0;32mok=1\x1b[0m \\x1b[8mhidden\\x1b[0;30mblack\\x1b[1A"
    assert "\x1b" not in quiet.harmless(text)


def test_a_huge_text_is_cut_and_a_run_that_goes_on_talking_only_shows_short_lines() -> None:
    volume = quiet.Volume()

    cut = volume.admit("x" * (quiet.LONGEST + 5))
    assert cut.endswith("\n(truncated: 5 more characters are not shown)")
    while volume.shown <= quiet.ALTOGETHER - quiet.LONGEST:
        assert volume.admit("x" * quiet.LONGEST)
    assert volume.admit("x" * quiet.LONGEST).startswith("(truncated: this run has shown")
    assert volume.admit("x" * quiet.LONGEST) == ""
    volume.shown = quiet.ALTOGETHER + 1
    assert volume.admit("ok=7 changed=0") == "ok=7 changed=0"
    volume.shown = quiet.ALTOGETHER + quiet.REST
    assert volume.admit("ok=7 changed=0") == ""


def test_what_is_displayed_is_harmless_and_bounded() -> None:
    shown: list[tuple[str, dict[str, Any]]] = []

    def display(_self: Display, msg: str, **options: Any) -> None:
        shown.append((msg, options))

    show: Callable[..., None] = quiet._harmless(display, quiet.Volume())
    show(Display(), "a\x1b[2J", color="red", stderr=True)
    show(Display(), "")

    assert shown == [("a\\x1b[2J", {"color": "red", "stderr": True}), ("", {})]


def test_an_ansible_core_that_nobody_tried_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet.Display.display, "quiet", False, raising=False)
    monkeypatch.setattr(quiet, "FinalQueue", None)

    with pytest.raises(quiet.Refused, match="built in another way"):
        quiet.install()
