"""Decide whether a text of the wish may be applied, or asks for a version that is held.

A hold stands against what git deploys: an older commit that is checked out again, the same
branch pulled once more. It does not stand against people: an edit of the file that git did
not make releases it, as do a commit that says so, and a commit that asks for something else.
"""

import asyncio
import contextlib
from pathlib import Path

from modeld.control.holds import Hold, Holds
from modeld.control.tracking import Tracked, Tracking
from modeld.desired.document import DesiredState, ModelWish, blob_id, parse
from modeld.desired.file import StateDocument
from modeld.domain import ModelVersion
from modeld.errors import GitError, ModeldError, RuntimeUnwritable, VersionHeld
from modeld.log import get_logger

log = get_logger()

TRAILER = "Unhold"


class Judging:
    """Compares texts with the holds in force. `path` is the state file."""

    def __init__(self, holds: Holds, path: Path, tracking: Tracking) -> None:
        self._holds = holds
        self._path = path
        self._tracking = tracking
        self._seen: Tracked | None = None
        self._is_first = True

    async def judge(self, document: StateDocument, desired: DesiredState) -> None:
        """Raise `VersionHeld` when a deploy asks for a held version; release what is settled."""
        is_first, self._is_first = self._is_first, False
        if not self._holds.active:
            return
        tracked = await asyncio.to_thread(self._tracking.look)
        if tracked is not None:
            await asyncio.to_thread(self._release_by_trailer, tracked)
        # A link is changed by whoever made it, as is a file that git wrote.
        is_deployed = self._path.is_symlink() or bool(tracked and tracked.view.is_written_by_git)
        for wish in desired.models:
            hold = self._held(wish)
            if hold is None:
                continue
            if is_deployed or (is_first and hold.base_blob == document.blob):
                raise VersionHeld(said_of(hold))
            await asyncio.to_thread(self._holds.release, [hold], "an edit of the file")

    def met_by(self, desired: DesiredState) -> tuple[Hold, ...]:
        """Give the holds on what a text wants to be live."""
        return tuple(filter(None, map(self._held, desired.models)))

    def _held(self, wish: ModelWish) -> Hold | None:
        pin = wish.pin_of(wish.active) or ""
        return self._holds.find(ModelVersion(wish.model, wish.active), pin)

    def _release_by_trailer(self, tracked: Tracked) -> bool:
        """Release what commits say is to be released since the hold was made."""
        named = [
            hold
            for hold in self._holds.active
            if _named(hold) & tracked.trailers(TRAILER, hold.base_commit)
        ]
        self._holds.release(named, "a commit's trailer")
        return bool(named)

    async def applied(self, desired: DesiredState) -> None:
        """A text from the file is served: where git asks for it, it settles its models' holds."""
        if not self._holds.active:
            return
        tracked = await asyncio.to_thread(self._tracking.look)
        if tracked is not None and tracked.view.is_written_by_git:
            await asyncio.to_thread(self._settle_unless_own, tracked, desired)

    def _settle_unless_own(self, tracked: Tracked, desired: DesiredState) -> None:
        # A commit that was made here agrees with itself.
        if not tracked.is_own:
            self._settle(desired, "another version in git")

    def _settle(self, desired: DesiredState, by: str) -> bool:
        over = [
            hold
            for wish in desired.models
            if self._held(wish) is None
            for hold in self._holds.of(wish.model)
        ]
        self._holds.release(over, by)
        return bool(over)

    async def git_moved(self) -> bool:
        """Look whether git has moved in a way that releases a hold; tells whether one was."""
        try:
            return await asyncio.to_thread(self._look_again)
        except (GitError, RuntimeUnwritable, OSError) as error:
            log.warning("hold.not_looked_at", error=str(error))
            return False

    def _look_again(self) -> bool:
        tracked = self._tracking.refresh()
        if tracked is None or tracked is self._seen or tracked.is_locked:
            return False
        self._seen = tracked
        if not self._holds.active:
            return False
        released = self._release_by_trailer(tracked)
        return self._agrees(tracked) or released

    def _agrees(self, tracked: Tracked) -> bool:
        """Settle holds when a commit that is not our own wants what is wanted here.

        The file may be as it was all along: then nothing else would tell.
        """
        if tracked.view.head_blob is None:
            return False
        text = self._path.read_bytes()
        with contextlib.suppress(ModeldError):
            if blob_id(text) == tracked.view.head_blob and not tracked.is_own:
                return self._settle(parse(text), "git agrees")
        return False


def said_of(hold: Hold) -> str:
    """Say why a version is held, in words that follow its name."""
    by = f" by {hold.actor}" if hold.actor else ""
    why = f" ({hold.reason})" if hold.reason else ""
    return f"{hold.rejected} was rolled back{by}{why}"


def _named(hold: Hold) -> set[str]:
    """The ways to name a held version in a trailer."""
    return {hold.version, str(hold.rejected), f"{hold.model}@{hold.version}"}
