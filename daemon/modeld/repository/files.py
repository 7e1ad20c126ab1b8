"""Open the files of a version without being led out of its folder.

The folder is opened once and everything under it is reached from that handle,
one path component at a time, never through a symbolic link. A file is opened
without waiting, so that a FIFO cannot hang the reader, and must be a regular one.

What cannot be read is `ArtifactNotReady` throughout: the same as a file that has
not arrived, it heals when the right file is put there.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from modeld.errors import ArtifactNotReady, ManifestInvalid

MOST_FILES = 10_000
DEEPEST = 16

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_NOISE_ENDINGS = ("~", ".tmp", ".part", ".partial", ".swp")


def is_noise(name: str) -> bool:
    """Tell whether a file or folder is left there by a tool: hidden, cached or temporary."""
    return (
        name.startswith((".", "#"))
        or name == "__pycache__"
        or name.lower().endswith(_NOISE_ENDINGS)
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """What differs when a file was replaced or written to.

    The time of change is kept beside the time of modification, because copying
    tools set the latter back when they are done.
    """

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        """Take the identity from what `stat` says."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class VersionFolder:
    """The open folder of a version. `label` is what messages call it; no path is shown."""

    def __init__(self, path: Path, label: str) -> None:
        self.label = label
        try:
            self._handle = os.open(path, _FOLDER)
        except OSError as error:
            raise ArtifactNotReady(f"{label}: its folder {_problem(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)

    def has(self, name: str) -> bool:
        """Tell whether something, of whatever kind, has this name directly in the folder."""
        try:
            os.stat(name, dir_fd=self._handle, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._refusal(name, error) from error
        return True

    def identify(self, path: str) -> Identity:
        """Look at a regular file without opening it."""
        parent, name = self._parent(path)
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            raise self._refusal(path, error) from error
        finally:
            os.close(parent)
        self._check_regular(path, found)
        return Identity.of(found)

    @contextmanager
    def open(self, path: str) -> Iterator[FileIO]:
        """Open a regular file for reading. What fails in the body with `OSError` is the file."""
        parent, name = self._parent(path)
        try:
            handle = os.open(name, _FILE, dir_fd=parent)
        except OSError as error:
            raise self._refusal(path, error) from error
        finally:
            os.close(parent)
        try:
            self._check_regular(path, os.fstat(handle))
            with FileIO(handle, closefd=False) as file:
                yield file
        except OSError as error:
            raise self._refusal(path, error) from error
        finally:
            os.close(handle)

    def identity_of(self, file: FileIO) -> Identity:
        """Look at a file that is open."""
        return Identity.of(os.fstat(file.fileno()))

    def read(self, path: str, *, limit: int) -> bytes:
        """Read a small file whole, and make sure that it held still meanwhile.

        Raises `ManifestInvalid` when it is larger than `limit`.
        """
        before = self.identify(path)
        if before.size > limit:
            found = f"{before.size} bytes, more than the {limit} allowed"
            raise ManifestInvalid(f"{self.label}/{path}: it has {found}")
        with self.open(path) as file:
            content = b"".join(iter(lambda: file.read(limit + 1), b""))
        if len(content) != before.size or self.identify(path) != before:
            raise still_being_written(self.label, path)
        return content

    def walk(self) -> tuple[str, ...]:
        """Name everything in the folder and below that is no folder and no noise."""
        found: list[str] = []
        try:
            self._collect(self._handle, "", found)
        except OSError as error:
            raise ArtifactNotReady(f"{self.label}: its folder {_problem(error)}") from error
        return tuple(sorted(found))

    def _collect(self, folder: int, prefix: str, found: list[str]) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_noise(entry.name):
                    continue
                self._check_name(prefix + entry.name, len(found))
                if entry.is_dir(follow_symlinks=False):
                    self._descend(folder, prefix, entry.name, found)
                else:
                    found.append(prefix + entry.name)

    def _descend(self, folder: int, prefix: str, name: str, found: list[str]) -> None:
        try:
            deeper = os.open(name, _FOLDER, dir_fd=folder)
        except OSError as error:
            raise self._refusal(prefix + name, error) from error
        try:
            self._collect(deeper, f"{prefix}{name}/", found)
        finally:
            os.close(deeper)

    def _check_name(self, path: str, count: int) -> None:
        if not path.isprintable():
            raise ManifestInvalid(f"{self.label}: {path!a}: a name must be printable UTF-8")
        if path.count("/") >= DEEPEST or count >= MOST_FILES:
            rule = f"more than {MOST_FILES} files, or folders deeper than {DEEPEST}"
            raise ManifestInvalid(f"{self.label}: {rule}; list those of the model in model.yaml")

    def _parent(self, path: str) -> tuple[int, str]:
        """Open the folder that a file is in. The caller closes it."""
        *folders, name = path.split("/")
        handle = os.dup(self._handle)
        for folder in folders:
            try:
                deeper = os.open(folder, _FOLDER, dir_fd=handle)
            except OSError as error:
                raise self._refusal(path, error) from error
            finally:
                os.close(handle)
            handle = deeper
        return handle, name

    def _check_regular(self, path: str, found: os.stat_result) -> None:
        if stat.S_ISLNK(found.st_mode):
            problem = "is a symbolic link, which is not followed; put the file itself there"
        elif stat.S_ISDIR(found.st_mode):
            problem = "is a folder; name the files in it"
        elif not stat.S_ISREG(found.st_mode):
            problem = "is not a regular file"
        else:
            return
        raise ArtifactNotReady(f"{self.label}: {path} {problem}")

    def _refusal(self, path: str, error: OSError) -> ArtifactNotReady:
        return ArtifactNotReady(f"{self.label}: {path} {_problem(error)}")


def still_being_written(label: str, path: str) -> ArtifactNotReady:
    """Say that a file changed while it was being read."""
    return ArtifactNotReady(f"{label}: {path} is still being written")


def _problem(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "is missing"
    if isinstance(error, NotADirectoryError):
        return "is not where a folder leads; symbolic links are not followed"
    return f"cannot be read: {error.strerror}"
