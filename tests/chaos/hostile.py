"""Hostile inputs through every way in (fault table, rows 27 to 33): refused, or arrived as they are; never executed.

Most are tried on the functions that judge what comes in, with Ansible's own parser before them and its own templates
behind them: what is accepted has to be the same after Ansible has evaluated it. A sample goes through ansible-playbook.
"""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
import time
import unicodedata
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ansible import context
from ansible.errors import AnsibleError
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.release import __version__ as ansible_version
from ansible.template import Templar, trust_as_template
from ansible.utils.vars import load_extra_vars
from ansible_collections.daily_emr.ops.plugins.module_utils._alert import read_alert
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._inputs import CONTROLLER_NAMES, input_refusals
from ansible_collections.daily_emr.ops.plugins.plugin_utils.quiet import UNSAFE_CATEGORIES, harmless

from daily_emr_runbooks.alerts.alert import Unreadable, parsed
from daily_emr_runbooks.errors import CommandError
from daily_emr_runbooks.inputs import check_inputs, check_limit
from daily_emr_runbooks.report import FORMATS, build, render
from daily_emr_runbooks.runbooks import Input
from daily_emr_runbooks.text import clean
from tests.chaos.payloads import Payloads
from tests.chaos.rows import Row
from tests.unit.command.conftest import JOURNAL, RECORD, write_run
from tests.unit.core.test_playbooks import Aws, Project, make_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

TRIED = {"ci": 1000, "long": 6000}
"""Values through each way in."""
PLAYS = {"ci": 4, "long": 60}
"""Processes of ansible-playbook for each form of extra vars, and how many values are data of one."""
DATA = {"ci": 30, "long": 300}
ACTIVE = {"script", "img", "iframe", "link", "object", "embed", "form", "a", "base"}
# What says which line it is: another word there makes another journal, and no hostile one.
KEPT = {"kind", "outcome", "at", "opened_at", "closed_at", "verdict", "status", "incident", "run"}
DEAR = {"journals and records, in reports"}
"""Ways that take fifty times as long as the others; a tenth of the values goes through them."""
DECLARED: dict[str, dict[str, Any]] = {
    "incident_id": {"type": "str", "default": ""},
    "toy_healthy": {"type": "bool", "default": True},
    "incident_lease_seconds": {"type": "int", "default": 120},
}
INPUTS = [Input(name, option["type"], "", False, option["default"], ()) for name, option in DECLARED.items()]


