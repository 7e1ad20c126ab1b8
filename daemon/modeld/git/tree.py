"""List what a commit holds, and decide which of it may be written to a disk.

Only plain files of the state and the models folder are taken. A symbolic link could lead out
of the folder, a submodule is somebody else's repository, and a name that some file system
takes for `.git` would become a repository's own folder there: these are left out and said.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from modeld.errors import GitError
from modeld.git.command import Git

_LINK, _SUBMODULE = "120000", "160000"
_EXECUTABLE = "100755"
_LONGEST_NAME = 255
# HFS+ passes over these in a name.
_IGNORED = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)
# NTFS passes over dots and blanks at the end and what follows a colon, and has short names.
_GIT = re.compile(r"(?:\.git|git~[0-9]+)[. ]*(?::.*)?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """A plain file of a commit."""

    path: str
    blob: str
    size: int
    is_executable: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something of a commit that is not written, and why."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


@dataclass(frozen=True, slots=True)
class Tree:
    """What is taken of a commit, and what is left out."""

    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a commit is taken: one file and one folder."""

    state: PurePosixPath
    models: PurePosixPath

    def __contains__(self, path: str) -> bool:
        pure = PurePosixPath(path)
        return pure == self.state or pure.is_relative_to(self.models)


def read_tree(git: Git, commit: str, wanted: Wanted) -> Tree:
    """List a commit. Raises `GitError` where an object of it is missing or broken."""
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    for mode, blob, size, path in _lines(git, commit):
        if path not in wanted:
            continue
        if why := _objection(mode, path):
            left_out.append(LeftOut(ascii(path)[1:-1] if not path.isprintable() else path, why))
            continue
        if not size.isdecimal():
            raise GitError(f"{commit[:12]}: the object of {path} is missing or broken")
        entries.append(Entry(path, blob, int(size), mode == _EXECUTABLE))
    return Tree(tuple(entries), tuple(left_out))


def _lines(git: Git, commit: str) -> Iterator[tuple[str, str, str, str]]:
    for line in git.run("ls-tree", "-r", "-z", "-l", "--full-tree", commit).split(b"\0"):
        if line:
            facts, _, path = line.partition(b"\t")
            mode, _, blob, size = facts.decode().split()
            yield mode, blob, size, os.fsdecode(path)


def _objection(mode: str, path: str) -> str:
    """Say why an entry is not written; nothing when it is."""
    if mode == _LINK:
        return "a symbolic link, which is not followed"
    if mode == _SUBMODULE:
        return "a submodule, which is not followed"
    return "" if all(map(is_safe, path.split("/"))) else "a name that no file may have"


def is_safe(name: str) -> bool:
    """Tell whether a folder or file may have a name: no way up, and no repository anywhere."""
    if name in ("", ".", "..") or len(os.fsencode(name)) > _LONGEST_NAME:
        return False
    seen = name.translate(_IGNORED)
    return not any(_GIT.fullmatch(one) for one in (seen, *seen.split("\\")))
