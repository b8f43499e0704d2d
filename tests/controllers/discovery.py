"""What AWX lists as a playbook of a project: its rule (awx/main/utils/ansible.py of 24.6.1) in our own words."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

SKIPPED = {"roles", "tasks", "group_vars", "host_vars"}
PLAYBOOK = re.compile(r"^\s*-?\s*(?:hosts|(?:ansible\.builtin\.)?include|(?:ansible\.builtin\.)?import_playbook):")
VAULTED = "$ANSIBLE_VAULT;"


def playbooks(root: Path) -> list[str]:
    """The paths, relative to the root, of what AWX would list of this checkout: of what is committed or to be so."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted(file for file in files if is_playbook(root, Path(file)))


def is_playbook(root: Path, file: Path) -> bool:
    """Whether AWX takes a file for a playbook: by its folder, its name, and a line anywhere in it."""
    if file.suffix not in (".yml", ".yaml") or not (root / file).is_file():
        return False
    if any(part in SKIPPED or part.startswith(".") for part in file.parts[:-1]):
        return False
    lines = (root / file).read_text(encoding="utf-8", errors="ignore").splitlines()
    return bool(lines) and (lines[0].startswith(VAULTED) or any(PLAYBOOK.match(line) for line in lines))
