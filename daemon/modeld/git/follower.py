"""Go one round after a remote branch: look, fetch, check, write, and then move.

Every round starts from what the remote says and what the disk holds, so that an interrupted
one is made good by the next. Until the last step nothing has changed for those who read, and
whatever fails before it leaves them what they had.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from modeld.errors import GitError, GitUnavailable
from modeld.git.checkout import Checkouts
from modeld.git.mirror import Head, Mirror, Origin
from modeld.git.tree import LeftOut, Wanted


@dataclass(frozen=True, slots=True)
class Round:
    """What a round found. `trouble` is what does not keep the commit from being followed."""

    head: Head
    previous: str | None
    left_out: tuple[LeftOut, ...] = ()
    trouble: GitError | None = None

    @property
    def has_moved(self) -> bool:
        """Whether another commit is followed now."""
        return self.head.commit != self.previous


class Follower:
    """The mirror and the checkouts in one folder. One round at a time; each may take long."""

    def __init__(self, folder: Path, origin: Origin, wanted: Wanted) -> None:
        self.mirror = Mirror(folder / "mirror.git", origin)
        self.checkouts = Checkouts(folder, self.mirror, wanted)

    @property
    def current(self) -> str | None:
        """The commit that is followed."""
        return self.checkouts.current

    def go(self, *, force: bool = False) -> Round:
        """Follow the head of the branch; `force` follows a rewritten branch too.

        Raises a `GitError`, after which what was followed still is.
        """
        self.mirror.prepare()
        self.checkouts.prepare()
        followed = self.current
        head = self.mirror.head()
        if head.commit != followed or not self.mirror.has(followed):
            head = self.mirror.fetch(head.branch)
            self.checkouts.collect()
        if followed not in (None, head.commit) and not force:
            self.mirror.require_after(followed, head)
        self.mirror.require_signed(head.commit)
        self.checkouts.make(head.commit)
        trouble = self._fill(head.commit)
        if head.commit != followed:
            self.checkouts.switch(head.commit)
            self.mirror.tidy()
        return Round(head, followed, self.checkouts.left_out, trouble)

    def _fill(self, commit: str) -> GitError | None:
        # A version whose file is missing says so itself; the others need not wait for it.
        try:
            self.checkouts.fill(commit)
        except GitUnavailable as error:
            return error
        return None

    def stop(self) -> None:
        """End a round that is under way: modeld is about to stop."""
        with contextlib.suppress(OSError):
            self.mirror.git.stop()
