"""Measure for how long the event loop is held up.

A tick that comes late says that something kept the loop from running. What holds it
up for longer than the distance of two ticks is always seen, what is shorter only where
a tick was due meanwhile: so the counts are those of a sample, and the greatest is sure.
"""

import asyncio
import time
from collections.abc import Callable

TICK_SECONDS = 0.02


class Ticker:
    """Tells `note` at every tick how late it was, in seconds."""

    def __init__(self, note: Callable[[float], None]) -> None:
        self._note = note
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.TimerHandle
        self._start()

    def _start(self) -> None:
        self._due = time.perf_counter() + TICK_SECONDS
        self._next = self._loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._note(max(time.perf_counter() - self._due, 0.0))
        self._start()

    def stop(self) -> None:
        """Tick no more."""
        self._next.cancel()
