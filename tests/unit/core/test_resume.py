"""What a later run knows of the runs before it: from this machine, from the table, and from a look at the world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _changes, _steps
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, State, execute_change
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._code import code_digest
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._history import UNDO, read_history
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import JOURNAL, Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.module_utils._record import judge
from ansible_collections.daily_emr.ops.plugins.module_utils._resume import about
from ansible_collections.daily_emr.ops.plugins.module_utils._step_lines import Probed, kept_args, sort_out
from ansible_collections.daily_emr.ops.plugins.module_utils._undo import Undoing, plan, verified
from ansible_collections.daily_emr.ops.plugins.modules import incident, step_probe

from .conftest import ENVIRONMENT, TABLE, Wire, account
from .test_changes import NAME, Instant, Limit, live

INCIDENT = "INC-9"


class Restart(Limit):
    """The same, as a thing that does its work each time; the version proves whether it was done."""

    name: ClassVar[str] = "limit"
    imperative: ClassVar[bool] = True

    def traces(self, before: State) -> State:
        return {"version": before["context"]["version"]}

    def untouched(self, before: State, after: State) -> bool:
        return bool(before["context"]["version"] == after["context"]["version"])


class Shout(Limit):
    """The same, and nothing proves whether it was done."""

    name: ClassVar[str] = "limit"
    imperative: ClassVar[bool] = True


@pytest.fixture(autouse=True)
def parameter(wire: Wire) -> None:  # noqa: ARG001  # for its effect
    account("ssm").put_parameter(Name=NAME, Value="2", Type="String")


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a change of a test known as the module that journals name."""

    def known(found: type[Change]) -> type[Change]:
        monkeypatch.setattr(_steps, "change_class", lambda _module: found)
        return found

    return known


