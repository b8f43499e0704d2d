"""The edge between Ansible and the work: results, faults of our own, what an open incident gets to know."""

from __future__ import annotations

import json
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _modules
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, CallUnknown, OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    Context,
    Entry,
    find_project,
    perform,
    read_entry,
    unset_options,
)

from .conftest import ENVIRONMENT, Wire

SECRET = "patient Achieng"  # planted: it must not get into a result


def broken(_params: dict[str, Any], _context: Context) -> dict[str, Any]:
    raise KeyError(SECRET)


def test_a_fault_of_our_own_names_type_and_place_and_no_value(session: Session) -> None:
    result = perform("toy", Entry({}, broken), {"incident": session.as_params()}, Context())

    assert result["failed"]
    assert result["msg"].startswith("internal error in toy: KeyError at test_modules.py:")
    assert SECRET not in json.dumps(result)


def test_its_traceback_stays_in_the_run_folder_for_the_owner_only(session: Session) -> None:
    perform("toy", Entry({}, broken), {"incident": session.as_params()}, Context())

    debug = session.folder / "debug.log"
    assert SECRET in debug.read_text()
    assert stat.S_IMODE(debug.stat().st_mode) == 0o600


def test_without_an_incident_there_is_a_place_but_no_file(tmp_path: Path) -> None:
    assert "internal error in toy: KeyError at" in perform("toy", Entry({}, broken), {}, Context())["msg"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "outcome", "refused"),
    [
        (Refused("No.", "Not now."), "refused", True),
        (CallFailed("Not done."), "failed", False),
        (CallUnknown("Maybe."), "unknown", False),
        (OpsError("Else."), "failed", False),
    ],
)
def test_an_error_becomes_a_result_with_its_sentence(error: OpsError, outcome: str, refused: bool) -> None:
    def work(_params: dict[str, Any], _context: Context) -> dict[str, Any]:
        raise error

    result = perform("toy", Entry({}, work), {}, Context())

    assert (result["failed"], result["outcome"], result["refused"], result["msg"]) == (
        True,
        outcome,
        refused,
        error.sentence,
    )


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        ({"observations": [], "healthy": True}, "observed"),
        ({"verified": True, "observations": []}, "verified"),
        ({"settled": True}, "waited"),
    ],
)
def test_what_a_read_returns_is_journalled_while_an_incident_is_open(
    wire: Wire, session: Session, returned: dict[str, Any], kind: str
) -> None:
    entry = read_entry({}, lambda _params, _clients, _progress: returned)
    params = {"environment": ENVIRONMENT, "incident": session.as_params()}

    assert perform("toy", entry, params, Context()) == {"changed": False, **returned}
    assert [line["kind"] for line in Journal.of(session).read()] == [kind]
    assert perform("toy", entry, {"environment": ENVIRONMENT}, Context())["changed"] is False
    assert sorted(set(wire.sent)) == ["GetCallerIdentity", "GetParameter"]


def test_an_input_that_is_still_unset_is_named_and_nothing_is_called(wire: Wire) -> None:
    entry = read_entry({}, lambda _params, _clients, _progress: {})
    service = {"probes": {"edge_url": "https://UNSET", "host": "UNSET"}, "cluster": "UNSETTLED"}

    result = perform("toy", entry, {"environment": ENVIRONMENT, "service": service}, Context())

    assert len(result["refusals"]) == 2
    assert result["refusals"][0].startswith("service.probes.edge_url is not set: put it into")
    assert wire.sent == []


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ({"a": "UNSET"}, ["a"]),
        ({"a": {"b": ["x", "https://origin.UNSET"]}}, ["a.b"]),
        ({"a": "UNSETTLED", "b": "unset", "c": None, "d": 1}, []),
    ],
)
def test_the_mark_of_an_unset_value_is_found_wherever_it_stands(value: Any, paths: list[str]) -> None:
    assert list(unset_options(value)) == paths


@pytest.mark.parametrize("later", [0.0, 19.0, 21.0])
def test_progress_of_a_wait_keeps_the_lease_alive_but_not_with_every_word(
    wire: Wire, leased: Session, monkeypatch: pytest.MonkeyPatch, later: float
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    told: list[str] = []

    def wait(_params: dict[str, Any], _clients: Any, progress: Any) -> dict[str, Any]:
        now[0] += later
        progress("still waiting")
        progress("still waiting")
        return {"settled": True}

    params = {"environment": ENVIRONMENT, "incident": leased.as_params()}
    perform("toy", read_entry({}, wait), params, Context(progress=told.append))

    assert told == ["still waiting"] * 2
    assert wire.count("UpdateItem") == (later > 20)


def test_without_a_lease_progress_writes_nothing(wire: Wire, leased: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_modules, "HEARTBEAT_SECONDS", 0.0)

    def wait(_params: dict[str, Any], _clients: Any, progress: Any) -> dict[str, Any]:
        progress("waiting")
        return {"settled": True}

    without = replace(leased, fence=None)

    perform("toy", read_entry({}, wait), {"environment": ENVIRONMENT, "incident": without.as_params()}, Context())

    assert wire.count("UpdateItem") == 0


def test_the_project_is_the_nearest_folder_with_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_project(tmp_path / "a" / "b") == tmp_path / "a" / "b"

    (tmp_path / "ansible.cfg").touch()
    assert find_project(tmp_path / "a" / "b") == tmp_path