def line(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Iterable[Row]:
    """A row for the functions, and one for whole processes, of the ansible-core that runs this."""
    with tempfile.TemporaryDirectory() as folder:
        yield _functions(Path(folder), seed, TRIED[size], say)
        yield _processes(Path(folder), seed, PLAYS[size], DATA[size], say)


def _functions(folder: Path, seed: int, tried: int, say: Callable[[str], None]) -> Row:
    started, faults, sentinel = time.monotonic(), [], folder / "sentinel"
    ways, count = Judges(folder).ways(), 0
    for way, attempt in ways.items():
        payloads, times = Payloads(seed, sentinel), tried // (10 if way in DEAR else 1)
        count += times
        for number in range(times):
            try:
                fault = attempt(payloads)
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                fault = f"{type(error).__name__}"
            if fault:
                faults.append(f"{way}, value {number} of seed {seed}: {fault}")
            if sentinel.exists():
                faults.append(f"{way}, value {number} of seed {seed}: executed")
                sentinel.unlink()
        say(f"{times} values through {way}")
    _evaluated(Payloads(seed, sentinel).pipe())
    control = "the same template, not judged, made the sentinel" if sentinel.exists() else ""
    sentinel.unlink(missing_ok=True)
    name = f"hostile inputs to what judges them, ansible-core {ansible_version}"
    return Row(name, count, tuple(faults), control, time.monotonic() - started)


class Judges:
    """The ways in. Each says what is wrong, or nothing; any exception that gets out would be a traceback."""

    def __init__(self, folder: Path) -> None:
        self._loader = DataLoader()
        self._loader.set_basedir(str(folder))
        self._file = folder / "given"

    def ways(self) -> dict[str, Callable[[Payloads], str | None]]:
        return {
            "-e key=value": self.by_word,
            "-e JSON": self.by_json,
            "-e JSON with a good value": self.by_good_json,
            "-e @file": self.by_file,
            "names of extra vars": self.by_name,
            "--input of the command": self.by_command,
            "--limit of the command": self.by_limit,
            "files of alerts": self.by_alert,
            "bodies of alerts": self.by_body,
            "what is shown of values from AWS and providers": self.shown,
            "journals and records, in reports": self.reported,
        }

    def by_word(self, payloads: Payloads) -> str | None:
        return self._judged(f"incident_id={json.dumps(payloads.text())}")

    def by_json(self, payloads: Payloads) -> str | None:
        return self._judged(json.dumps({"incident_id": payloads.value()}))

    def by_good_json(self, payloads: Payloads) -> str | None:
        value = payloads.harmless()
        if input_refusals({"incident_id": value}, DECLARED):
            return "a good value was refused"
        return self._judged(json.dumps({"incident_id": value}), value)

    def by_file(self, payloads: Payloads) -> str | None:
        self._file.write_text(payloads.document(), encoding="utf-8", errors="surrogatepass")
        return self._judged(f"@{self._file}")

    def by_name(self, payloads: Payloads) -> str | None:
        """Those that controllers add are not judged, because nothing in the content names them."""
        key, value = payloads.key(), payloads.value()
        if key in DECLARED or CONTROLLER_NAMES.fullmatch(key):
            return None
        return None if input_refusals({key: value}, DECLARED) else f"accepted {key!a}"

    def by_command(self, payloads: Payloads) -> str | None:
        value = payloads.text()
        try:
            found = check_inputs([f"incident_id={value}"], INPUTS)
        except CommandError as error:
            return None if error.sentence.isprintable() else "the refusal is not printable"
        return None if found["incident_id"] == value and _evaluated(value) == value else "altered"

    def by_limit(self, payloads: Payloads) -> str | None:
        try:
            check_limit(payloads.text(), ["emr-web"], "web", "sandbox")
        except CommandError as error:
            return None if error.sentence.isprintable() else "the refusal is not printable"
        return "accepted"

    def by_alert(self, payloads: Payloads) -> str | None:
        fields = {
            "source": "alertmanager",
            "name": "EmrDown",
            "component": "emr-web",
            "reference": "ab12",
            "started_at": "2026-11-22T01:30:00Z",
            "received_at": "2026-11-22T01:30:01Z",
        }
        if not read_alert(json.dumps(fields), "emr-web"):
            return "a good alert was refused"
        spoiled = {**fields, payloads.of(sorted(fields)): payloads.value()}
        try:
            found = read_alert(json.dumps(spoiled), "emr-web")
        except OpsError as error:
            return None if error.sentence.isprintable() else "the refusal is not printable"
        return None if _evaluated(found) == found else "a template got into the record"

    def by_body(self, payloads: Payloads) -> str | None:
        with suppress(Unreadable):
            parsed(payloads.document().encode("utf-8", "surrogatepass"))
        return None

    def shown(self, payloads: Payloads) -> str | None:
        value = payloads.value()
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        bad = set(_unsafe(clean(value))) | set(_unsafe(harmless(text).replace("\n", "").replace("\t", "")))
        return f"shown with {sorted(bad)!a}" if bad else None

    def reported(self, payloads: Payloads) -> str | None:
        """A name, a tag or an answer that got into the journal and the record of a run, and so into its report."""
        value = payloads.text()
        record, journal = copy.deepcopy(RECORD), copy.deepcopy(JOURNAL)
        places = [*_texts(record), *(place for line in journal for place in _texts(line))]
        holder, key = places[payloads.number(len(places))]
        holder[key] = value
        folder = write_run(self._file.parent / f"run-{payloads.number(1 << 30)}", journal, record)
        report = build(folder)
        for suffix in FORMATS["both"]:
            text = render(report, suffix)
            if bad := set(_unsafe(text.replace("\n", "").replace("\t", ""))):
                return f"the report shows {sorted(bad)!a}"
            if suffix == "html" and (acting := Page(text).acting()):
                return f"the report has {acting}"
        shutil.rmtree(folder.path.parents[1])
        return None

    def _judged(self, option: str, expected: Any = ...) -> str | None:
        try:
            with _options(option):
                given = load_extra_vars(self._loader)
            if not given or input_refusals(given, DECLARED):
                return None
        except AnsibleError:
            return None  # Ansible itself refuses, before anything is used
        if expected is not ... and given.get("incident_id") != expected:
            return "altered"
        return None if _evaluated(given) == given else "accepted, and it is a template"


class Page(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self._found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, value in attrs if name.startswith("on") or str(value).startswith("javascript:")]
        self._found += [*names, *({tag} & ACTIVE)]

    def acting(self) -> list[str]:
        """What of it could do something, or fetch something."""
        return self._found


def _texts(found: Any) -> Iterator[tuple[Any, Any]]:
    """Every text of a JSON value, as what holds it and where; none of what names a kind, an outcome or a time."""
    pairs = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for key, value in list(pairs):
        if isinstance(value, str) and key not in KEPT:
            yield found, key
        yield from _texts(value)


def _unsafe(text: str) -> Iterator[str]:
    return (letter for letter in text if unicodedata.category(letter) in UNSAFE_CATEGORIES)


def _evaluated(value: Any) -> Any:
    """What Ansible makes of a value that it trusts, as it does extra vars."""
    if isinstance(value, dict):
        return {_evaluated(key): _evaluated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_evaluated(item) for item in value]
    if not isinstance(value, str):
        return value
    return Templar(loader=DataLoader(), variables={}).template(trust_as_template(str(value)))


@contextmanager
def _options(option: str) -> Iterator[None]:
    """Let Ansible have been called with this -e. It reads its options once, and keeps what it read."""
    before = context.CLIARGS
    context.CLIARGS = ImmutableDict({**before, "extra_vars": (option,)})
    load_extra_vars.extra_vars = None
    try:
        yield
    finally:
        context.CLIARGS = before
        load_extra_vars.extra_vars = None


DATA_TASKS = """
- name: Open an incident for each, with the value as its title
  daily_emr.ops.incident:
    state: open
    environment: "{{ emr_environment }}"
    component: emr-web
    runbook: toy
    title: "{{ item }}"
  loop: "{{ lookup('ansible.builtin.file', playbook_dir ~ '/../values.json') | from_json }}"
  loop_control:
    label: one
"""
DATA_PLAY = "- name: Values that are data\n  hosts: web\n  gather_facts: false\n  roles: [data]\n"
BARE_PLAY = """
- name: A playbook without guards
  hosts: web
  gather_facts: false
  tasks:
    - name: Use it
      ansible.builtin.ping:
        data: "{{ incident_id }}"
"""


def _processes(folder: Path, seed: int, plays: int, data: int, say: Callable[[str], None]) -> Row:
    """Extra vars of real processes, several values in each, and values that are data of one."""
    started, faults, tried = time.monotonic(), [], 0
    aws = Aws()
    try:
        project = make_project(aws, folder / "toy")
        payloads = Payloads(seed, project.sentinel)
        for number in range(plays):
            options, count = _extra_vars(project, payloads, number)
            done = project.play(*options)
            tried += count
            faults += [f"process {number} of seed {seed}: {fault}" for fault in _process_faults(project, done)]
        tried += data
        faults += [f"values as data, seed {seed}: {fault}" for fault in _as_data(project, payloads, data)]
        project.write("runbooks/bare.yml", BARE_PLAY)
        project.play("-e", json.dumps({"incident_id": payloads.pipe()}), runbook="runbooks/bare.yml")
        control = "a playbook without the collection made the sentinel" if project.sentinel.exists() else ""
    finally:
        aws.stop()
    say(f"{tried} values through ansible-playbook")
    name = f"hostile inputs to ansible-playbook, ansible-core {ansible_version}"
    return Row(name, tried, tuple(faults), control, time.monotonic() - started)


def _extra_vars(project: Project, payloads: Payloads, number: int) -> tuple[list[str], int]:
    """Options of one process: key=value, JSON, a file, or names."""
    file = project.folder / "given"
    match number % 4:
        case 0:
            values = [payloads.text().replace("\x00", "") for _ in range(10)]
            return [word for value in values for word in ("-e", f"incident_id={json.dumps(value)}")], len(values)
        case 1:
            values = [json.dumps({"incident_id": payloads.text()}) for _ in range(10)]
            return [word for value in values for word in ("-e", value)], len(values)
        case 2:
            file.write_text(json.dumps({f"toy_{number}_{it}": payloads.text() for it in range(40)}))
            return ["-e", f"@{file}"], 40
        case _:
            file.write_text(json.dumps({payloads.key() or "x": payloads.text() for _ in range(40)}))
            return ["-e", f"@{file}"], 40


def _process_faults(project: Project, done: Any) -> Iterator[str]:
    said = done.stdout + done.stderr
    if done.returncode == 0:
        yield "was not refused"
    if project.sentinel.exists():
        project.sentinel.unlink()
        yield "was executed"
    if "Traceback" in said:
        yield "has a traceback"
    # query: who calls, asked of STS, the only service here whose calls have no name in their head.
    if asked := [name for name in project.aws.asked if name != "query" and not name.startswith("Get")]:
        yield f"made the calls {asked}"
    if bad := set(_unsafe(said.replace("\n", "").replace("\t", ""))):
        yield f"shows {sorted(bad)!a}"


def _as_data(project: Project, payloads: Payloads, data: int) -> Iterator[str]:
    """Free text that is meant to be kept: it has to be in the journal as it was given."""
    values = [payloads.text().encode("utf-8", "replace").decode()[:200] for _ in range(data)]
    project.write("values.json", json.dumps(values))
    project.write("roles/data/tasks/main.yml", DATA_TASKS)
    project.write("runbooks/data.yml", DATA_PLAY)
    done = project.play(runbook="runbooks/data.yml")
    if done.returncode:
        yield f"ended with {done.returncode}"
    yield from (fault for fault in _process_faults(project, done) if fault != "was not refused")
    opened = [json.loads(path.read_text().splitlines()[0]) for path in project.folder.glob(".runs/*/*/journal.jsonl")]
    if sorted(one["title"] for one in opened) != sorted(values):
        yield f"{len(opened)} of {data} values are in the journals, or some are altered"
