# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: names the code that a run is made of. May change without notice.

"""The digest of the content: what decides, and what acts, of this project."""

from __future__ import annotations

import hashlib
from pathlib import Path

# Inventories are not code: what they lead to is in the plan, as account, region, targets and values.
PARTS = ("roles", "runbooks", "playbooks", "collections/ansible_collections/daily_emr")
LEFT_OUT = frozenset({"__pycache__", ".ansible", "tests"})


def code_digest(project: Path) -> str:
    """SHA-256, in hexadecimal, over the path and the content of every file of the content, in the order of paths."""
    whole = hashlib.sha256()
    for part in PARTS:
        for path in sorted((project / part).rglob("*")):
            inside = path.relative_to(project)
            if LEFT_OUT.isdisjoint(inside.parts) and path.is_file():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                whole.update(f"{inside.as_posix()}\0{content}\n".encode())
    return whole.hexdigest()
