"""The nine ways in which Ansible returns 0 without having done anything: none is reported as succeeded (row 39).

A runbook of a toy is spoiled in each way, run by ansible-playbook, and run and judged as the command does. The control
takes out the callback `gate` and the settings of ansible.cfg: then Ansible returns 0.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from daily_emr_runbooks import runner
from daily_emr_runbooks.environment import run_environment
from daily_emr_runbooks.outcome import GOOD, judge
from daily_emr_runbooks.project import Project as Checkout
from daily_emr_runbooks.record import RunFolder
from tests.chaos.rows import Row
from tests.unit.core.test_playbooks import INCIDENT, PLAY, Aws, Project, make_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).parents[2]
FAILED = "\n    - name: Fail\n      ansible.builtin.fail:\n        msg: It could not be done.\n"


@dataclass(frozen=True)
class Way:
    """How a run is spoiled: the runbook's play, the tasks of the life cycle, the options, the inventory."""

    name: str
    play: str = PLAY.format(hosts="web")
    tasks: str = INCIDENT
    options: tuple[str, ...] = ()
    inventory: bool = True
    healthy: bool = True


WAYS = (
    Way("no host of that name", PLAY.format(hosts="emr-wbe")),
    Way("a group without hosts", PLAY.format(hosts="empty")),
    Way("an inventory that is not there", inventory=False),
    Way("every task skipped", PLAY.format(hosts="web").replace("- role: incident", "- {role: incident, when: false}")),
    Way("the end of the play at its start", PLAY.format(hosts="web") + "  pre_tasks:\n    - meta: end_play\n"),
    Way(
        "a failure that was rescued",
        tasks=INCIDENT.replace("\n    - name: Decide", f"{FAILED}\n    - name: Decide")
        + "  rescue:\n    - name: Go on\n      ansible.builtin.debug:\n        msg: All is well.\n",
    ),
    Way("a failure that was ignored", tasks=f"{INCIDENT.rstrip()}\n      ignore_errors: true\n", healthy=False),
    Way("a job that nobody waited for", tasks=f"{INCIDENT.rstrip()}\n      async: 30\n      poll: 0\n"),
    Way("a start at a task that there is not", options=("--start-at-task", "nosuch")),
)


class _Spoiled(runner.Play):
    """A play with options that the command does not have."""

    extra: tuple[str, ...] = ()

    @property
    def options(self) -> str:
        return " ".join((super().options, *self.extra))


def line(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Iterable[Row]:  # noqa: ARG001  # there are nine
    started, faults, controls = time.monotonic(), [], []
    with _aws() as aws, tempfile.TemporaryDirectory() as folder:
        for number, way in enumerate(WAYS):
            project = _spoil(make_project(aws, Path(folder) / str(number)), way)
            code = project.play(*way.options).returncode
            outcome = _commanded(project, way)
            _without_guards(project)
            bare = project.play(*way.options).returncode
            say(f"{way.name}: ansible-playbook {code}, runbook {outcome}, without guards {bare}")
            if code == 0:
                faults.append(f"{way.name}: ansible-playbook returned 0")
            if outcome in GOOD:
                faults.append(f"{way.name}: the command said {outcome}")
            if bare == 0:
                controls.append(way.name)
    control = f"without gate and settings, Ansible returned 0 for {len(controls)} of {len(WAYS)}" if controls else ""
    yield Row(
        "a run that did nothing has not succeeded", 2 * len(WAYS), tuple(faults), control, time.monotonic() - started
    )


@contextmanager
def _aws() -> Iterator[Aws]:
    aws = Aws()
    try:
        yield aws
    finally:
        aws.stop()


def _spoil(project: Project, way: Way) -> Project:
    project.write("runbooks/toy.yml", way.play)
    project.write("roles/incident/tasks/main.yml", way.tasks)
    if not way.healthy:
        project.write("roles/incident/defaults/main.yml", 'incident_id: ""\ntoy_healthy: false\n')
    if not way.inventory:
        (project.folder / "hosts.json").unlink()
    config = (ROOT / "ansible.cfg").read_text()
    settings = config[config.index("[inventory]") : config.index("[diff]")]
    project.write("ansible.cfg", (project.folder / "ansible.cfg").read_text().partition("[inventory]")[0] + settings)
    return project


def _commanded(project: Project, way: Way) -> str:
    """The word that the command has for the same run."""
    runs_dir = project.folder / ".runs"
    before = set(runs_dir.glob("INC-*/*"))
    play = _Spoiled(
        project=project.folder,
        playbook=project.folder / "runbooks/toy.yml",
        inventory=project.folder / "hosts.json",
        environment=run_environment(
            os.environ, project=project.folder, runs_dir=runs_dir, sandbox=project.folder / "sandbox"
        ),
    )
    object.__setattr__(play, "extra", way.options)
    finished = runner.run(play, runs_dir, lambda _event: None, threading.Event())
    folders = [RunFolder(path) for path in sorted(set(runs_dir.glob("INC-*/*")) - before)]
    return judge(Checkout(project.folder), finished, folders, ["emr-web"]).outcome


def _without_guards(project: Project) -> None:
    settings = (project.folder / "ansible.cfg").read_text().partition("[inventory]")[0].splitlines()
    project.write("ansible.cfg", "\n".join(text for text in settings if not text.startswith("callbacks_enabled")))
