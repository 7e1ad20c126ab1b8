"""What the doctor says of folders, git and the port."""

import os
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from modeld.cli.checkup.folders import (
    check_git,
    check_history,
    check_port,
    check_runtime_folder,
    check_state_folder,
)
from modeld.config import load_settings
from modeld.control.ledger import Ledger
from modeld.control.runtime_folder import Place

STRANGER = 4321


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A runtime folder with a history."""
    path = tmp_path / "run time;x"
    path.mkdir(mode=0o700)
    Ledger(path / "modeld.sqlite").close()
    return path


@pytest.fixture
def as_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look with the eyes of a user to whom nothing here belongs."""
    monkeypatch.setattr(os, "getuid", lambda: STRANGER)


def levels(folder: Path) -> list[str]:
    return [each.level for each in check_runtime_folder(folder)]


def test_a_runtime_folder_that_is_ours_alone_is_fine(folder: Path) -> None:
    assert levels(folder) == ["ok"]
    assert check_history(folder).level == "ok"


def test_one_that_is_not_there_yet_is_fine(tmp_path: Path) -> None:
    assert levels(tmp_path / "var" / "modeld") == ["ok"]
    (tmp_path / "file").touch()
    assert levels(tmp_path / "file" / "modeld") == ["problem"]


def test_one_that_others_may_enter_is_not(folder: Path) -> None:
    folder.chmod(0o755)

    found = next(iter(check_runtime_folder(folder)))

    assert (found.level, found.cure) == ("warning", f"chmod 700 '{folder}'")


@pytest.mark.usefixtures("as_stranger")
def test_one_of_another_user_is_a_problem_with_a_cure_that_can_be_pasted(folder: Path) -> None:
    found = next(iter(check_runtime_folder(folder)))

    assert found.level == "problem"
    assert found.cure == f"sudo chown -R {STRANGER} '{folder}'"


def test_a_history_of_another_format_or_none_at_all_is_a_problem(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "modeld.sqlite")) as database:
        database.execute("PRAGMA user_version = 99")

    assert check_history(folder).level == "problem"
    (folder / "modeld.sqlite").write_bytes(b"no database" * 100)
    assert check_history(folder).level == "problem"
    (folder / "modeld.sqlite").unlink()
    assert check_history(folder).level == "ok"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "active.yaml"
    path.parent.mkdir()
    path.write_text("active: v1\n")
    return path


def test_a_state_file_that_can_be_replaced_is_fine(state: Path) -> None:
    assert [each.level for each in check_state_folder(state)] == ["ok"]


def test_one_that_is_missing_or_has_no_folder_is_not(state: Path) -> None:
    state.unlink()
    missing = list(check_state_folder(state))
    state.parent.rmdir()
    homeless = list(check_state_folder(state))

    assert [each.level for each in (*missing, *homeless)] == ["problem", "problem"]
    assert homeless[0].cure == "modeld init"


@pytest.mark.usefixtures("as_stranger")
def test_a_folder_of_another_user_is_told(state: Path) -> None:
    assert [each.level for each in check_state_folder(state)] == ["warning"]


def test_a_folder_without_git_is_fine(state: Path) -> None:
    assert check_git(state).level == "ok"


def test_a_repository_of_this_user_is_fine(state: Path) -> None:
    subprocess.run(["git", "init", "-q", state.parent.parent], check=True)

    assert check_git(state).level == "ok"


def test_a_repository_that_git_refuses_is_told_until_it_is_excepted(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(os, "getuid", lambda: STRANGER)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    before = check_git(state)
    subprocess.run(before.cure.split(), check=True)
    after = check_git(state)

    assert (before.level, after.level) == ("warning", "ok")
    assert before.cure == f"git config --global --add safe.directory {tmp_path}"


def test_a_port_is_free_or_somebodys_or_ours(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = load_settings({}, environ={"MODELD_PORT": str(port)}, folder=tmp_path)

        found = check_port(settings, None)
        ours = check_port(settings, Place(17, "127.0.0.1", port, ""))

    assert found.level == "problem"
    assert f"in use by process {os.getpid()}" in found.message
    assert found.cure == f"ss -ltnp 'sport = :{port}'"
    assert ours.level == "ok"
    assert check_port(settings, None).level == "ok"
