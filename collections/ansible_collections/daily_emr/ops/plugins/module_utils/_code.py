# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which code a run is made of, as one digest: an incident goes on with the code that it was begun with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# What decides what a run does. The settings of an inventory are data and may differ; tests run nothing.
CODE = ("ansible.cfg", "collections", "playbooks", "roles", "runbooks")
LEFT_OUT = frozenset({"__pycache__", "tests"})


@cache
def code_digest(project: Path) -> str:
    """SHA-256 over the names and contents of all code of a project, in hexadecimal; empty where there is no project.

    The same on a machine that the content was sent to (`runbook run --on`). Raises OSError for what cannot be read.
    """
    if not (project / "runbooks").is_dir():
        return ""
    total = hashlib.sha256()
    for path in sorted(file for name in CODE for file in _files(project / name)):
        total.update(f"{path.relative_to(project).as_posix()}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir() and path.name not in LEFT_OUT:
        for inner in path.iterdir():
            if not inner.name.startswith(".") and inner.suffix != ".pyc":
                yield from _files(inner)
