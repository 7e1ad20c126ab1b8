"""Send predictions at an even pace, and count what comes back.

The loop is open: a request leaves when its time has come, whether or not those before it
were answered. A server that stalls then shows as late answers, and not as fewer of them.
"""

import asyncio
import itertools
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

# Longer than the server's own limit, so that its answer is what is seen.
_PATIENCE = aiohttp.ClientTimeout(total=40)


class Failed(Exception):
    """A prediction was not answered as it should be."""


@dataclass(slots=True)
class Tally:
    """What came back so far: answers by version, failures by what was wrong."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many have come to an end."""
        return self.answers.total() + self.failures.total()

    def percentile(self, percent: float) -> float:
        """Give the milliseconds within which that many of a hundred answers came."""
        ordered = sorted(self.milliseconds)
        return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else 0.0


class Traffic:
    """Predictions of one model, of the same few rows in turn; `rate` is requests a second."""

    def __init__(self, url: str, model: str, rows: Sequence[Any], *, rate: int) -> None:
        self.tally = Tally()
        self._target = f"{url}/predict"
        self._model = model
        self._rows = rows
        self._rate = rate
        self._session: aiohttp.ClientSession

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Hold connections while the block runs."""
        async with aiohttp.ClientSession(timeout=_PATIENCE) as self._session:
            yield

    async def try_rows(self, version: str = "") -> None:
        """Ask a version, or the live one, for all rows at once; raises `Failed`."""
        await self._ask({"instances": self._rows}, version)

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Send while the block runs, and wait for the last answers at its end."""
        end = asyncio.Event()
        sending = asyncio.create_task(self._send_until(end))
        try:
            yield
        finally:
            end.set()
            await sending

    async def _send_until(self, end: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        start = clock()
        async with asyncio.TaskGroup() as group:
            for number, row in enumerate(itertools.cycle(self._rows), 1):
                group.create_task(self._send(row))
                if await happens(end, within=start + number / self._rate - clock()):
                    return

    async def _send(self, row: Any) -> None:
        clock = asyncio.get_running_loop().time
        start = clock()
        try:
            version = await self._ask({"features": row})
        except Failed as error:
            self.tally.failures[str(error)] += 1
        else:
            self.tally.answers[version] += 1
            self.tally.milliseconds.append(1000 * (clock() - start))

    async def _ask(self, content: dict[str, Any], version: str = "") -> str:
        """Ask for predictions; gives the version that answered, or raises `Failed`."""
        parameters = {"model": self._model} | ({"version": version} if version else {})
        try:
            async with self._session.post(self._target, params=parameters, json=content) as answer:
                body = await answer.read()
        except TimeoutError:
            raise Failed("no answer in time") from None
        except aiohttp.ClientError as error:
            raise Failed(str(error) or type(error).__name__) from error
        if answer.status != 200:
            raise Failed(f"{answer.status}: {_message(body)}")
        return answer.headers["X-Model-Version"]


async def happens(event: asyncio.Event, *, within: float) -> bool:
    """Wait some seconds at most; tells whether an event has come."""
    try:
        await asyncio.wait_for(event.wait(), max(within, 0.0))
    except TimeoutError:
        return False
    return True


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:80].decode(errors="replace")
