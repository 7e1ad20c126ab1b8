"""Put the files of Git LFS in the place of their pointers.

The store is the mirror's own. An object is taken once its sha256 is the pointer's, by a link
where the file system has them. What no checkout links to any more is deleted. Without
`git lfs`, or while an object cannot be had, the pointer stays, and whoever opens the version
says so.
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from modeld.errors import GitError, GitUnavailable
from modeld.git.command import Git

LONGEST_POINTER = 1024
FETCH_SECONDS = 1800.0

_READ_ONLY = 0o444
_HEAD = b"version https://git-lfs.github.com/spec/"
_OID = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
_SIZE = re.compile(rb"^size ([0-9]{1,15})$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Pointer:
    """The file that a Git LFS pointer stands for."""

    oid: str
    size: int


def parse_pointer(data: bytes) -> Pointer | None:
    """Read a pointer; `None` for whatever else a small file is."""
    oid, size = _OID.search(data), _SIZE.search(data)
    if not data.startswith(_HEAD) or oid is None or size is None:
        return None
    return Pointer(oid[1].decode(), int(size[1]))


def find_pointers(folder: Path) -> dict[Path, Pointer]:
    """Find the pointers in a folder that no file has taken the place of."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size <= LONGEST_POINTER:
            pointer = parse_pointer(path.read_bytes())
            if pointer is not None:
                found[path] = pointer
    return found


class LfsStore:
    """The large files that a mirror has."""

    def __init__(self, git: Git, environment: Mapping[str, str]) -> None:
        self._git = git
        self._environment = environment
        self._objects = git.folder / "lfs" / "objects"

    @property
    def is_installed(self) -> bool:
        """Whether there is a `git lfs`."""
        return self._git.ask("lfs", "version") is not None

    def fill(self, pointers: Mapping[Path, Pointer], commit: str, models: str) -> None:
        """Put the files of a commit in the place of its pointers, each at once.

        Raises `GitUnavailable` where one cannot be had; the others are there.
        """
        failure: GitUnavailable | None = None
        if not all(self._stored(pointer).exists() for pointer in pointers.values()):
            try:
                self._fetch(commit, models)
            except GitUnavailable as error:
                failure = error
        missing = [path for path, pointer in pointers.items() if not self._place(path, pointer)]
        if missing:
            raise failure or GitUnavailable(
                f"{commit[:12]}: {len(missing)} large files could not be fetched, "
                f"among them {missing[0].parent.name}/{missing[0].name}"
            )

    def _fetch(self, commit: str, models: str) -> None:
        # A pattern, in which these would mean something else; without one, all are fetched.
        is_plain = models != "." and not set(models) & set(",*?[]!\\ ")
        include = (f"--include={models}",) if is_plain else ()
        try:
            self._git.run(
                *("lfs", "fetch", *include, "--exclude=", "origin", commit),
                environment=self._environment,
                seconds=FETCH_SECONDS,
            )
        except GitError as error:
            raise GitUnavailable(f"{commit[:12]}: large files: {error}") from error

    def _stored(self, pointer: Pointer) -> Path:
        return self._objects / pointer.oid[:2] / pointer.oid[2:4] / pointer.oid

    def _place(self, path: Path, pointer: Pointer) -> bool:
        stored = self._stored(pointer)
        temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            if not _is_whole(stored, pointer):
                stored.unlink()  # It is fetched again.
                return False
            try:
                temporary.hardlink_to(stored)
            except FileNotFoundError:
                raise
            except OSError:
                shutil.copyfile(stored, temporary)
                temporary.chmod(_READ_ONLY)
            _to_disk(temporary)
            temporary.replace(path)
            _to_disk(path.parent)
        except FileNotFoundError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def collect(self) -> None:
        """Delete the files that no checkout links to, and what was left half fetched."""
        for path in self._files(self._objects):
            if path.stat().st_nlink == 1:
                path.unlink()
        for folder in ("tmp", "incomplete"):
            for path in self._files(self._objects.parent / folder):
                path.unlink()

    def _files(self, folder: Path) -> Iterable[Path]:
        with contextlib.suppress(FileNotFoundError):
            return [path for path in folder.rglob("*") if path.is_file()]
        return ()


def _is_whole(stored: Path, pointer: Pointer) -> bool:
    found = stored.stat()
    if found.st_size != pointer.size:
        return False
    # Hashed once: what was found to be right may not be written to from then on.
    if stat.S_IMODE(found.st_mode) != _READ_ONLY:
        with stored.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != pointer.oid:
                return False
        # A remote on this machine may share its file with us, and belong to somebody else.
        with contextlib.suppress(PermissionError):
            stored.chmod(_READ_ONLY)
    return True


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
