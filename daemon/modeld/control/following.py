"""Follow a remote branch: go a round now and then, at once when hinted, one at a time.

A round that fails changes nothing, and what is on the disk serves whether the remote is there
or not. While it is not, it is asked again after a second, then less and less often; any other
failure waits for the next round, since only somebody's act can help.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import SystemRandom
from typing import Any

from modeld.control.times import iso
from modeld.domain import DEFAULT_MODEL
from modeld.errors import ModeldError
from modeld.git.command import without_secret
from modeld.git.follower import Follower, Round
from modeld.git.tree import LeftOut
from modeld.log import get_logger

log = get_logger()

_LONGEST_PAUSE_SECONDS = 300.0
_DOUBLINGS = 9
# Servers that were started together must not ask together for ever.
_JITTER = (0.8, 1.2)
_UNIFORM = SystemRandom().uniform
_MOST_LEFT_OUT = 20


class Following:
    """What is followed, and how that goes.

    Whoever else writes to the mirror takes `turn`, so that no round goes on meanwhile.
    """

    def __init__(
        self,
        follower: Follower,
        url: str,
        models: Path,
        interval: float,
        *,
        spread: Callable[[float, float], float] = _UNIFORM,
    ) -> None:
        self.follower = follower
        self._models = models
        self._interval = interval
        self._spread = spread
        self.turn = asyncio.Lock()
        self._hinted = asyncio.Event()
        self._failures = 0
        self._left_out: tuple[LeftOut, ...] = ()
        self._gone: list[str] = []
        self.url = without_secret(url)
        self.commit = follower.current
        self.branch = ""
        self.fetched_at: float | None = None
        self.error: ModeldError | None = None
        self.on_switch: Callable[[], None] = lambda: None
        self.live: Callable[[], Mapping[str, str]] = dict

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            # A hint that comes during a round may be about what it no longer saw.
            self._hinted.clear()
            try:
                with contextlib.suppress(ModeldError):
                    await self.sync()
            except Exception:
                # The loop must outlive every defect: without it nothing is followed again.
                log.exception("follow.failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.pause()):
                    await self._hinted.wait()

    def hint(self) -> None:
        """Go a round now: somebody says that the branch has moved."""
        self._hinted.set()

    def stop(self) -> None:
        """End the round that is under way."""
        self.follower.stop()

    async def sync(self, *, force: bool = False) -> Round:
        """Go a round and say what it found; raises what went wrong, after taking note of it."""
        async with self.turn:
            try:
                found = await asyncio.to_thread(self.follower.go, force=force)
            except ModeldError as error:
                self._note(error)
                raise
            self._note(found.trouble)
            self._take(found)
            return found

    def pause(self) -> float:
        """Say how long to wait for the next round."""
        seconds = self._interval
        if self.error is not None and self.error.retryable:
            seconds = min(2.0 ** min(self._failures - 1, _DOUBLINGS), _LONGEST_PAUSE_SECONDS)
        return seconds * self._spread(*_JITTER)

    def _note(self, error: ModeldError | None) -> None:
        """Take note of how it went, and log it once for as long as it stays the same."""
        if error is None or not error.retryable:
            self.fetched_at = time.time()
        self._failures = self._failures + 1 if error is not None else 0
        before, self.error = self.error, error
        if error is not None and _kind(error) != _kind(before):
            log.warning("follow.refused", reason=error.reason, error=str(error))
        if error is None and before is not None:
            log.info("follow.recovered", commit=self.follower.current)

    def _take(self, found: Round) -> None:
        is_news = found.left_out != self._left_out
        self.commit, self.branch = found.head.commit, found.head.branch
        self._left_out = found.left_out
        if found.left_out and (is_news or found.has_moved):
            log.warning("follow.left_out", commit=self.commit, files=self._shown_left_out())
        if found.has_moved:
            log.info(
                "follow.switched",
                commit=self.commit,
                previous=found.previous,
                branch=self.branch,
            )
            self.on_switch()
        elif self.gone() != self._gone:
            # Not right after a move, which may be about to replace what is live.
            self._gone = self.gone()
            log.warning("follow.gone", commit=self.commit, versions=self._gone)

    def gone(self) -> list[str]:
        """Name the live versions that the followed commit no longer has.

        They serve from their private copies, and could not be loaded again.
        """
        return [
            f"{model}@{version}"
            for model, version in self.live().items()
            if not (self._models / ("" if model == DEFAULT_MODEL else model) / version).is_dir()
        ]

    def _shown_left_out(self) -> list[str]:
        return [str(one) for one in self._left_out[:_MOST_LEFT_OUT]]

    def document(self) -> dict[str, Any]:
        """Write what the status says of it."""
        error = self.error
        return {
            "url": self.url,
            "branch": self.branch,
            "commit": self.commit,
            "fetched_at": iso(self.fetched_at) if self.fetched_at else None,
            "error": {"reason": error.reason, "message": str(error)} if error else None,
            "left_out": self._shown_left_out(),
            "gone": self.gone(),
        }


def _kind(error: ModeldError | None) -> tuple[str, str]:
    """Tell errors apart by what they say, but not by how many milliseconds something took."""
    return (error.reason, re.sub(r"\d+", "", str(error))) if error else ("", "")
