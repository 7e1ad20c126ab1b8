"""Know what git says of the state file, and ask again when git has moved.

Asking git costs milliseconds, looking whether it moved costs a few calls of the system; so
every pass may look, and the status reads what is known. Where a remote is followed there is no
work tree: the commit that is followed takes its place.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modeld.config import Settings
from modeld.control.following import Following
from modeld.errors import GitError
from modeld.git.command import Git
from modeld.git.commits import COMMITTER
from modeld.git.past import earlier_texts, trailers
from modeld.git.worktree import GitView, Signature, WorkTree, blob_at, find_work_tree
from modeld.log import get_logger

log = get_logger()


@dataclass(frozen=True, slots=True)
class Tracked:
    """What git knows of the state file. `tree` is `None` where a remote is followed."""

    git: Git
    path: str
    view: GitView
    tree: WorkTree | None = None

    @property
    def is_locked(self) -> bool:
        """Whether somebody is changing the index right now."""
        return self.tree is not None and self.tree.is_locked()

    @property
    def is_own(self) -> bool:
        """Whether the newest commit is one that was made here."""
        head = self.view.head or "HEAD"
        committer = self.git.ask("log", "-n1", "--format=%ce", "--no-show-signature", head)
        return committer == COMMITTER[1]

    def trailers(self, key: str, since: str) -> frozenset[str]:
        """Give a trailer's values in the commits after `since`, or in the newest one alone."""
        return trailers(self.git, self.view.head or "HEAD", key, since)

    def earlier_texts(self, limit: int) -> Iterator[tuple[str, bytes]]:
        """Give the file's texts with their commits, the newest first. Raises `GitError`."""
        return earlier_texts(self.git, self.view.head or "HEAD", self.path, limit)


class Tracking(Protocol):
    """Follows what git knows. Calls may come from any thread."""

    @property
    def known(self) -> Tracked | None:
        """What was found last; `None` without git, or where it does not answer."""
        ...

    def refresh(self) -> Tracked | None:
        """Ask git again if it has moved; the same object is given as long as it has not."""
        ...

    def look(self) -> Tracked | None:
        """Ask git in any case: the file may have changed although git has not moved."""
        ...


class WorkTreeTracking:
    """Tracks the work tree that the state file stands in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[Path, Signature] | None = None
        self._found: Tracked | None = None

    @property
    def known(self) -> Tracked | None:
        """What was found last."""
        return self._found

    def refresh(self) -> Tracked | None:
        """Ask git again if it has moved since."""
        with self._lock:
            tree = find_work_tree(self._path)
            if tree is None:
                self._seen = self._found = None
                return None
            seen = (tree.root, tree.signature())
            if seen != self._seen:
                self._found = _ask(tree)
                self._seen = seen
            return self._found

    def look(self) -> Tracked | None:
        """Ask git about the file as it is now."""
        tree = find_work_tree(self._path)
        return _ask(tree) if tree is not None else None


class FollowedTracking:
    """Tracks the commit of a remote branch that is followed. `path` is the file's path there."""

    def __init__(self, following: Following, path: str) -> None:
        self._following = following
        self._path = path
        self._found: Tracked | None = None

    @property
    def known(self) -> Tracked | None:
        """What was found last."""
        return self._found

    def refresh(self) -> Tracked | None:
        """Ask git again if another commit is followed since."""
        commit = self._following.commit
        if commit is None:
            self._found = None
        elif self._found is None or self._found.view.head != commit:
            git = self._following.follower.mirror.git
            blob = blob_at(git, commit, self._path)
            view = GitView(commit, self._following.branch, blob, blob, is_written_by_git=True)
            self._found = Tracked(git, self._path, view)
        return self._found

    def look(self) -> Tracked | None:
        """Give what is known: only git writes what is followed."""
        return self.refresh()


def _ask(tree: WorkTree) -> Tracked | None:
    try:
        return Tracked(tree.git, tree.path, tree.look(), tree)
    except GitError as error:
        log.warning("git.unreadable", error=str(error))
        return None


def open_tracking(settings: Settings, path: Path, following: Following | None) -> Tracking:
    """Track the work tree of the state file, or the commit that is followed."""
    if following is not None:
        return FollowedTracking(following, settings.state_file.as_posix())
    return WorkTreeTracking(path)
