"""The chaos line of verification, in small; and how often chance alone would fool what is shipped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.flapping import SIGNALS, Settings, line, shipped

LUCK = 1e-5
"""How often a service that flaps may be called healthy: nobody will see 100,000 incidents."""


def luck(settings: Settings) -> float:
    """The chance that a service that flaps is good often enough in a row before time is up, exactly."""
    good, fooled = 0.5**SIGNALS, 0.0
    rows = [1.0] + [0.0] * (settings.passes - 1)  # by how many looks were good in a row, the chance to be there
    for _look in range(settings.timeout // settings.interval + 1):
        fooled += good * rows[-1]
        rows = [(1 - good) * sum(rows), *(good * chance for chance in rows[:-1])]
    return fooled


@pytest.mark.parametrize("settings", shipped(), ids=lambda settings: settings.runbook)
def test_chance_fools_no_runbook(settings: Settings) -> None:
    assert luck(settings) < LUCK


def test_five_looks_would_be_luck() -> None:
    assert luck(replace(shipped()[0], passes=5)) > LUCK


def test_nothing_that_flaps_is_verified_and_one_look_would_be_fooled() -> None:
    rows = list(line(7, "ci", lambda _text: None))
    assert [row.faults for row in rows] == [(), (), ()]
    assert all(row.control for row in rows)
