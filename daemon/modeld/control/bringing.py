"""Bring one change into git: commit it on top of a branch, and push it.

What is committed is the branch's own text with the version changed, so that what others
changed meanwhile stays; where they changed the text that this change was made against,
theirs stands, and ours is pushed to a branch of its own for people to look at.
"""

import random
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from modeld.desired.document import parse, set_active
from modeld.errors import GitConflict, GitDetached, GitError
from modeld.git.command import Git
from modeld.git.commits import (
    COMMITTER,
    Remote,
    Words,
    advance_branch,
    commit_file,
    fetch,
    follow_in_index,
    push,
)
from modeld.git.worktree import WorkTree, blob_at, text_at
from modeld.log import get_logger

log = get_logger()

Mode = Literal["never", "commit", "push"]

ROLLBACK_TRAILER = "Modeld-Rollback"

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where commits are made: git, the file's path there, and the remote that they go to.

    `tree` is the work tree that people look at, where there is one.
    """

    git: Git
    path: str
    remote: Remote | None
    tree: WorkTree | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the live version that git does not have yet.

    `expected_blob` is the file's blob in git when it was made, `base_commit` the commit.
    """

    number: int
    at: float
    model: str
    version: str
    previous: str
    actor: str
    reason: str
    request_id: str
    hold: int | None
    expected_blob: str
    base_commit: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last attempt went: a state in words, the commit or branch made, the reason."""

    state: str
    commit: str = ""
    branch: str = ""
    message: str = ""


class Bringing:
    """Commits and pushes. Its calls wait for git, and are made in a thread."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._own_blobs: set[str] = set()

    def has(self, blob: str) -> bool:
        """Tell whether git has got a text from here, wherever people's work tree stands."""
        return blob in self._own_blobs

    def bring(self, place: Place, change: Change) -> Outcome:
        """Bring a change into git.

        Raises `GitUnavailable` where it may go through later, other errors where it never will.
        """
        return self._commit(place, change) if self._mode == "commit" else self._push(place, change)

    def _commit(self, place: Place, change: Change) -> Outcome:
        if place.tree is None:
            raise GitDetached("the state file is in no work tree, so that there is no branch")
        view = place.tree.look()
        base = view.head or ""
        made = self._made_on(place, base, change)
        if made is None:
            follow_in_index(place.tree, change.expected_blob, base)
            return Outcome("Committed", base, view.branch or "")
        advance_branch(place.tree, view, made)
        return Outcome("Committed", made, view.branch or "")

    def _push(self, place: Place, change: Change) -> Outcome:
        remote = place.remote
        if remote is None:
            raise GitDetached("no remote is configured to push to")
        for number in range(_TRIES):
            base = fetch(place.git, remote)
            made = self._made_on(place, base, change)
            if made is None:
                return Outcome("Pushed", base, remote.branch, "the branch says so already")
            if not self._is_expected(place, base, change):
                return self._push_aside(place, remote, base, change)
            try:
                push(place.git, remote, made)
            except GitConflict:
                time.sleep(0.1 * 2**number * random.uniform(0.5, 1.5))  # noqa: S311
                continue
            self._own_blobs.add(blob_at(place.git, made, place.path) or "")
            self._follow_locally(place, remote, base, made)
            return Outcome("Pushed", made, remote.branch)
        return self._push_aside(place, remote, base, change)

    def _made_on(self, place: Place, base: str, change: Change) -> str | None:
        """Commit the change on top of a commit; `None` when that one wants the same."""
        text = text_at(place.git, base, place.path)
        before = text.decode() if text is not None else ""
        wish = parse(text).model(change.model) if text else None
        if wish is not None and wish.active == change.version:
            return None
        after = set_active(before, change.model, change.version).encode()
        words = Words(said_of(change), change.actor)
        return commit_file(place.git, base, place.path, after, words)

    def _is_expected(self, place: Place, base: str, change: Change) -> bool:
        """Tell whether the branch still has the text that the change was made against."""
        blob = blob_at(place.git, base, place.path)
        if (blob or "") == change.expected_blob or blob in self._own_blobs:
            return True
        committer = place.git.ask(
            "--literal-pathspecs", "log", "-n1", "--format=%ce", base, "--", place.path
        )
        return committer == COMMITTER[1]

    def _push_aside(self, place: Place, remote: Remote, base: str, change: Change) -> Outcome:
        """Push to a branch of its own what the branch does not take; people decide."""
        moment = datetime.fromtimestamp(change.at, UTC).strftime("%Y%m%dT%H%M%SZ")
        branch = f"emergency/{moment}-{change.version}"
        made = self._made_on(place, change.base_commit or base, change)
        if made is None:
            return Outcome("Conflict", message=f"{remote.branch} was changed by others meanwhile")
        push(place.git, remote, made, branch)
        return Outcome(
            "Conflict", made, branch,
            f"{remote.branch} does not take the change or has another one; it is on {branch}",
        )  # fmt: skip

    def _follow_locally(self, place: Place, remote: Remote, base: str, made: str) -> None:
        """Let the checked-out branch follow where it is the one, and as far as the remote was."""
        if place.tree is None:
            return
        view = place.tree.look()
        if view.branch == remote.branch and view.head == base:
            try:
                advance_branch(place.tree, view, made)
            except GitError as error:
                log.info("git.not_followed", branch=remote.branch, why=str(error))


def said_of(change: Change) -> str:
    """Write the message of a change's commit, with what programs read at its end."""
    model = "" if change.model == "default" else f"{change.model} "
    verb = "Roll back" if change.hold is not None else "Set"
    title = f"{verb} {model}{change.previous or 'nothing'} to {change.version}"
    trailers = {
        "Reason": change.reason,
        "Actor": change.actor,
        "Request-Id": change.request_id,
        "Instance": socket.gethostname(),
        ROLLBACK_TRAILER: change.previous if change.hold is not None else "",
    }
    lines = [f"{key}: {' '.join(value.split())}" for key, value in trailers.items() if value]
    return "\n".join((title, "", *lines, ""))
