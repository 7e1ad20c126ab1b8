"""Make a change by a call outlive the next deploy: the hold it leaves, the commit it becomes.

Both are on the disk before the file is written. If the process dies in between, a start finds
a hold that names what was wanted, which is the safe side.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from modeld.control.bringing import Change
from modeld.control.committing import Committing
from modeld.control.history import is_step_back
from modeld.control.holds import Hold, Holds
from modeld.control.ledger import Ledger
from modeld.control.requested import SetActive
from modeld.control.times import iso
from modeld.control.tracking import Tracking
from modeld.desired.document import DesiredState, parse
from modeld.domain import ModelVersion
from modeld.errors import GitError, ModeldError
from modeld.log import get_logger

log = get_logger()

_MOST_COMMITS = 200


@dataclass(frozen=True, slots=True)
class Planned:
    """What was put down before a change: its new holds, all that it leaves, its queue number."""

    added: tuple[Hold, ...] = ()
    holds: tuple[Hold, ...] = ()
    commit: int | None = None


class Emergency:
    """Holds and commits of changes that are made by calls."""

    def __init__(
        self, holds: Holds, ledger: Ledger, tracking: Tracking, committing: Committing
    ) -> None:
        self._holds = holds
        self._ledger = ledger
        self._tracking = tracking
        self._committing = committing

    async def plan(
        self, request: SetActive, desired: DesiredState | None, base_blob: str, live: "Live"
    ) -> Planned:
        """Put down what the change leaves behind; raises `RuntimeUnwritable`."""
        return await asyncio.to_thread(self._plan, request, desired, base_blob, live)

    def _plan(
        self, request: SetActive, desired: DesiredState | None, base_blob: str, live: "Live"
    ) -> Planned:
        wish = desired.model(request.model) if desired else None
        asked = wish.active if wish else None
        left = [name for name in (live.version, asked) if name and name != request.version]
        is_back = bool(left) and self._is_back(request, left[0])
        names = dict.fromkeys(left) if is_back else ()
        # One that is held already stays held, whatever becomes of this change.
        known = [self._holds.find(ModelVersion(request.model, name)) for name in names]
        added = tuple(
            self._holds.add(self._hold(request, name, base_blob, live))
            for name, hold in zip(names, known, strict=True)
            if hold is None
        )
        holds = (*added, *filter(None, known))
        return Planned(added, holds, self._queue(request, live.version or asked or "", holds))

    def _is_back(self, request: SetActive, current: str) -> bool:
        if request.hold is not None:
            return request.hold
        if request.is_rollback:
            return True
        if not request.reason:
            return False
        entries = self._ledger.history(request.model)
        lived = [entry.version for entry in entries]
        return is_step_back(request.version, current, lived, self._committed(request.model))

    def _committed(self, model: str) -> list[str]:
        """Name the versions that git's history asked for, the oldest first."""
        tracked = self._tracking.refresh()
        found: list[str] = []
        try:
            for _, text in tracked.earlier_texts(_MOST_COMMITS) if tracked else ():
                found += _active_in(text, model)
        except GitError as error:
            log.warning("git.no_log", error=str(error))
        return found[::-1]

    def _hold(self, request: SetActive, rejected: str, base_blob: str, live: "Live") -> Hold:
        tracked = self._tracking.refresh()
        return Hold(
            id=0,
            model=request.model,
            version=rejected,
            digest=live.digest if rejected == live.version else "",
            wanted=request.version,
            actor=request.actor,
            reason=request.reason,
            base_blob=base_blob,
            base_commit=(tracked.view.head or "") if tracked else "",
            at=time.time(),
        )

    def _queue(self, request: SetActive, previous: str, holds: tuple[Hold, ...]) -> int | None:
        if self._committing.mode == "never":
            return None
        tracked = self._tracking.refresh()
        expected = (tracked.view.head_blob or "") if tracked else ""
        base = (tracked.view.head or "") if tracked else ""
        change = Change(
            number=0,
            at=time.time(),
            model=request.model,
            version=request.version,
            previous=previous,
            actor=request.actor,
            reason=request.reason,
            request_id=request.request_id,
            hold=holds[0].id if holds else None,
            expected_blob=expected,
            base_commit=base,
        )
        return self._committing.plan(change)

    async def undo(self, planned: Planned) -> None:
        """The change did not go through: nothing stays of it."""
        await asyncio.to_thread(self._holds.release, planned.added, "the change failed")
        if planned.commit is not None:
            await asyncio.to_thread(self._committing.forget, planned.commit)

    async def done(self, request: SetActive, planned: Planned) -> None:
        """The change serves: a call that names a held version lets it be live again."""
        named = ModelVersion(request.model, request.version)
        await self.release(named, request.actor or "a call that names it")
        if planned.commit is not None:
            self._committing.start()

    async def release(self, version: ModelVersion, by: str) -> bool:
        """End the hold on a version; tells whether there was one."""
        hold = self._holds.find(version)
        if hold is not None:
            await asyncio.to_thread(self._holds.release, [hold], by or "a call")
        return hold is not None

    def holds_of(self, model: str) -> tuple[Hold, ...]:
        """Give the holds on versions of a model."""
        return self._holds.of(model)

    def git(self) -> dict[str, Any]:
        """Say how far git is, for the answer."""
        return self._committing.document()

    def said_of(self, planned: Planned, *, is_written: bool) -> tuple[dict[str, Any] | None, str]:
        """Give the hold for the answer, and a warning where the next deploy undoes the change."""
        if planned.holds:
            return hold_document(planned.holds[0]), ""
        is_at_risk = is_written and self._committing.mode == "never" and self._tracking.refresh()
        return None, (
            "the file is changed and not committed; a deploy of the same commit undoes it"
            if is_at_risk
            else ""
        )


@dataclass(frozen=True, slots=True)
class Live:
    """What is live of a model before a change."""

    version: str | None
    digest: str


def hold_document(hold: Hold) -> dict[str, Any]:
    """Write a hold for an answer."""
    return {
        "id": hold.id,
        "model": hold.model,
        "version": hold.version,
        "digest": hold.digest,
        "wanted": hold.wanted,
        "actor": hold.actor,
        "reason": hold.reason,
        "since": iso(hold.at),
        "release": hold.release,
    }


def _active_in(text: bytes, model: str) -> list[str]:
    try:
        wish = parse(text).model(model)
    except ModeldError:
        return []
    return [wish.active] if wish else []
