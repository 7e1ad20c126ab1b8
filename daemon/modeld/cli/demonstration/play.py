"""Play the acts: predictions all the time, a switch after a third of it, a rollback after two.

An end from outside is taken between two calls and never within one, so that a switch that was
begun is always taken back.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from modeld.cli.client import NoServer, Reply
from modeld.cli.demonstration.stage import Stage, Unplayable, unknown_row
from modeld.cli.demonstration.traffic import Failed, Tally, Traffic, happens

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ACTS = 3

Say = Callable[[str], None]


class Play:
    """One demo; `say` takes what happens, a line at a time."""

    def __init__(self, stage: Stage, *, seconds: int, rate: int, say: Say) -> None:
        self.is_stopped = False
        self._stage = stage
        self._seconds = seconds
        self._say = say
        self._traffic = Traffic(stage.url, stage.model, stage.rows, rate=rate)
        self._stop = asyncio.Event()

    @property
    def tally(self) -> Tally:
        """What came back so far."""
        return self._traffic.tally

    async def run(self) -> None:
        """Play it; raises `Unplayable`, or `NoServer`, with the server as it was found.

        Where it cannot be put back, the message says what is left to do.
        """
        with _ended_by(self._stop.set):
            async with self._traffic.connected():
                other = await self._cast()
                async with self._traffic.flowing():
                    await self._acts(other)
        self.is_stopped = self._stop.is_set()

    async def _cast(self) -> str:
        """Find another version that loads and answers the same rows."""
        live = self._stage.live
        try:
            await self._traffic.try_rows()
        except Failed as error:
            raise Unplayable(unknown_row(live, str(error))) from error
        problem = ""
        for other in self._stage.others:
            reply = await self._stage.change("set-active-version", version=other, dry_run=True)
            try:
                _check(reply)
                await self._traffic.try_rows(other)
            except (Failed, Unplayable) as error:
                problem = str(error)
            else:
                return other
        raise Unplayable(f"no other version answers the rows of {live}; the last one: {problem}")

    async def _acts(self, other: str) -> None:
        live = self._stage.live
        self._say(f"{live} answers.")
        await self._act()
        if self._stop.is_set():
            return
        done = await self._change("set-active-version", version=other, expected_version=live)
        try:
            self._say(f"Switched to {done}")
            await self._act()
            if self._stop.is_set():
                self._say("Ended from outside.")
        finally:
            done = await self._change("rollback", to=live, expected_version=other)
        self._say(f"Rolled back to {done}")
        await self._act()

    async def _act(self) -> None:
        """Let a third of the time pass, and say in the middle how it goes."""
        half = self._seconds / _ACTS / 2
        if await happens(self._stop, within=half):
            return
        tally = self.tally
        self._say(
            f"{tally.requests} requests, {tally.failures.total()} failed; "
            f"half within {tally.percentile(50):.1f} ms, 99 % within {tally.percentile(99):.1f} ms."
        )
        await happens(self._stop, within=half)

    async def _change(self, path: str, **content: str) -> str:
        """Change what is live; gives what is, and how long it took."""
        start = time.monotonic()
        try:
            reply = await self._stage.change(path, **content)
        except NoServer as error:
            raise NoServer(f"{error} ({self._stage.live} was live before the demo)") from error
        _check(reply)
        milliseconds = 1000 * (time.monotonic() - start)
        return f"{reply.content['active']}; after {milliseconds:.0f} ms it served everywhere."


def _check(reply: Reply) -> None:
    if not reply.is_ok:
        raise Unplayable(str(reply.content.get("error")))


@contextmanager
def _ended_by(stop: Callable[[], None]) -> Iterator[None]:
    """Have signals say that it is time to end, while the block runs."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
