import contextlib
import errno
import itertools
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modeld.desired.document import blob_id
from modeld.desired.file import StateDocument, StateFile
from modeld.errors import (
    Invalid,
    StateConflict,
    StateEmpty,
    StateMissing,
    StateNotWritable,
    StateUnreadable,
)

V1, V2 = "active: v1\n", "active: v2\n"
BLOB_1 = blob_id(V1.encode())
SECONDS_TO_SEE = 2.0
FAR_AWAY = 60.0  # a tick that no test waits for


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "active.yaml").write_text(V1)
    return folder


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "active.yaml"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def file(path: Path, lock: Path) -> StateFile:
    return StateFile(path, lock)


# Reading


def test_a_text_is_read_with_its_blob(file: StateFile) -> None:
    assert file.read() == StateDocument(V1.encode(), BLOB_1)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(path.parent):
        listener.bind(path.name)


def make_huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.mkdir, "not a regular file"),
        (make_fifo, "not a regular file"),
        (make_socket, "No such device"),
        (make_huge, "1073741824 bytes"),
        (make_loop, "levels of symbolic links"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    ],
)
def test_what_is_no_text_is_unreadable_at_once(
    file: StateFile, path: Path, make: Callable[[Path], None], words: str
) -> None:
    path.unlink()
    make(path)

    with pytest.raises(StateUnreadable, match=words):
        file.read()


