"""The chaos line of verification, in small: no false success, and its control fails."""

from __future__ import annotations

from tests.chaos.flapping import line


def test_nothing_that_flaps_is_verified_and_one_look_would_be_fooled() -> None:
    rows = list(line(7, "ci", lambda _text: None))
    assert [row.faults for row in rows] == [(), (), ()]
    assert all(row.control for row in rows)
