"""The traps of F.1: each shows first that it is one, then that nothing here falls into it."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _dump_programs
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_programs import (
    ProgramFailed,
    Slice,
    find_program,
    full_read,
    make_folder,
    parts_of_file,
    remove,
    run,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import BadDump, check_globals, roles_of
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from hypothesis import given
from hypothesis import strategies as st

from .conftest import World


def code(*command: str | Path) -> int:
    return subprocess.run([*map(str, command)], capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def whole(stack: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump in the custom format, made by hand."""
    file = tmp_path_factory.mktemp("traps") / "whole"
    node = stack.database.primary
    made = code(
        find_program("pg_dump", ""),
        "-h",
        node.address,
        "-p",
        str(node.port),
        "-U",
        "postgres",
        "-Fc",
        "-f",
        file,
        "emr",
    )
    assert made == 0
    return file


def cut(file: Path, to: Path, share: float = 0.6, less: int = 0) -> Path:
    content = file.read_bytes()
    to.write_bytes(content[: int(len(content) * share) - less])
    return to


def test_a_pipe_hides_that_its_first_half_failed(tmp_path: Path) -> None:
    assert code("bash", "-c", f"false | gzip > {tmp_path / 'dump.gz'}") == 0
    assert gzip.decompress((tmp_path / "dump.gz").read_bytes()) == b""

    with pytest.raises(ProgramFailed, match=r"^false failed \(exit code 1, error\)\.$"):
        run(["/usr/bin/false"])


def test_a_program_that_was_killed_has_failed() -> None:
    with pytest.raises(ProgramFailed, match="signal 9"):
        run(["/bin/sh", "-c", "kill -9 $$"])


def test_a_truncated_plain_dump_passes_gzip(stack: World, tmp_path: Path) -> None:
    node, plain = stack.database.primary, tmp_path / "plain.sql"
    code(find_program("pg_dumpall", ""), "-h", node.address, "-p", str(node.port), "-U", "postgres", "-g", "-f", plain)
    truncated = tmp_path / "half.sql.gz"
    truncated.write_bytes(gzip.compress(cut(plain, tmp_path / "half.sql").read_bytes()))
    assert code("gzip", "-t", truncated) == 0

    check = (tmp_path / "half.sql").read_bytes()
    with pytest.raises(BadDump, match="its last line is missing"):
        check_globals(check)
    with pytest.raises(BadDump, match="names a password"):
        check_globals(plain.read_bytes())  # --no-role-passwords is not there by chance


def test_a_truncated_custom_dump_passes_the_list(whole: Path, tmp_path: Path) -> None:
    half = cut(whole, tmp_path / "half")
    assert code(find_program("pg_restore", ""), "--list", half) == 0

    with pytest.raises(BadDump, match="cannot be read to its end"):
        full_read(half, "")


@pytest.mark.parametrize(("share", "less"), [(0.9, 0), (0.99, 0), (1.0, 1), (1.0, 40), (0.001, 0), (0.0, 0)])
def test_wherever_a_dump_is_cut_it_cannot_be_read_or_its_checksum_is_another(
    whole: Path, tmp_path: Path, share: float, less: int
) -> None:
    with pytest.raises(BadDump):
        full_read(cut(whole, tmp_path / "cut", share, less), "")


def test_a_whole_dump_can_be_read(whole: Path) -> None:
    full_read(whole, "")


def test_what_the_server_says_is_not_repeated() -> None:
    with pytest.raises(ProgramFailed) as error:
        run(["/bin/sh", "-c", "echo 'pg_dump: error: permission denied for table charts of Wanjiru' >&2; exit 1"])
    assert "permission denied" in error.value.sentence
    assert "Wanjiru" not in error.value.sentence


def test_nothing_secret_is_on_a_command_line_and_a_shell_is_in_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], dict[str, str], dict[str, Any]]] = []
    original = subprocess.Popen

    def watched(command: list[str], **more: Any) -> Any:
        started.append((list(map(str, command)), more["env"], more))
        return original(command, **more)

    monkeypatch.setattr(_dump_programs.subprocess, "Popen", watched)
    dumped = world.call("database_dump")

    password = world.settings.database_passfile.read_text().splitlines()[1].rpartition(":")[2]
    programs = [Path(command[0]).name for command, _env, _more in started]
    assert [name for name in programs if name != "sh"].count("pg_dump") >= 1
    assert {"pg_dumpall", "pg_restore"} <= set(programs)
    assert all(password not in " ".join(command) for command, _env, _more in started)
    assert not any(more.get("shell") for _command, _env, more in started)
    assert password not in str(dumped) + " ".join(world.told)


@pytest.mark.parametrize(
    ("content", "roles"),
    [
        (b"CREATE ROLE emr_application;\nALTER ROLE emr_application WITH LOGIN;\n", ["emr_application"]),
        (b'CREATE ROLE "a ""b""";\nCREATE ROLE c; DROP TABLE x;\n', ['"a ""b"""']),
    ],
)
def test_only_names_of_roles_are_taken_from_the_roles(content: bytes, roles: list[str]) -> None:
    assert roles_of(content) == roles


@given(st.binary(max_size=300), st.integers(1, 80), st.integers(1, 90))
def test_the_parts_of_a_file_are_the_file(tmp_path_factory: Any, content: bytes, size: int, block: int) -> None:
    file = tmp_path_factory.getbasetemp() / "slices"
    file.write_bytes(content)
    parts = parts_of_file(file, "2026/11/30/013000Z", size, lambda _text: None)
    read = b""
    with file.open("rb") as opened:
        for number, part in enumerate(parts):
            piece = Slice(opened, number * size, part.bytes)
            assert len(piece) == part.bytes
            while chunk := piece.read(block):
                read += chunk
            assert piece.seek(0, io.SEEK_END) == part.bytes
            assert piece.seek(0) == 0
    assert read == content


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    folder = make_folder(str(tmp_path), "dump")
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "left").touch()
    assert list(make_folder(str(tmp_path), "dump").iterdir()) == [], "what a killed run left is gone"

    remove(folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)
    with pytest.raises(Refused, match="is not ours"):
        make_folder(str(tmp_path), "dump")
    assert elsewhere.exists()


def test_a_program_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="There is no pg_dump where Ansible runs"):
        find_program("pg_dump", str(tmp_path))
    shutil.copy(find_program("pg_dump", ""), tmp_path / "pg_dump")
    assert find_program("pg_dump", str(tmp_path)) == tmp_path / "pg_dump"
