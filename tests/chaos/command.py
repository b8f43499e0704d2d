"""The `runbook` command, whose ansible-playbook loads tests/chaos/crash into itself and its workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from daily_emr_runbooks import cli, runner, session

CRASH = Path(__file__).with_name("crash")
UNSUPERVISED = "DAILY_EMR_CHAOS_UNSUPERVISED"


def main() -> None:
    scrubbed = session.run_environment

    def with_points(*args: Any, **options: Any) -> dict[str, str]:
        return {**scrubbed(*args, **options), "PYTHONPATH": str(CRASH)}

    session.run_environment = with_points
    if os.environ.get(UNSUPERVISED):
        without_supervisor()
    cli.main()


def without_supervisor() -> None:
    """The control: a command that stops ansible-playbook at once, and believes what the runner says."""

    def start(
        project: Any, play: runner.Play, _node: str | None, live: Any, _silence_s: float
    ) -> tuple[runner.Finished, bool]:
        with runner.cancel_on_signal() as cancelled, live.shown():
            return runner.run(play, project.runs_dir, live.event, cancelled), cancelled.is_set()

    session._start = start


if __name__ == "__main__":
    main()
