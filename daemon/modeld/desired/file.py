"""Keep the text of the desired state in a file that others change too.

It moves text and reads no meaning into it. Editors, git and other tools write
the same file without asking, so a read takes only bytes that held still, and a
write goes through only if the file is still the one its writer had seen.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path

from modeld.desired import replacement
from modeld.desired.decoding import MAX_BYTES
from modeld.desired.document import blob_id
from modeld.desired.index_lock import IndexLock
from modeld.desired.watch import FolderWatch, Hint, Mode
from modeld.errors import (
    Invalid,
    StateConflict,
    StateEmpty,
    StateMissing,
    StateNotWritable,
    StateUnreadable,
)

_READ_TRIES = 5
_LOCK_SECONDS = 5.0
# Without O_NONBLOCK, opening a pipe would wait for somebody to write to it.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LOCK = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
_CAUSES = {
    errno.EBUSY: "it is mounted on its own; mount its folder instead",
    errno.EROFS: "the disk is read-only",
    errno.ENOSPC: "the disk is full",
}


@dataclass(frozen=True, slots=True)
class StateDocument:
    """One text of the desired state, and the id that git gives to it."""

    data: bytes
    blob: str


class StateFile:
    """The file that holds the desired state. `lock` is taken by writers among ourselves."""

    def __init__(self, path: Path, lock: Path, tick: float = 1.0) -> None:
        self._path = path
        self._lock = lock
        self._watch = FolderWatch(path, tick)
        self.index_lock = IndexLock(path)
        """git holds it while it writes files, this one maybe among them."""

    @property
    def mode(self) -> Mode:
        """Whether changes are told by events, or only found by the tick."""
        return self._watch.mode

    def read(self) -> StateDocument:
        """Read the text as it stands.

        Raises StateMissing, StateEmpty or StateUnreadable.
        """
        try:
            data = _read_still(self._path)
        except FileNotFoundError as error:
            raise StateMissing(f"{self._path} is missing") from error
        except OSError as error:
            raise StateUnreadable(
                f"{self._path} cannot be read: {_cause(error, self._path)}"
            ) from error
        if not data:
            raise StateEmpty(f"{self._path} is empty")
        return StateDocument(data, blob_id(data))

    def write(self, text: str, *, expected: str | None) -> StateDocument:
        """Replace the text that has the blob `expected`; None creates the file.

        Raises StateConflict when another text stands there, and StateNotWritable
        when the file cannot be replaced. Waits for locks and disks.
        """
        data = text.encode()
        if not 0 < len(data) <= MAX_BYTES:
            raise Invalid(f"{len(data)} bytes; a desired state has 1 to {MAX_BYTES}")
        try:
            with _locked(self._lock):
                self._replace(data, expected)
                return self._read_back(data)
        except OSError as error:
            raise StateNotWritable(
                f"{self._path} cannot be replaced: {_cause(error, self._path)}"
            ) from error

    def sweep(self) -> None:
        """Remove temporary files that writers have left behind; for the start."""
        with contextlib.suppress(OSError, StateConflict), _locked(self._lock, seconds=0):
            replacement.sweep(self._path)

    def changes(self) -> AsyncGenerator[Hint, None]:
        """Hint, for ever, that the text may have changed; also ticks without a change."""
        return self._watch.hints()

    def _replace(self, data: bytes, expected: str | None) -> None:
        # Whoever made a link decides what it names: Kubernetes and git-sync flip theirs,
        # and a file put in its place would cut the server off from every later deploy.
        if self._path.is_symlink():
            raise OSError("it is a link, and only who made it may change what it names")
        self._require(expected)
        replacement.replace_file(self._path, data, check=lambda: self._require(expected))

    def _require(self, expected: str | None) -> None:
        found = self._current_blob()
        if found != expected:
            raise StateConflict(
                f"{self._path} has changed: expected {_named(expected)}, found {_named(found)}"
            )

    def _current_blob(self) -> str | None:
        try:
            return self.read().blob
        except StateMissing:
            return None
        except StateEmpty:
            return blob_id(b"")
        except StateUnreadable as error:
            raise StateNotWritable(str(error)) from error

    def _read_back(self, data: bytes) -> StateDocument:
        with contextlib.suppress(StateMissing, StateEmpty, StateUnreadable):
            found = self.read()
            if found.data == data:
                return found
        raise StateConflict(f"{self._path} was changed by somebody else at the same moment")


def _cause(error: OSError, path: Path) -> str:
    """Say why in words, and name the file when it is another one: the folder, the lock."""
    cause = _CAUSES.get(error.errno or 0, error.strerror or str(error))
    name = str(error.filename or path)
    return cause if name == str(path) or name.endswith(".tmp") else f"{cause} ({name})"


def _named(blob: str | None) -> str:
    return "no file" if blob is None else f"blob {blob[:12]}"


def _read_still(path: Path) -> bytes:
    """Read a regular file whose status is the same before and after."""
    for _ in range(_READ_TRIES):
        with replacement.opened(path, _READ) as descriptor:
            before = os.fstat(descriptor)
            _require_readable(before)
            data = _read_all(descriptor)
            if _identity(before) == _identity(os.fstat(descriptor)) and len(data) <= MAX_BYTES:
                return data
    raise OSError("it keeps changing")


def _require_readable(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is not a regular file")
    if status.st_size > MAX_BYTES:
        raise OSError(f"it has {status.st_size} bytes, at most {MAX_BYTES} are read")


def _read_all(descriptor: int) -> bytes:
    """Read to the end, or just past the limit when the file grew meanwhile."""
    data = b""
    while len(data) <= MAX_BYTES and (part := os.read(descriptor, MAX_BYTES + 1 - len(data))):
        data += part
    return data


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@contextlib.contextmanager
def _locked(path: Path, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Hold the writers' lock; it is given back when its holder dies."""
    with replacement.opened(path, _LOCK, mode=0o600) as descriptor:
        _acquire(descriptor, time.monotonic() + seconds)
        yield


def _acquire(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StateConflict("another modeld process is writing the state file") from None
            time.sleep(0.01)
        else:
            return
