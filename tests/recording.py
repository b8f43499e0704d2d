"""Which calls of AWS the modules made in the tests, and whether that is what their sources declare.

A plugin of pytest. It notes each call of a client of botocore in this process with the file of the collection that made
it ("" where a thread made it that shows no file). At the end of a run of all unit tests the calls have to be those of
RECORDED; `UPDATE_CALLS=1` writes them there instead. In any run, a call that its file does not declare is an error:
the policies of IAM, which are generated from the declarations, would not let it through.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import botocore.client
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / "docs/calls.json"
OURS = re.compile(r"/daily_emr/ops/plugins/(?:module_utils|modules|plugin_utils)/(\w+)\.py$")
TESTS = f"{ROOT / 'tests'}/"
# Beside the gates, nothing of ours is done in it.
CLIENTS = "_clients"

Calls = set[tuple[str, str]]
seen: Calls = set()
"""File and call."""


_make = botocore.client.BaseClient._make_api_call


def _noted(self: Any, operation_name: str, api_params: Any) -> Any:
    try:
        answer = _make(self, operation_name, api_params)
    except Refused:
        raise
    except Exception:
        _note(self, operation_name)
        raise
    _note(self, operation_name)
    return answer


def _note(client: Any, operation: str) -> None:
    file = _file(sys._getframe())
    # What a test itself calls has none, and what is called in a thread goes through a client of ours.
    if file or (file == "" and "daily-emr-runbooks" in str(client.meta.config.user_agent_extra)):
        seen.add((file, f"{client.meta.service_model.service_name}:{operation}"))


def _file(frame: FrameType | None) -> str | None:
    """The file of the collection that is nearest to a call; None for a call of a test, "" where nothing shows."""
    while frame:
        path = frame.f_code.co_filename
        if (found := OURS.search(path)) and found[1] != CLIENTS:
            return found[1]
        if path.startswith(TESTS) and path != __file__:
            return None
        frame = frame.f_back
    return ""


def pytest_configure(config: pytest.Config) -> None:
    botocore.client.BaseClient._make_api_call = _noted
    config.pluginmanager.register(Recording(config), "recording")


class Recording:
    """Gathers what the workers saw, and judges it where the run ends."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.is_worker = hasattr(config, "workerinput")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:  # named by the hook
        seen.update((file, call) for file, call in node.workeroutput.get("calls", []))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.is_worker:
            self.config.workeroutput["calls"] = sorted(seen)
            return
        option, (folder, *more) = self.config.option, self.config.args
        part, known = "/".join(Path(folder).parts[:2]), recorded()
        whole = [folder, *more] == [part] and not (option.keyword or option.markexpr or session.testsfailed)
        reasons = undeclared(seen)
        if os.environ.get("UPDATE_CALLS"):
            # A part of the tests can only add.
            RECORDED.write_text(shown(known | {part: seen if whole else seen | known.get(part, set())}))
        elif whole:
            reasons += compared(part, seen, known.get(part, set()))
        for reason in reasons:
            sys.stderr.write(f"\nFAILED {reason}\n")
        if reasons:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def compared(part: str, calls: Calls, known: Calls) -> list[str]:
    """Why a whole run is not what was recorded. What more a sandbox leads to depends on when it is looked at."""
    again = f"run {part} with UPDATE_CALLS=1 and commit {RECORDED.relative_to(ROOT)}."
    reasons = [f"{file or 'A thread'} does not make {call} any more: {again}" for file, call in sorted(known - calls)]
    if part == "tests/unit":
        reasons += [f"{file or 'A thread'} makes {call}, which is new: {again}" for file, call in sorted(calls - known)]
    return reasons


def shown(parts: dict[str, Calls]) -> str:
    """The recording as a file: for each folder of tests the calls of each file."""
    made = {
        part: {file: sorted(call for other, call in calls if other == file) for file, _call in sorted(calls)}
        for part, calls in sorted(parts.items())
    }
    return json.dumps(made, indent=1) + "\n"


def recorded() -> dict[str, Calls]:
    """What is in the file."""
    found = json.loads(RECORDED.read_text())
    return {part: {(file, call) for file, calls in files.items() for call in calls} for part, files in found.items()}


def undeclared(calls: Iterable[tuple[str, str]]) -> list[str]:
    """Calls that no policy would let through, as sentences."""
    made = sorted(calls)
    if not made:
        return []
    from daily_emr_runbooks.calls import Sources

    sites = Sources(ROOT).declared()
    declared, anywhere = {(site.file, site.call) for site in sites}, {site.call for site in sites}
    return [
        f"{file or 'a thread'} made {call} and does not declare it: no policy of IAM lets it through."
        for file, call in made
        if (file and (file, call) not in declared) or call not in anywhere
    ]
