"""What the user of the runbooks may do at the queues: what their program needs, and nothing else.

That this is enough, each other test of this folder shows: the program logs in as this user everywhere.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import valkey
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_program import PROGRAM

from tests.unit.queue.conftest import ACCESS, PASSWORD, RUNBOOK, Valkey

ROOT = Path(__file__).parents[3]
# What the methods of the package that the program calls execute: pause, resume, add and getJobs of Queue, retry and
# remove of Job.
SCRIPTS = ("pause", "addStandardJob", "addPrioritizedJob", "reprocessJob", "removeJob", "getRanges")
CALL = re.compile(r"""(?:rcall|redis\.call)\(['"]([A-Za-z]+)['"]""")
# Which end of a list a job goes to is an argument there.
PUSHES = {"lpush", "rpush"}
# The packages themselves: to run scripts, to name the connection; and the words of Queue and Job in their own methods.
PACKAGES = {"eval", "evalsha", "multi", "exec", "client|setinfo", "client|setname", "hexists", "hmset"}


def allowed() -> set[str]:
    words = yaml.safe_load(ACCESS.read_text())["runbook"].split()
    return {word.removeprefix("+") for word in words if word.startswith("+")}


def scripts(version: int) -> set[str]:
    """Commands in the scripts of a version of BullMQ, in all their branches."""
    folder = ROOT / f"node_modules/bullmq{version}/dist/cjs/scripts"
    texts = [path.read_text() for name in SCRIPTS for path in folder.glob(f"{name}-*.js")]
    assert len(texts) == len(SCRIPTS)
    return {command.lower() for text in texts for command in CALL.findall(text)} | PUSHES


@pytest.mark.parametrize("version", [5, 6])
def test_no_branch_of_a_script_is_refused_half_way(version: int) -> None:
    assert scripts(version) - allowed() == set()


def test_nothing_is_allowed_that_neither_the_program_nor_a_script_says() -> None:
    program = {word.lower() for word in re.findall(r"\.(\w+)\(", PROGRAM.read_text())}
    named = program | scripts(5) | scripts(6) | PACKAGES | {"client|list"}
    assert allowed() - named == set()


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "KEYS *",
        "SCAN 0",
        "CONFIG GET *",
        "XRANGE bull:notifications:events - +",
        "GETDEL bull:notifications:id",
    ],
)
def test_what_the_program_does_not_do_is_refused(redis: Valkey, command: str) -> None:
    with (
        valkey.Valkey("127.0.0.1", redis.port, username=RUNBOOK, password=PASSWORD) as session,
        pytest.raises(valkey.exceptions.NoPermissionError),
    ):
        session.execute_command(*command.split())


def test_a_script_does_not_get_around_it(redis: Valkey) -> None:
    with valkey.Valkey("127.0.0.1", redis.port, username=RUNBOOK, password=PASSWORD) as session:
        with pytest.raises(valkey.exceptions.ResponseError, match="permissions"):
            session.eval("return redis.call('flushall')", 0)
        with pytest.raises(valkey.exceptions.NoPermissionError):
            session.get("sess:1")
