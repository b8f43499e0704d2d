"""The first command of the README, exactly as written, in a clean clone with a new home.

The second one, `make test`, is what runs this test; CI runs it in a clean clone.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
KEPT = ("LANG", "PYENV_ROOT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


def test_make_drill_in_a_clean_clone(tmp_path: Path) -> None:
    clone, home = tmp_path / "clone", tmp_path / "home"
    home.mkdir()
    # Without the virtual environment this test runs in: the clone makes its own.
    path = ":".join(part for part in os.environ["PATH"].split(":") if "/.venv" not in part)
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith("PIP_")}
    env = {**kept, "PATH": path, "HOME": str(home), "LC_ALL": "C.UTF-8"}
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True, env=env)
    assert "$ make drill" in (clone / "README.md").read_text()

    def make(*arguments: str) -> str:
        done = subprocess.run(
            ["make", *arguments],
            cwd=clone,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    try:
        first = make("drill")
        assert "succeeded" in first
        (record,) = {Path(found) for found in re.findall(r"(\S+/record\.json)", first)}
        assert record.exists()
        assert record.is_relative_to(clone)
        again = make("drill", "FAULT=scaled_to_zero")
        assert "Setting up" in first
        assert "Setting up" not in again, "a second run reuses what is there"
    finally:
        subprocess.run([clone / ".venv/bin/runbook", "sandbox", "down"], cwd=clone, env=env, check=True)

    left = [
        process.info
        for process in psutil.process_iter(["pid", "cmdline"])
        if str(clone) in str(process.info["cmdline"])
    ]
    assert left == []
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=clone, env=env, check=True, capture_output=True)
    assert changed.stdout == b"", "a drill leaves nothing in the work tree"
