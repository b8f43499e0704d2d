"""A job as AWX 24.6.1 starts it: its environment, its working folder, its inventory script, answers as `!unsafe`.

Nothing here reaches AWS: the inventory of staging has no account yet, so a run ends with our own refusal, and that
sentence can only come from the collection and the roles of the checkout.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

import ansible
import pytest

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
Job = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job: a copy of the checkout, and the inventory that the sync left in AWX's database."""
    folder = tmp_path_factory.mktemp("job")
    project = folder / "project"
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        if not name.startswith(("tests/", "docs/", "molecule/", "sandbox/")) and (ROOT / name).exists():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project / name, follow_symlinks=False)
    synced = subprocess.run(
        [BIN / "ansible-inventory", "-i", "inventories/staging/hosts.yml", "--list", "--export"],
        cwd=project,
        env=environment(folder),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    script = folder / "inventory/hosts"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nprint({synced!r})\n")
    script.chmod(0o700)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """What RunJob.build_env makes of the ansible.cfg of the project."""
    cfg = ConfigParser()
    cfg.read(folder / "project/ansible.cfg")
    made = {
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_HOST_KEY_CHECKING": "False",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
        "AWX_PRIVATE_DATA_DIR": str(folder),
        "JOB_ID": "11",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    for kind, setting in (("collections", "collections_path"), ("roles", "roles_path")):
        parts = [
            str(folder / f"requirements_{kind}"),
            cfg["defaults"][setting],
            f"~/.ansible/{kind}",
            f"/usr/share/ansible/{kind}",
        ]
        made[f"ANSIBLE_{kind.upper()}_PATH"] = ":".join(parts)
    return made


@pytest.fixture(scope="module")
def job(private: Path) -> Job:
    def start(playbook: str, *options: str, answers: dict[str, str] | None = None) -> tuple[int, str]:
        given = {"awx_job_id": 11, "awx_user_name": "nurse", "tower_job_id": 11}
        lines = [f"{name}: {json.dumps(value)}" for name, value in given.items()]
        lines += [f"{name}: !unsafe {json.dumps(value)}" for name, value in (answers or {}).items()]
        (private / "extravars").write_text("\n".join(lines) + "\n")
        done = subprocess.run(
            [BIN / "ansible-playbook", "-u", "root", *given_to(private), *options, playbook],
            cwd=private / "project",
            env=environment(private),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    return start


def given_to(folder: Path) -> list[str]:
    return ["-i", str(folder / "inventory/hosts"), "-e", f"@{folder / 'extravars'}"]


def test_every_job_finds_its_roles_and_the_collection_of_the_checkout(job: Job) -> None:
    defined = json.loads((ROOT / "roles/controller/files/jobs.json").read_text())
    first, *others = [one["playbook"] for one in defined]
    code, said = job(first, "--syntax-check", *others)
    assert code == 0, said


def test_a_plan_reaches_our_own_modules_and_refuses_an_environment_that_is_not_filled_in(job: Job) -> None:
    code, said = job("runbooks/app_outage.yml", "--check", "--diff")
    assert code != 0
    assert "account_id of environment staging is not set: put it into inventories/staging/group_vars/all" in said
    assert "Traceback" not in said


def test_a_hostile_answer_is_refused_and_never_executed(job: Job, tmp_path: Path) -> None:
    witness = tmp_path / "executed"
    code, said = job(
        "runbooks/app_outage.yml", answers={"incident_take_over": f"{{{{ lookup('pipe', 'touch {witness}') }}}}"}
    )
    assert code != 0
    assert "incident_take_over contains template markers" in said
    assert not witness.exists()


@pytest.mark.skipif(
    (Path(ansible.__file__).parents[1] / "ansible_collections/awx").is_dir(),
    reason="the package ansible has awx.awx up to version 13",
)
def test_without_its_collection_the_set_up_says_where_to_get_it() -> None:
    settings = {"controller_project_url": "x", "controller_image": "x", "controller_environments": []}
    command = [BIN / "ansible-playbook", "-i", "localhost,", "playbooks/controller.yml", "-e", json.dumps(settings)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert "ansible-galaxy collection install -r roles/controller/requirements.yml" in said
    assert "Traceback" not in said
