"""Find something to serve at a start whose wish cannot be served.

First the last wish that was applied here, then the committed ones from the newest back. A
version that was rolled back is passed over for what was wanted instead.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from modeld.control.changes import Cause, Steps, Wish
from modeld.control.holds import Holds
from modeld.control.ledger import Ledger
from modeld.control.progress import Applied, Progress
from modeld.control.switch import Switch
from modeld.control.tracking import Tracking
from modeld.desired.document import blob_id, parse, set_active
from modeld.domain import ModelVersion
from modeld.errors import GitError, ModeldError, Superseded
from modeld.log import get_logger

log = get_logger()

_PAUSE_SECONDS = 10.0
_MOST_COMMITS = 50

LAST_GOOD = "the last good version"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A text that was good once. `origin` says where it comes from, in words."""

    text: bytes
    origin: str
    at: float


class FallingBack:
    """Serves an earlier wish."""

    def __init__(
        self,
        switch: Switch,
        ledger: Ledger,
        holds: Holds,
        progress: Progress,
        tracking: Tracking,
    ) -> None:
        self._switch = switch
        self._ledger = ledger
        self._holds = holds
        self._progress = progress
        self._tracking = tracking
        self._after = 0.0

    async def serve(self) -> bool:
        """Serve the first earlier wish that can be; tells whether one serves now."""
        if time.monotonic() < self._after:
            return False
        tried: set[bytes] = set()
        for candidate in await asyncio.to_thread(self._candidates):
            self._after = time.monotonic() + _PAUSE_SECONDS
            text = self._without_held(candidate.text)
            if text not in tried and await self._serve(text, candidate):
                return True
            tried.add(text)
        return False

    def _candidates(self) -> list[_Candidate]:
        last = self._ledger.last_good()
        found = [_Candidate(last.text, LAST_GOOD, last.at)] if last else []
        return [*found, *self._committed()]

    def _committed(self) -> Iterator[_Candidate]:
        tracked = self._tracking.refresh()
        try:
            for commit, text in tracked.earlier_texts(_MOST_COMMITS) if tracked else ():
                yield _Candidate(text, f"the newest commit that loads, {commit[:10]}", time.time())
        except GitError as error:
            log.warning("fallback.no_log", error=str(error))

    def _without_held(self, text: bytes) -> bytes:
        """Give the text with what was wanted in the place of what is held."""
        try:
            for wish in parse(text).models:
                hold = self._holds.find(ModelVersion(wish.model, wish.active))
                if hold is not None:
                    text = set_active(text.decode(), wish.model, hold.wanted).encode()
        except (ModeldError, UnicodeDecodeError):
            return text
        return text

    async def _serve(self, text: bytes, candidate: _Candidate) -> bool:
        try:
            wish = Wish(parse(text), text, blob_id(text))
            await self._publish(wish, candidate)
        except ModeldError as error:
            log.warning(
                "fallback.failed", origin=candidate.origin, reason=error.reason, error=str(error)
            )
        return self._progress.applied is not None

    async def _publish(self, wish: Wish, candidate: _Candidate) -> None:
        gathered = await self._switch.gathering.gather(wish.desired)
        if len(gathered.failures) == len(wish.desired.models):
            raise next(iter(gathered.failures.values()))

        async def applied() -> None:
            self._progress.fall_back(Applied(wish, 0, candidate.at, fallback=candidate.origin))

        async def still_needed() -> None:
            if self._progress.applied is not None:
                raise Superseded("a wish was applied meanwhile")

        steps = Steps(still_needed, applied)
        await self._switch.publish(wish, gathered, generation=0, cause=Cause("start"), steps=steps)
