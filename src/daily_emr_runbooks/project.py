"""Where the project is, and what lies in it: runbooks, environments, run folders."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from .errors import CommandError, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Project:
    """A checkout of the repository."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """The checkout around the working directory, else the one this package is installed from.

        The working directory goes first: with two checkouts, the one that the operator stands in is meant.
        """
        here = (start or Path.cwd()).resolve()
        installed = Path(__file__).resolve()
        for folder in (here, *here.parents, *installed.parents):
            if (folder / "ansible.cfg").is_file() and (folder / "runbooks").is_dir():
                return cls(folder)
        raise CommandError(
            f"No runbooks around {here}: change into a checkout of the project (it has ansible.cfg and runbooks/)."
        )

    @property
    def runs_dir(self) -> Path:
        return Path(os.environ.get("DAILY_EMR_RUNS") or self.root / ".runs").absolute()

    @property
    def sandbox_dir(self) -> Path:
        return Path(os.environ.get("DAILY_EMR_SANDBOX") or self.root / ".sandbox" / "default").absolute()

    def make_importable(self) -> None:
        """Let Python find the project's own collection, for the words it shares with the command."""
        collections = str(self.root / "collections")
        if collections not in sys.path:
            sys.path.insert(0, collections)

    def environments(self) -> list[str]:
        return sorted(path.parent.name for path in (self.root / "inventories").glob("*/hosts.yml") if _is_whole(path))

    def inventory(self, environment: str) -> Path:
        """Folder of an environment's inventory. Raises CommandError when there is none of that name."""
        if environment not in (known := self.environments()):
            raise CommandError(f"There is no environment {environment!r}. {one_of(environment, known)}")
        return self.root / "inventories" / environment

    def components(self, environment: str, group: str) -> list[str]:
        """Names of the components of one group, read from the environment's hosts.yml."""
        document = load_yaml(self.inventory(environment) / "hosts.yml")
        return sorted(set(_members(document, group, inside=False)))


def _is_whole(hosts: Path) -> bool:
    """inventories/common holds what environments share; only a folder with settings is an environment."""
    return (hosts.parent / "group_vars").is_dir()


def _members(groups: Mapping[str, Any] | None, wanted: str, *, inside: bool) -> list[str]:
    names: list[str] = []
    for name, body in (groups or {}).items():
        here = inside or name == wanted
        if here:
            names += list((body or {}).get("hosts") or {})
        names += _members((body or {}).get("children"), wanted, inside=here)
    return names


def load_yaml(path: Path) -> Any:
    """Read a YAML file. Raises CommandError with the place of the fault."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise CommandError(f"{path} is not valid YAML{line}: repair it, then run again.") from error
