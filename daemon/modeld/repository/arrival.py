"""Let a version arrive: fill a folder beside the versions, and give it its name at the end.

The folder's name begins with a dot, so that no listing shows it, and it is a small repository
of its own: the version in it can be loaded and checked as any other. It takes its place in one
step, or nothing is left of it. What a writer left that was killed, the next one deletes; a lock
tells them apart.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from modeld.domain import ModelVersion
from modeld.errors import RepositoryNotWritable, VersionExists
from modeld.repository.versions import Repository

_PREFIX = ".adding-"
_NUMBERED = re.compile(r"(.*?)(\d+)")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Arrival:
    """A version that is not there yet: its files go to `folder`, in a repository at `root`."""

    version: ModelVersion
    root: Path
    folder: Path
    place: Path

    def settle(self) -> None:
        """Take the place in the repository; raises `VersionExists` where it is taken."""
        is_first = not self.place.parent.exists()
        try:
            self.place.parent.mkdir(exist_ok=True)
            self.folder.rename(self.place)
        except OSError as error:
            if is_first:
                _remove_empty(self.place.parent)
            if self.place.exists():
                raise _exists(self.version, self.place) from error
            raise RepositoryNotWritable(f"{self.place}: {error.strerror}") from error

    def withdraw(self) -> None:
        """Leave the place again."""
        self.place.rename(self.folder)
        if self.place.parent != self.root.parent:
            _remove_empty(self.place.parent)


def next_version(versions: Collection[str]) -> str:
    """Name the version that comes after these, which are in natural order: `v3` after `v2`."""
    numbered = [found for found in map(_NUMBERED.fullmatch, versions) if found]
    if not numbered:
        return "v1"
    word, number = numbered[-1].groups()
    return f"{word}{int(number) + 1:0{len(number)}d}"


@contextlib.contextmanager
def arriving(models: Path, version: ModelVersion, named: Collection[str]) -> Iterator[Arrival]:
    """Make the folder that a version arrives in; it is gone at the end, however that comes.

    Raises `VersionExists`, `InvalidVersionName`, `ModelNotFound` or `RepositoryNotWritable`.
    """
    place = Repository(models).new_path(version, named)
    if place.exists():
        raise _exists(version, place)
    is_first = not models.exists()
    try:
        root, lock = _make_root(models)
    except OSError as error:
        if is_first:
            _remove_empty(models)
        raise RepositoryNotWritable(f"{error.filename or models}: {error.strerror}") from error
    try:
        folder = Repository(root).path(version)
        folder.mkdir(parents=True)
        yield Arrival(version, root, folder, place)
    finally:
        shutil.rmtree(root, ignore_errors=True)
        os.close(lock)
        if is_first:
            _remove_empty(models)


def _make_root(models: Path) -> tuple[Path, int]:
    """Make a folder and lock it, after deleting those that nobody locks any more."""
    models.mkdir(parents=True, exist_ok=True)
    with _opened(models) as all_of_them:
        fcntl.flock(all_of_them, fcntl.LOCK_EX)
        _sweep(models)
        root = models / f"{_PREFIX}{secrets.token_hex(4)}"
        root.mkdir()
        lock = os.open(root, _FOLDER)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return root, lock


def _sweep(models: Path) -> None:
    for leftover in models.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), _opened(leftover) as folder:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _exists(version: ModelVersion, place: Path) -> VersionExists:
    return VersionExists(
        f"{version} is there already ({place}), and versions never change; "
        "leave the version out to get the next free one"
    )
