"""What settings mean as they are written, and what is chosen on this machine when they are not."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from modeld.config_values import (
    available_cpus,
    default_runtime_dir,
    parse_duration,
    parse_fraction,
    parse_size,
)


def runtime_dir(folder: Path, *, state: str = "state", models: str = "models") -> Path:
    return default_runtime_dir(folder / state / "active.yaml", folder / models)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("250ms", 0.25),
        ("1.5 s", 1.5),
        (0.5, 0.5),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1d", "1e3", "nan", "inf", "1s2", "1:30", "9999h"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30s"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "fraction"), [("0", 0), ("0.01", 0.01), (1e-05, 1e-05), (1, 1)])
def test_fractions(text: object, fraction: float) -> None:
    assert parse_fraction(text) == fraction


@pytest.mark.parametrize("text", ["", "1.1", "-0.1", "nan", "inf", "5%", "half"])
def test_what_is_no_fraction(text: str) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        parse_fraction(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1024", 1024),
        ("64MiB", 64 << 20),
        ("16MB", 16_000_000),
        ("1.5 kib", 1536),
        ("2GiB", 2 << 30),
        ("7B", 7),
        (0, 0),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5", "64M", "64 Mb x", "inf", "٣"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="such as 64MiB"):
        parse_size(text)


# The runtime folder


def test_the_runtime_folder_is_in_the_git_directory(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "deep/state").mkdir(parents=True)

    assert runtime_dir(tmp_path, state="deep/state") == tmp_path / ".git/modeld"


@pytest.mark.parametrize("is_absolute", [True, False])
def test_a_worktree_has_a_runtime_folder_of_its_own(tmp_path: Path, is_absolute: bool) -> None:
    directory = tmp_path / "main/.git/worktrees/tree"
    directory.mkdir(parents=True)
    (tmp_path / "tree/state").mkdir(parents=True)
    named = directory if is_absolute else "../main/.git/worktrees/tree"
    (tmp_path / "tree/.git").write_text(f"gitdir: {named}\n")

    assert runtime_dir(tmp_path / "tree") == directory / "modeld"


def test_a_linked_state_folder_belongs_to_the_repository_that_it_is_in(tmp_path: Path) -> None:
    (tmp_path / "repository/.git").mkdir(parents=True)
    (tmp_path / "repository/state").mkdir()
    (tmp_path / "state").symlink_to("repository/state")

    assert runtime_dir(tmp_path) == tmp_path / "repository/.git/modeld"


@pytest.mark.parametrize("content", [None, "gitdir: /nowhere/at/all\n", "\udcff"])
def test_without_git_the_runtime_folder_is_beside_the_models(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / ".git").write_bytes(content.encode(errors="surrogateescape"))

    assert runtime_dir(tmp_path, models="data/models") == tmp_path / "data/var"


def test_a_loop_of_links_is_left_to_whoever_reads_the_state(tmp_path: Path) -> None:
    (tmp_path / "state").symlink_to("state")

    assert runtime_dir(tmp_path) == tmp_path / "var"


# CPUs


def cgroup(folder: Path, own: str, files: Mapping[str, str]) -> int:
    (folder / "own").write_text(own)
    for name, content in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return available_cpus(folder / "cgroup", folder / "own")


V1 = "5:memory:/pod\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n"


@pytest.mark.parametrize(
    ("own", "files", "cpus"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "5000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "900000 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "nonsense"}, 8),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/../..\n", {}, 8),
        (V1, {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        (V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        (V1, {"cpu/cpu.cfs_quota_us": "1", "cpu/cpu.cfs_period_us": "0"}, 8),
        ("", {}, 8),
    ],
)
def test_cpus_are_counted_by_quota(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: str,
    files: Mapping[str, str],
    cpus: int,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)

    assert cgroup(tmp_path, own, files) == cpus


def test_cpus_are_counted_by_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)

    assert available_cpus(tmp_path, tmp_path / "none") == 2
