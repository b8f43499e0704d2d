"""Up, down, and what is left behind: nothing."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from daily_emr_sandbox import become
from daily_emr_sandbox.client import Ends, Sandbox, SandboxError


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of one test."""
    box = Sandbox(tmp_path / "own")
    yield box
    box.down()


def family(box: Sandbox) -> list[int]:
    daemon = psutil.Process(box.description["pid"])
    return [daemon.pid, *(child.pid for child in daemon.children(recursive=True))]


def shared_memory_of(pids: list[int]) -> list[int]:
    """Segments of System V shared memory that these processes made."""
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return [int(row[1]) for row in rows if int(row[4]) in pids]


def test_up_is_healthy_and_quiet(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    status = sandbox.up()

    assert status["healthy"] is True
    assert status["service"] == {"desired": 2, "running": 2}
    assert status["targets"] == ["healthy", "healthy"]
    assert {task["zone"] for task in status["tasks"]} == {"af-south-1a", "af-south-1b"}
    assert capfd.readouterr() == ("", "")


def test_a_second_up_finds_the_first(sandbox: Sandbox) -> None:
    pid = sandbox.description["pid"]

    assert sandbox.up()["pid"] == pid
    assert Sandbox(sandbox.state_dir).up()["pid"] == pid


def test_files_with_secrets_are_private(sandbox: Sandbox) -> None:
    assert sandbox.state_dir.stat().st_mode & 0o077 == 0
    for name in ("credentials", "launchdarkly_token"):
        assert (sandbox.state_dir / name).stat().st_mode & 0o077 == 0


def test_the_idle_sandbox_is_small(sandbox: Sandbox) -> None:
    status = sandbox.status()

    assert 0 < status["pss_mb"] < 600
    assert set(status["pids"]) >= {"daemon", "postgres-primary", "postgres-standby", "valkey-primary"}


def test_two_sandboxes_do_not_touch_each_other(sandbox: Sandbox, own: Sandbox) -> None:
    mine = own.up(time_factor=40, parts=())

    assert mine["network"] != sandbox.description["network"]
    own.break_("database_down")
    assert sandbox.status()["healthy"] is True
    own.down()
    assert sandbox.status()["healthy"] is True


def test_down_leaves_no_process_and_can_be_repeated(own: Sandbox) -> None:
    own.up(time_factor=40, parts=())
    ends = Ends(family(own))
    endpoint = own.description["endpoint_url"]
    assert len(ends.pids) > 6

    own.down()

    with ends:
        assert ends.wait(0.1), ends.pids
    with pytest.raises(OSError, match="refused"):
        urlopen(endpoint, timeout=2)
    assert not (own.state_dir / "data").exists()
    assert own.status() == {"running": False}
    own.down()
    assert own.up(time_factor=40, parts=())["healthy"] is True


def test_a_killed_daemon_takes_everything_with_it(own: Sandbox) -> None:
    own.up(time_factor=40, parts=())
    mine = family(own)
    ends = Ends(mine)
    assert shared_memory_of(mine), "PostgreSQL has some"

    os.kill(own.description["pid"], signal.SIGKILL)

    with ends:
        assert ends.wait(30), ends.pids
    assert shared_memory_of(mine) == [], "PostgreSQL gave its shared memory back"
    assert own.status() == {"running": False}
    with pytest.raises(SandboxError, match="does not answer"):
        own.ledger()
    assert own.up(time_factor=40, parts=())["healthy"] is True


def test_what_needs_a_running_sandbox_says_so(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="take it up first"):
        Sandbox(tmp_path / "nothing").ledger()


AS_ANOTHER_ACCOUNT = """
import json, os, sys
from pathlib import Path
from daily_emr_sandbox import children
from daily_emr_sandbox.loop import LoopThread
from daily_emr_sandbox.postgres import DatabasePair
from daily_emr_sandbox.settings import Settings

class Own(Settings):
    cache_dir = Path(sys.argv[1]) / "cache"

loop = LoopThread()
loop.start()
pair = DatabasePair(Own(Path(sys.argv[1]), sys.argv[2]), loop)
pair.start()
with pair.primary.connect() as session:
    version = session.execute("SELECT version FROM ops.schema_version").fetchone()[0]
owners = {os.stat(f"/proc/{pid}").st_uid for pid in pair.pids.values()}
pair.stop()
loop.stop()
print(json.dumps({"uid": os.getuid(), "owners": sorted(owners), "account": children.account(), "schema": version}))
"""


@pytest.mark.parametrize("account", ["-", "nobody"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_postgres_runs_without_root(tmp_path: Path, account: str) -> None:
    """As root it gives up root; as anybody else it runs as that."""
    if account != "-":
        entry = pwd.getpwnam(account)
        os.chown(tmp_path, entry.pw_uid, entry.pw_gid)
    launcher = [sys.executable, "-I", "-S", become.__file__, str(os.getpid()), str(int(signal.SIGKILL)), account]
    done = subprocess.run(
        [*launcher, sys.executable, "-c", AS_ANOTHER_ACCOUNT, str(tmp_path), f"127.61.{os.getpid() % 250}"],
        env={"PATH": os.environ["PATH"], "HOME": "/"},
        stdout=subprocess.PIPE,
        check=True,
    )

    found = json.loads(done.stdout)
    assert found["schema"] == 13
    assert 0 not in found["owners"]
    if account == "-":
        assert found["account"] is not None
    else:
        assert found["owners"] == [found["uid"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_server_finds_its_programs_behind_a_closed_folder(tmp_path: Path) -> None:
    """A clone in the home folder of root: initdb asks access(2) for programs that its account cannot walk to."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    ask = f"import os; print(os.getuid(), os.access({str(program)!r}, os.X_OK), os.access({str(closed)!r}, os.W_OK))"

    done = subprocess.run(
        [sys.executable, "-I", "-S", become.__file__, str(os.getpid()), "9", "nobody", sys.executable, "-c", ask],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    assert done.stdout.split() == [str(pwd.getpwnam("nobody").pw_uid), "True", "False"]
