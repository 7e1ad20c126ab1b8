"""Read which commits changed one file, and what each made of it.

One `git log` with NULs between its parts and without patches: nothing that a repository
names is run for it, neither filters, drivers nor the program that checks signatures, and
objects that are not here are not fetched.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from modeld.errors import GitError
from modeld.git.command import Git
from modeld.git.worktree import find_work_tree

_FORMAT = "%x01%H%x00%P%x00%ct%x00%an <%ae>%x00%s%x00%(trailers:only,unfold)%x00"
_SAFE = (
    *("--raw", "--no-abbrev", "-z", "--no-renames", "--no-ext-diff", "--no-textconv"),
    *("--no-show-signature", "--no-color", "--no-notes", "--no-mailmap", "--encoding=UTF-8"),
    "--diff-merges=first-parent",
)
_ENVIRONMENT = {"GIT_LITERAL_PATHSPECS": "1", "GIT_NO_LAZY_FETCH": "1"}
_FIELDS = 6
_NEW_BLOB = 3
_NEWEST = 5
"""How many commits are looked at for the newest that changed the file: some may be merges."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that changed the file; `blob` is the text that it left, empty where it is gone.

    `at` is seconds since the epoch.
    """

    id: str
    at: float
    author: str
    subject: str
    trailers: tuple[tuple[str, str], ...]
    blob: str
    is_merge: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file's commits are: git, the newest commit, the file's path in it."""

    git: Git
    head: str
    path: str


class FileLog:
    """The commits of one file, from the newest back; none where no git tracks it."""

    def __init__(self, find: Callable[[], Place | None]) -> None:
        self._find = find

    def commits(self, limit: int, *, seconds: float) -> tuple[Commit, ...]:
        """Give the newest commits that changed the file, newest first; none on any failure."""
        place = self._find()
        if place is None:
            return ()
        arguments = ("log", f"--max-count={limit}", f"--format={_FORMAT}", *_SAFE)
        try:
            printed = place.git.run(
                *arguments, place.head, "--", place.path, environment=_ENVIRONMENT, seconds=seconds
            )
            return tuple(_without_merges(tuple(_commits(printed.decode(errors="replace")))))
        except (GitError, ValueError):
            return ()

    def commit_of(self, blob: str, *, seconds: float) -> str:
        """Name the newest commit of the file, if it is the one that left this text; else empty."""
        newest = self.commits(_NEWEST, seconds=seconds)
        return newest[0].id if newest and newest[0].blob == blob else ""


def log_of(file: Path) -> FileLog:
    """Give the commits of a file in the work tree that it stands in."""
    return FileLog(lambda: _place(file))


def _place(file: Path) -> Place | None:
    tree = find_work_tree(file)
    return Place(tree.git, "HEAD", tree.path) if tree is not None else None


def _commits(printed: str) -> Iterator[Commit]:
    """Read what git printed: the fields of a commit, then `:modes blobs letter` and the path.

    What is counted off cannot be forged by a subject. A merge that left the file as its first
    parent had it has no second part, and is passed over.
    """
    parts = iter(printed.split("\0"))
    part = next(parts, "")
    while part.startswith("\1"):
        fields = [part[1:], *islice(parts, _FIELDS - 1)]
        blob: str | None = None
        part = next(parts, "\1")
        while not part.startswith("\1"):
            if part.startswith("\n:"):
                left = part.split(" ")[_NEW_BLOB]
                blob = left if left.strip("0") else ""
                next(parts)
            part = next(parts, "\1")
        if blob is not None:
            yield _commit(fields, blob)
        if part == "\1":
            return


def _without_merges(commits: Sequence[Commit]) -> Iterator[Commit]:
    """Leave out merges that only took over what a commit of theirs made."""
    for index, commit in enumerate(commits):
        left_before = {older.blob for older in commits[index + 1 :]}
        if not (commit.is_merge and commit.blob in left_before):
            yield commit


def _commit(fields: list[str], blob: str) -> Commit:
    identity, parents, at, author, subject, trailers = fields
    pairs = (line.partition(":") for line in trailers.splitlines() if ":" in line)
    return Commit(
        id=identity,
        at=float(at),
        author=author,
        subject=subject,
        trailers=tuple((key.strip(), value.strip()) for key, _, value in pairs),
        blob=blob,
        is_merge=" " in parents,
    )