def forbid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make opening a path fail; nothing that `chmod` says keeps root out."""
    real_open = os.open

    def open_(name: Any, *args: Any, **options: Any) -> int:
        if name == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_open(name, *args, **options)

    monkeypatch.setattr(os, "open", open_)


def test_a_forbidden_file_is_unreadable(
    file: StateFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(path, monkeypatch)

    with pytest.raises(StateUnreadable, match="Permission denied"):
        file.read()


def test_no_file_is_missing(file: StateFile, path: Path) -> None:
    path.unlink()

    with pytest.raises(StateMissing, match=r"active.yaml is missing$"):
        file.read()


def test_an_empty_file_is_empty(file: StateFile, path: Path) -> None:
    path.write_bytes(b"")

    with pytest.raises(StateEmpty):
        file.read()


def test_a_text_of_the_largest_size_is_read(file: StateFile, path: Path) -> None:
    path.write_bytes(b"#" * 65536)

    assert len(file.read().data) == 65536


def test_a_text_that_changes_while_it_is_read_is_read_again(
    file: StateFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_read = os.read
    disturb = iter([V2 + "# 1", V2])

    def read(descriptor: int, size: int) -> bytes:
        data = real_read(descriptor, size)
        if text := next(disturb, None):
            path.write_text(text)
        return data

    monkeypatch.setattr(os, "read", read)

    assert file.read().data == V2.encode()


def test_a_text_that_never_holds_still_is_unreadable(
    file: StateFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_read = os.read

    times = itertools.count()

    def read(descriptor: int, size: int) -> bytes:
        os.utime(path, (0, next(times)))
        return real_read(descriptor, size)

    monkeypatch.setattr(os, "read", read)

    with pytest.raises(StateUnreadable, match="keeps changing"):
        file.read()


# Writing


def test_a_write_replaces_the_text_and_leaves_nothing_behind(
    file: StateFile, path: Path, folder: Path
) -> None:
    written = file.write(V2, expected=BLOB_1)

    assert written == file.read() == StateDocument(V2.encode(), blob_id(V2.encode()))
    assert list(folder.iterdir()) == [path]


def test_a_write_makes_a_new_file_and_never_touches_the_old_bytes(
    file: StateFile, path: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.hardlink_to(path)

    file.write(V2, expected=BLOB_1)

    assert old.read_text() == V1


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_a_write_keeps_the_mode(file: StateFile, path: Path, mode: int) -> None:
    path.chmod(mode)

    file.write(V2, expected=BLOB_1)

    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_write_creates_the_file_where_none_is_expected(file: StateFile, path: Path) -> None:
    path.unlink()

    file.write(V2, expected=None)

    assert path.read_text() == V2


def test_an_empty_file_has_the_blob_of_nothing(file: StateFile, path: Path) -> None:
    path.write_bytes(b"")

    file.write(V2, expected=blob_id(b""))

    assert path.read_text() == V2


@pytest.mark.parametrize("text", ["", "#" * 65537])
def test_a_text_that_could_not_be_read_back_is_not_written(
    file: StateFile, path: Path, text: str
) -> None:
    with pytest.raises(Invalid):
        file.write(text, expected=BLOB_1)

    assert path.read_text() == V1


@pytest.mark.parametrize("expected", [None, blob_id(b"other")])
def test_a_write_based_on_another_text_is_refused(
    file: StateFile, path: Path, folder: Path, expected: str | None
) -> None:
    with pytest.raises(StateConflict, match=f"found blob {BLOB_1[:12]}"):
        file.write(V2, expected=expected)

    assert path.read_text() == V1
    assert list(folder.iterdir()) == [path]


def test_a_write_over_a_file_that_went_away_is_refused(file: StateFile, path: Path) -> None:
    path.unlink()

    with pytest.raises(StateConflict, match="found no file"):
        file.write(V2, expected=BLOB_1)


def test_a_change_at_the_last_moment_is_not_overwritten(
    file: StateFile, path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: path.write_text("active: v3\n"))

    with pytest.raises(StateConflict):
        file.write(V2, expected=BLOB_1)

    assert path.read_text() == "active: v3\n"
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("disturb", [Path.unlink, lambda path: path.write_text("active: v3\n")])
def test_a_change_right_after_the_write_is_told(
    file: StateFile,
    path: Path,
    disturb: Callable[[Path], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real_rename = os.rename

    def rename(*args: Any, **options: Any) -> None:
        real_rename(*args, **options)
        disturb(path)

    monkeypatch.setattr(os, "rename", rename)

    with pytest.raises(StateConflict, match="same moment"):
        file.write(V2, expected=BLOB_1)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EBUSY, "mount its folder instead"),
        (errno.EROFS, "read-only"),
        (errno.ENOSPC, "full"),
        (errno.EACCES, "Permission denied"),
    ],
)
def test_a_file_that_cannot_be_replaced_is_told_with_the_cause(
    file: StateFile, path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def rename(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "rename", rename)

    with pytest.raises(StateNotWritable, match=words):
        file.write(V2, expected=BLOB_1)

    assert list(path.parent.iterdir()) == [path]
    assert path.read_text() == V1


def test_a_link_is_not_replaced_by_a_file(file: StateFile, path: Path, tmp_path: Path) -> None:
    path.rename(tmp_path / "real.yaml")
    path.symlink_to(tmp_path / "real.yaml")

    with pytest.raises(StateNotWritable, match="it is a link"):
        file.write(V2, expected=BLOB_1)

    assert path.is_symlink()
    assert file.read().data == V1.encode()


@pytest.mark.parametrize(
    ("forbidden", "words"),
    [
        ("state", r"denied \(.*/state\)$"),
        ("state/active.yaml", r"active.yaml cannot be read: Permission denied$"),
        ("lock", r"denied \(.*/lock\)$"),
    ],
)
def test_without_permission_nothing_is_written(
    file: StateFile, tmp_path: Path, forbidden: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(tmp_path / forbidden, monkeypatch)

    with pytest.raises(StateNotWritable, match=words):
        file.write(V2, expected=BLOB_1)


def test_a_missing_folder_is_not_writable(file: StateFile, folder: Path) -> None:
    shutil.rmtree(folder)

    with pytest.raises(StateNotWritable, match="No such file"):
        file.write(V2, expected=None)


def test_a_pipe_is_not_writable(file: StateFile, path: Path) -> None:
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(StateNotWritable, match="not a regular file"):
        file.write(V2, expected=None)


def test_of_writers_with_the_same_base_one_wins(path: Path, lock: Path) -> None:
    outcomes: list[str] = []

    def write(number: int) -> None:
        try:
            StateFile(path, lock).write(f"active: v{number}\n", expected=BLOB_1)
            outcomes.append("written")
        except StateConflict:
            outcomes.append("conflict")

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2, 10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert sorted(outcomes) == ["conflict"] * 7 + ["written"]


HOLD_LOCK = """
import fcntl, sys
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def lock_held_by_another_process(lock: Path) -> Any:
    command = [sys.executable, "-c", HOLD_LOCK, str(lock)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate("")


def test_a_lock_that_is_never_released_does_not_hang_a_writer(
    file: StateFile, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr("modeld.desired.file.time.monotonic", lambda: next(clock))

    with (
        lock_held_by_another_process(lock),
        pytest.raises(StateConflict, match="another modeld process"),
    ):
        file.write(V2, expected=BLOB_1)


def test_a_sweep_removes_our_temporary_files_alone(
    file: StateFile, folder: Path, path: Path
) -> None:
    kept = {path, folder / ".active.yaml.swp", folder / ".other.yaml.1.ab.tmp"}
    for each in [*kept - {path}, folder / ".active.yaml.123.0a1b2c3d.tmp"]:
        each.touch()

    file.sweep()

    assert set(folder.iterdir()) == kept


def test_a_sweep_leaves_a_writer_alone(file: StateFile, folder: Path, lock: Path) -> None:
    temporary = folder / ".active.yaml.123.0a1b2c3d.tmp"
    temporary.touch()

    with lock_held_by_another_process(lock):
        file.sweep()

    assert temporary.exists()


def test_a_sweep_of_nothing_is_fine(file: StateFile, folder: Path) -> None:
    shutil.rmtree(folder)

    file.sweep()