class Machine:
    """Runs of one incident from a machine with a folder of its own."""

    def __init__(self, folder: Path, clients: Clients) -> None:
        self.folder, self.clients = folder, clients
        self.store = LeaseStore(clients, TABLE, sleep=lambda _seconds: None)

    def open(self, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        defaults = {name: option.get("default") for name, option in incident.ARGUMENT_SPEC.items()}
        about = {"runbook": "app_outage", "title": "It is down", "component": "emr-web", "continues": True}
        about |= {"incident_id": INCIDENT, "state": "open", "environment": ENVIRONMENT, "runs_dir": str(self.folder)}
        context = Context(check_mode=check_mode, inputs={"app_outage_verify_passes": 3, "incident_id": INCIDENT})
        return perform("incident", incident.ENTRY, {**defaults, **about, **options}, context)

    def lease(self, opened: dict[str, Any], **options: Any) -> Session:
        defaults = {name: option.get("default") for name, option in incident.ARGUMENT_SPEC.items()}
        asked = {"state": "mitigating", "environment": ENVIRONMENT, "incident": opened["incident"], "contract": False}
        asked |= options
        result = perform("incident", incident.ENTRY, {**defaults, **asked}, Context())
        made = Session.from_params(result.get("incident"))
        assert made, result["msg"]
        return made

    def close(self, session: Session, **options: Any) -> dict[str, Any]:
        defaults = {name: option.get("default") for name, option in incident.ARGUMENT_SPEC.items()}
        asked = {"state": "closed", "environment": ENVIRONMENT, "incident": session.as_params(), **options}
        return perform("incident", incident.ENTRY, {**defaults, **asked}, Context())

    def probe(self, opened: dict[str, Any], answer: str = "", check_mode: bool = False) -> dict[str, Any]:
        asked = {"answer": answer, "options": {}, "environment": ENVIRONMENT, "incident": opened["incident"]}
        return perform("step_probe", step_probe.ENTRY, asked, Context(check_mode=check_mode))

    def do(self, session: Session, value: str, found: type[Limit] = Limit, **more: Any) -> dict[str, Any]:
        clock = Instant()
        change = found({"value": value}, self.clients)
        return execute_change(change, self.clients, session, check_mode=False, clock=clock, sleep=clock.sleep, **more)

    def killed(self, session: Session, value: str, found: type[Limit] = Limit, *, sent: bool) -> None:
        """The run dies between its intent and the outcome."""

        class Dies(found):  # type: ignore[misc, valid-type]
            def apply(self, before: State) -> None:
                if sent:
                    super().apply(before)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.do(session, value, Dies)

    def history(self) -> Any:
        return read_history(self.clients, self.folder / INCIDENT, INCIDENT)


@pytest.fixture
def here(tmp_path: Path, clients: Clients) -> Machine:
    return Machine(tmp_path / "here", clients)


@pytest.fixture
def elsewhere(tmp_path: Path, clients: Clients) -> Machine:
    return Machine(tmp_path / "elsewhere", clients)


@pytest.fixture(autouse=True)
def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a lease here: that a lease is watched is for test_lease.py."""
    monkeypatch.setattr(LeaseStore, "watch", lambda _self, _view, _progress: None)


TAKE = {"take_over": "OPS-1"}


@pytest.mark.parametrize("sent", [True, False])
def test_another_machine_finds_out_whether_the_step_was_done(
    here: Machine, elsewhere: Machine, kind: Any, sent: bool
) -> None:
    kind(Limit)
    here.killed(here.lease(here.open()), "5", sent=sent)

    opened = elsewhere.open(**TAKE)
    assert [step["step"] for step in opened["in_doubt"]] == ["limit"]
    probed = elsewhere.probe(opened)

    assert [one["word"] for one in probed["probed"]] == ["done" if sent else "not_done"]
    assert [step["seq"] for step in probed["done"]] == ([step["seq"] for step in opened["in_doubt"]] if sent else [])
    session = elsewhere.lease(opened, **TAKE)
    assert elsewhere.do(session, "5")["outcome"] == ("noop" if sent else "ok")
    assert live() == "5"
    third = here.open(**TAKE)
    assert third["in_doubt"] == [], "no later run asks again"
    assert len(third["done"]) == 1


def test_a_state_that_is_neither_is_asked_for_and_the_answer_is_written_down(here: Machine, kind: Any) -> None:
    kind(Limit)
    here.killed(here.lease(here.open()), "5", sent=False)
    account("ssm").put_parameter(Name=NAME, Value="4", Type="String", Overwrite=True)
    opened = here.open(**TAKE)

    asked = here.probe(opened)
    assert asked["refused"]
    assert "It was: value 2; it was to be: value 5; it is now: value 4." in asked["msg"]
    assert "incident_answer=not_done" in asked["msg"]
    session = Session.from_params(opened["incident"])
    assert session
    assert here.close(session, failure=asked["msg"])["outcome"] == "refused"

    answered = here.open(**TAKE)
    assert len(answered["in_doubt"]) == 1
    assert here.probe(answered, answer="not_done")["probed"][0]["word"] == "not_done"
    (line,) = [
        line for line in Journal.of(Session.from_params(answered["incident"])).read() if line["kind"] == "probed"
    ]
    assert (line["answered"], line["operator"]) == ("not_done", "wanjiru")
    assert here.open(**TAKE)["in_doubt"] == []


@pytest.mark.parametrize(
    ("found", "sent", "word"),
    [(Restart, True, "done"), (Restart, False, "not_done"), (Shout, False, "refused"), (Shout, True, "done")],
)
def test_an_imperative_step_is_not_done_only_when_that_is_proven(
    here: Machine, kind: Any, found: type[Limit], sent: bool, word: str
) -> None:
    kind(found)
    here.killed(here.lease(here.open()), "5", found, sent=sent)
    result = here.probe(here.open(**TAKE))
    assert (result["outcome"] if result.get("failed") else result["probed"][0]["word"]) == word
    expected = {"done": "ok", "not_done": "failed", "refused": ""}[word]
    last = here.store.last_word("limit", f"parameter{NAME}")
    assert last
    assert last.outcome == expected


def test_a_plan_settles_nothing(here: Machine, kind: Any) -> None:
    kind(Limit)
    here.killed(here.lease(here.open()), "5", sent=True)
    writes = len(here.history().runs[0])
    assert here.probe(here.open(check_mode=True), check_mode=True)["probed"][0]["word"] == "done"
    assert len(here.open(**TAKE)["in_doubt"]) == 1
    assert len(here.history().runs[0]) == writes


def test_a_lease_that_an_ended_run_kept_needs_no_reason_and_no_watch(here: Machine, kind: Any, wire: Wire) -> None:
    kind(Limit)
    wire.lose_request("PutParameter")
    session = here.lease(here.open())
    assert here.do(session, "5")["outcome"] == "unknown"
    assert here.close(session)["outcome"] == "unknown"

    opened = here.open()
    assert not opened.get("failed"), opened["msg"]
    assert here.probe(opened)["probed"][0]["word"] == "not_done"
    assert here.do(here.lease(opened), "5")["outcome"] == "ok"


def test_a_new_incident_looks_at_what_the_dead_run_left(here: Machine, kind: Any) -> None:
    kind(Limit)
    here.killed(here.lease(here.open()), "5", sent=True)
    opened = here.open(incident_id="INC-10", **TAKE)
    assert [step["incident"] for step in opened["in_doubt"]] == [INCIDENT]
    result = here.probe(opened)
    assert (result["probed"][0]["word"], result["done"]) == ("done", [])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"runbook": "error_spike"}, "was begun with app_outage, not with error_spike"),
        ({"component": "emr-db"}, "is about emr-web, not about emr-db"),
    ],
)
def test_an_incident_goes_on_with_its_own_runbook_and_component(
    here: Machine, kind: Any, options: dict[str, Any], words: str
) -> None:
    kind(Limit)
    session = here.lease(here.open())
    here.do(session, "5")
    here.close(session)
    refused = here.open(**options)
    assert (refused["refused"], refused["exit_code"]) == (True, 3)
    assert words in refused["msg"]


def test_a_run_on_a_group_opens_one_incident_for_all_of_it(here: Machine) -> None:
    assert [here.open(component=one).get("failed") for one in ("claims", "exports")] == [None, None]


def test_an_incident_is_about_what_was_worked_on_or_else_about_all_it_was_opened_for(here: Machine, kind: Any) -> None:
    kind(Limit)
    opened = here.open()
    here.open(component="emr-exports")
    assert about(here.history())["components"] == ["emr-exports", "emr-web"]

    here.do(here.lease(opened), "5")
    found = about(here.history())
    assert found["components"] == ["emr-web"]
    assert [step["step"] for step in found["done"]] == ["limit"]


def test_what_takes_back_may_join_every_incident(here: Machine) -> None:
    here.open()
    assert not here.open(runbook=UNDO).get("failed")


def test_other_code_is_refused_once_something_was_intended(
    here: Machine, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    kind(Limit)
    monkeypatch.setattr(incident, "code_digest", lambda _project: "a" * 64)
    session = here.lease(here.open())
    monkeypatch.setattr(incident, "code_digest", lambda _project: "b" * 64)
    assert not here.open(**TAKE).get("failed"), "nothing was intended yet"
    here.do(session, "5")
    here.close(session)

    refused = here.open()
    assert refused["refused"]
    assert "aaaaaaaaaaaa" in refused["msg"]
    assert "bbbbbbbbbbbb" in refused["msg"]
    assert not here.open(accept_new_code=True).get("failed")


def test_the_digest_is_of_code_and_not_of_settings_or_tests(tmp_path: Path) -> None:
    def project(name: str, **files: str) -> Path:
        for path, text in {"runbooks/a.yml": "a", "roles/a/tasks/main.yml": "b", **files}.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text)
        return tmp_path / name

    same = code_digest(project("one"))
    assert len(same) == 64
    extra = {"inventories/x/hosts.yml": "c", "roles/a/tests/t.yml": "d", "roles/a/__pycache__/x.pyc": "e"}
    assert code_digest(project("two", **extra)) == same
    assert code_digest(project("three", **{"roles/a/tasks/main.yml": "c"})) != same
    assert code_digest(tmp_path) == ""


def test_what_earlier_runs_did_and_this_one_verified_is_a_success(here: Machine, kind: Any) -> None:
    kind(Limit)
    session = here.lease(here.open())
    here.do(session, "5")
    here.close(session)
    opened = here.open()
    lines = Journal.of(Session.from_params(opened["incident"])).read()
    lines += [
        {"kind": "decided", "verdict": "healthy", "sentence": "It is healthy.", "seq": 2},
        {"kind": "verified", "verified": True, "seq": 3},
    ]
    outcome, sentence = judge(lines, "", check_mode=False)
    assert outcome == "succeeded"
    assert sentence == f"limit on parameter{NAME} (value 2 → 5) was done by run {session.run}, and it is healthy again."


# Undo


@pytest.fixture
def undoing(here: Machine, kind: Any) -> Any:
    """An incident that has done two steps; gives the undo, and the lines of the steps."""
    kind(Limit)

    def begin(*values: str) -> tuple[Undoing, list[dict[str, Any]]]:
        session = here.lease(here.open())
        for value in values:
            assert here.do(session, value)["outcome"] == "ok"
        here.close(session)
        session = here.lease(here.open(runbook=UNDO))
        made = Undoing(here.clients, session, {})
        return made, plan(made)["steps"]

    return begin


def take_back(made: Undoing, step: dict[str, Any], check_mode: bool = False) -> dict[str, Any]:
    return made.undo(step["run"], step["seq"], check_mode=check_mode)


def test_steps_are_taken_back_newest_first_once_and_verified(undoing: Any) -> None:
    made, steps = undoing("5", "7")
    assert [step["moved"] for step in steps] == [" (value 5 → 7)", " (value 2 → 5)"]
    assert take_back(made, steps[0], check_mode=True)["outcome"] == "planned"
    assert live() == "7"

    assert [take_back(made, step)["outcome"] for step in steps] == ["ok", "ok"]
    assert live() == "2"
    assert plan(made)["healthy"] is True
    assert verified(made)["verified"] is True
    assert [take_back(made, step)["outcome"] for step in steps] == ["noop", "noop"]


def test_an_older_step_is_not_taken_back_before_the_newer_one(undoing: Any) -> None:
    made, steps = undoing("5", "7")
    result = take_back(made, steps[1])
    assert result["refused"]
    assert "left: value 5; it is now: value 7" in result["msg"]
    assert verified(made)["verified"] is False


def test_what_somebody_changed_since_is_left_alone(undoing: Any) -> None:
    made, (step,) = undoing("5")
    account("ssm").put_parameter(Name=NAME, Value="6", Type="String", Overwrite=True)
    result = take_back(made, step)
    assert (result["outcome"], live()) == ("refused", "6")
    assert "left: value 5; it is now: value 6" in result["msg"]


def test_what_somebody_took_back_by_hand_is_taken_back(undoing: Any) -> None:
    made, (step,) = undoing("5")
    account("ssm").put_parameter(Name=NAME, Value="2", Type="String", Overwrite=True)
    assert take_back(made, step)["outcome"] == "noop"
    assert plan(made)["steps"] == []


def test_a_killed_undo_goes_on_where_it_stopped(undoing: Any, here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    made, steps = undoing("5", "7")
    apply = Limit.apply

    def dies(self: Limit, before: State) -> None:
        apply(self, before)
        raise KeyboardInterrupt

    monkeypatch.setattr(Limit, "apply", dies)
    with pytest.raises(KeyboardInterrupt):
        take_back(made, steps[0])
    monkeypatch.setattr(Limit, "apply", apply)
    assert live() == "5"

    opened = here.open(runbook=UNDO, **TAKE)
    assert here.probe(opened)["probed"][0]["word"] == "done"
    again = Undoing(here.clients, here.lease(opened, **TAKE), {})
    (left,) = plan(again)["steps"]
    assert left["moved"] == " (value 2 → 5)"
    assert take_back(again, left)["outcome"] == "ok"
    assert live() == "2"


def test_what_nothing_takes_back_is_named(undoing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limit, "inverse", lambda _self, _before: "Nothing to undo: it was the incident.")
    made, steps = undoing("5")
    assert steps == []
    assert plan(made)["irreversible"] == [f"limit on parameter{NAME}: Nothing to undo: it was the incident."]
    assert "Nothing to undo: it was the incident" in verified(made)["reached"]


def test_a_step_that_the_incident_never_did_is_refused(undoing: Any) -> None:
    made, _steps = undoing("5")
    assert made.undo("20261122-013000-77c1", 3, check_mode=False)["outcome"] == "refused"


# Lines are data that somebody may have edited.


@pytest.mark.parametrize(
    "module",
    ["", "os", "../evil", "incident", "account_resource", "database_health", "no_such", None, 5, "a" * 200, "{{ x }}"],
)
def test_a_line_that_names_no_change_of_ours_is_refused(module: object) -> None:
    with pytest.raises(Refused, match="no module of ours"):
        _steps.change_class(module)


@pytest.mark.parametrize("module", ["feature_flag", "daily_emr.ops.ecs_service_count", "region_traffic"])
def test_a_change_is_found_by_its_module(module: str) -> None:
    assert _steps.change_class(module).name == module.rpartition(".")[2]


SERVICE = {
    "component": "emr-web",
    "cluster": "c",
    "service": "s",
    "load_balancer": "l",
    "target_group": "t",
    "repository": "r",
    "web_acl": {"name": "w"},
    "database": "d",
    "cache": "x",
    "probes": {},
    "feature_flags": {"api_url": "https://app.launchdarkly.com", "project": "p", "environment": "e"},
}


def test_addresses_come_from_the_inventory_and_not_from_the_journal(clients: Clients) -> None:
    evil = {**SERVICE, "feature_flags": {**SERVICE["feature_flags"], "api_url": "https://evil.example"}}  # type: ignore[dict-item]
    args = {"service": evil, "flag": "f", "state": "off"}
    change = _steps.change_of("feature_flag", args, {"service": [SERVICE]}, clients, None)
    assert change.params["service"]["feature_flags"]["api_url"] == "https://app.launchdarkly.com"
    with pytest.raises(Refused, match="not in the inventory"):
        _steps.change_of(
            "feature_flag",
            {**args, "service": {**evil, "component": "other"}},
            {"service": [SERVICE]},
            clients,
            None,
        )


@pytest.mark.parametrize(
    "args", [None, [], {}, {"flag": "f"}, {"service": SERVICE, "flag": "f", "no": 1}, {"service": 5, "flag": "f"}]
)
def test_options_that_do_not_fit_are_refused(args: object, clients: Clients) -> None:
    with pytest.raises(Refused):
        _steps.change_of("feature_flag", args, {}, clients, None)


def test_a_torn_or_foreign_line_is_not_of_the_incident(here: Machine) -> None:
    opened = here.open()
    path = Path(opened["incident"]["folder"]) / JOURNAL
    foreign = [
        {"incident": "INC-1"},
        {"seq": "1"},
        {"run": "../x"},
        {"diff": "x"},
        {"kind": "evil"},
    ]
    whole = json.loads(path.read_text())
    path.write_text(
        "\n".join(["", "5", "{", *(json.dumps({**whole, **bad}) for bad in foreign), json.dumps(whole), ""])
    )
    assert [line["kind"] for run in here.history().runs for line in run] == ["opened"]


def test_a_table_that_does_not_answer_opens_nothing(here: Machine, wire: Wire) -> None:
    here.open()
    wire.unreachable("Query")
    refused = here.open()
    assert refused["refused"]
    assert "cannot be read from the table" in refused["msg"]


def test_a_line_keeps_no_option_that_is_not_to_be_shown() -> None:
    spec = {
        "a": {"type": "str"},
        "key": {"type": "str", "no_log": True},
        "in": {"type": "dict", "options": {"b": {"type": "int"}, "token": {"type": "str", "no_log": True}}},
    }
    assert kept_args(spec, {"a": "x", "key": "s", "in": {"b": 1, "token": "s"}, "environment": {}}) == {
        "a": "x",
        "in": {"b": 1},
    }


def line(kind: str, run: str, seq: int, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "run": run, "seq": seq, "step": "a", "target": "x", **more}


def test_the_doubt_of_one_run_outlives_a_refusal_of_the_next() -> None:
    first = [line("intent", "r1", 1)]
    for later in ("refused", "outcome"):
        assert len(sort_out([first, [line(later, "r2", 1, outcome="failed")]]).in_doubt) == 1
    assert sort_out([first, [line("outcome", "r2", 1, outcome="noop")]]).in_doubt == []
    assert sort_out([[*first, line("refused", "r1", 2)]]).in_doubt == []
    of = {"run": "r1", "seq": 1}
    assert len(sort_out([first, [line("probed", "r2", 1, word=str(Probed.AMBIGUOUS), of=of)]]).in_doubt) == 1
    found = sort_out([first, [line("probed", "r2", 1, word=str(Probed.DONE), of=of)]])
    assert (found.in_doubt, len(found.done)) == ([], 1)


def test_every_change_says_where_it_keeps_what_a_probe_compares() -> None:
    """A change whose name is not its module could not be found again."""
    for path in sorted(_steps.MODULES.glob("*.py")):
        text = path.read_text()
        if "imperative: ClassVar[bool] = True" in text:
            found = _steps.change_class(path.stem)
            proves = found.untouched is not _changes.Change.untouched
            assert proves or found.asks_itself, path.stem
