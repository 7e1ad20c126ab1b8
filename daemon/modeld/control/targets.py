"""Say where changes made by calls are committed: in the work tree that serves, or a mirror."""

import asyncio
from typing import Protocol

from modeld.config import Settings
from modeld.control.bringing import Place
from modeld.control.following import Following
from modeld.control.tracking import Tracking
from modeld.errors import GitDetached
from modeld.git.command import Git
from modeld.git.commits import Remote, upstream_of


class Target(Protocol):
    """Where commits go. Both calls ask git, and are made in a thread, in a `turn`."""

    turn: asyncio.Lock

    def place(self) -> Place:
        """Give the place to commit at; raises `GitError`."""
        ...


class WorkTreeTarget:
    """The branch that is checked out where the state file stands, and its upstream."""

    def __init__(self, tracking: Tracking, *, branch: str, pushes: bool) -> None:
        self.turn = asyncio.Lock()
        self._tracking = tracking
        self._branch = branch
        self._pushes = pushes

    def place(self) -> Place:
        """Give the work tree, and its upstream where commits are pushed."""
        tracked = self._tracking.look()
        if tracked is None or tracked.tree is None:
            raise GitDetached("the state file is in no git work tree, so it cannot be committed")
        tree = tracked.tree
        remote = upstream_of(tree, tracked.view, self._branch) if self._pushes else None
        return Place(tree.git, tree.path, remote, tree)


class FollowedTarget:
    """The mirror of a remote branch that is followed: a commit is pushed, and then followed."""

    def __init__(self, following: Following, path: str) -> None:
        self.turn = following.turn
        self._following = following
        self._path = path

    def place(self) -> Place:
        """Give the mirror, and the branch that it follows."""
        mirror = self._following.follower.mirror
        if not self._following.branch:
            raise GitDetached("the branch that is followed is not known yet")
        git = Git(
            mirror.folder,
            allows_local=mirror.origin.allows_local,
            environment=mirror.environment,
        )
        return Place(git, self._path, Remote("origin", self._following.branch))


def open_target(settings: Settings, tracking: Tracking, following: Following | None) -> Target:
    """Choose the place for commits."""
    if following is not None:
        return FollowedTarget(following, settings.state_file.as_posix())
    pushes = settings.git_commit == "push"
    return WorkTreeTarget(tracking, branch=settings.git_branch, pushes=pushes)
