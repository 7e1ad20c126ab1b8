"""What the doctor says of a machine, played by files and figures."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from modeld.cli.checkup.machine import (
    check_clock,
    check_cpus,
    check_disks,
    check_inotify,
    check_python,
    existing,
)
from modeld.config import Settings, load_settings

GIB = 1 << 30


def settings(folder: Path, **given: str) -> Settings:
    environ = {f"MODELD_{name}": value for name, value in given.items()}
    return load_settings({}, environ=environ, folder=folder)


def test_the_python_that_runs_this_will_do() -> None:
    assert check_python().level == "ok"


@pytest.mark.parametrize(
    ("workers", "cpus", "level"), [("2", 2, "ok"), ("1", 2, "ok"), ("3", 2, "warning")]
)
def test_more_workers_than_cpus_take_turns(
    tmp_path: Path, workers: str, cpus: int, level: str
) -> None:
    found = check_cpus(settings(tmp_path, WORKERS=workers), cpus)

    assert found.level == level
    assert found.cure == ("modeld serve --workers 2" if level == "warning" else "")


def proc(folder: Path, instances: int, watches: int, used: int) -> Path:
    """A /proc with limits, and one process of ours with inotify instances of two watches."""
    limits = folder / "sys/fs/inotify"
    limits.mkdir(parents=True)
    (limits / "max_user_instances").write_text(f"{instances}\n")
    (limits / "max_user_watches").write_text(f"{watches}\n")
    for name in ("fd", "fdinfo"):
        (folder / "17" / name).mkdir(parents=True)
    for number in range(used):
        (folder / f"17/fd/{number}").symlink_to("anon_inode:inotify")
        (folder / f"17/fdinfo/{number}").write_text("pos: 0\ninotify wd:1 x\ninotify wd:2 x\n")
    (folder / "17/fd/99").symlink_to("socket:[1]")
    return folder


@pytest.mark.parametrize(
    ("limits", "levels"),
    [
        ((128, 8192), ["ok", "ok"]),
        ((10, 8192), ["warning", "ok"]),
        ((4, 8192), ["problem", "ok"]),
        ((128, 100), ["ok", "warning"]),
        ((128, 8), ["ok", "problem"]),
    ],
)
def test_what_is_left_of_inotify_is_what_this_user_has_not_taken(
    tmp_path: Path, limits: tuple[int, int], levels: list[str]
) -> None:
    found = list(check_inotify(proc(tmp_path, *limits, used=4)))

    assert [each.level for each in found] == levels
    assert found[0].message.startswith(f"{limits[0] - 4} of {limits[0]} inotify instances left")
    assert found[1].message.startswith(f"{limits[1] - 8} of {limits[1]} inotify watches left")
    assert all(each.cure.startswith("sudo sysctl fs.") for each in found if each.level != "ok")


def test_a_system_without_inotify_is_no_problem(tmp_path: Path) -> None:
    assert [each.level for each in check_inotify(tmp_path)] == ["ok"]


@pytest.mark.parametrize(
    ("free", "level"), [(5 * GIB, "ok"), (GIB // 2, "warning"), (GIB // 100, "problem")]
)
def test_a_disk_that_fills_up_is_told_before_it_is_full(
    tmp_path: Path, free: int, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    found = list(check_disks(settings(tmp_path)))

    assert [each.level for each in found] == [level, level]


def test_a_folder_that_is_not_there_is_looked_for_above(tmp_path: Path) -> None:
    assert existing(tmp_path / "a" / "b") == tmp_path


def test_a_clock_that_is_behind_its_files_or_this_program_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "active.yaml"
    file.write_text("active: v1\n")
    os.utime(file, (1_800_000_000, 1_800_000_000))

    levels = [check_clock((file,), now).level for now in (1_800_000_001, 1_799_000_000, 100.0)]

    assert levels == ["ok", "warning", "problem"]
    assert check_clock((tmp_path / "none",)).level == "ok"
