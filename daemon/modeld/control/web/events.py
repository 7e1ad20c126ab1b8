"""`/admin/events`: what the status and the metrics say, as server-sent events.

Each event is made once, however many follow, and only while somebody does. A follower gets
the newest event of each kind that it has not seen: one that is slow misses some, and nothing
is kept for it.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from modeld.control.progress import Progress
from modeld.control.status import Status
from modeld.control.traffic import Traffic
from modeld.control.web.calls import Answer, Call, Calls
from modeld.errors import Draining, TooManyStreams
from modeld.log import get_logger

log = get_logger()

MOST_STREAMS = 32
_LOOK_SECONDS = 1.0
"""How often the status is looked at for what no change tells of: workers, git, hosts."""
_PAUSE_SECONDS = 0.2
_TRAFFIC_SECONDS = 1.0
_HEARTBEAT_SECONDS = 10.0
_ALWAYS_NEW = ("watch",)
"""What of the status is new at every look, such as when the file was last read."""
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    # nginx would keep the events until they fill its buffer.
    "X-Accel-Buffering": "no",
}
_HEARTBEAT = b": still here\n\n"


@dataclass(frozen=True, slots=True)
class _News:
    number: int
    text: bytes


class Events:
    """The route, and the newest event of each kind."""

    def __init__(self, progress: Progress, status: Status, traffic: Traffic) -> None:
        self._progress = progress
        self._status = status
        self._traffic = traffic
        self._news: dict[str, _News] = {}
        self._number = 0
        self._followers = 0
        self._makers: list[asyncio.Task[None]] = []
        self._told = asyncio.Event()
        self._has_stopped = False

    def add_to(self, calls: Calls) -> None:
        """Add the route to the table."""
        calls.add("GET", "/admin/events", self._get)

    def stop(self) -> None:
        """End all streams: the server is about to stop."""
        self._has_stopped = True
        self._wake()

    async def _get(self, call: Call) -> Answer:
        if self._has_stopped:
            raise Draining("this server is about to stop")
        if self._followers >= MOST_STREAMS:
            raise TooManyStreams(f"{MOST_STREAMS} clients follow the events; close one of them")
        is_head = call.method == "HEAD"
        return Answer(200, b"", _HEADERS, None if is_head else self._follow())

    async def _follow(self) -> AsyncGenerator[bytes, None]:
        self._followers += 1
        if not self._makers:
            self._makers = [
                asyncio.create_task(self._make_status()),
                asyncio.create_task(self._make_traffic()),
            ]
        seen = 0
        try:
            while not self._has_stopped:
                fresh = [news for news in self._news.values() if news.number > seen]
                seen = self._number
                yield b"".join(news.text for news in fresh) or _HEARTBEAT
                await self._wait(seen)
        finally:
            self._followers -= 1
            if not self._followers:
                self._rest()

    async def _wait(self, seen: int) -> None:
        """Wait for news, or until it is time to say that there are none."""
        if self._number == seen and not self._has_stopped:
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    await self._told.wait()
            except TimeoutError:
                return

    def _rest(self) -> None:
        """Nobody follows: make nothing, and let nobody see what is old by then."""
        for maker in self._makers:
            maker.cancel()
        self._makers = []
        self._news.clear()

    def _tell(self, name: str, document: dict[str, Any]) -> None:
        self._number += 1
        text = json.dumps(document, ensure_ascii=False)
        event = f"event: {name}\ndata: {text}\n\n".encode(errors="replace")
        self._news[name] = _News(self._number, event)
        self._wake()

    def _wake(self) -> None:
        told, self._told = self._told, asyncio.Event()
        told.set()

    async def _make_status(self) -> None:
        """Tell the status when it has changed, at most five times a second."""
        last: dict[str, Any] = {}
        while True:
            # Before looking, so that what changes meanwhile is not missed.
            change = asyncio.create_task(self._progress.changed())
            try:
                last = await self._look(last)
                await asyncio.sleep(_PAUSE_SECONDS)
                await asyncio.wait([change], timeout=_LOOK_SECONDS - _PAUSE_SECONDS)
            finally:
                change.cancel()

    async def _look(self, last: dict[str, Any]) -> dict[str, Any]:
        """Tell the status if it differs from the last one, which it gives back."""
        try:
            document = await asyncio.to_thread(self._status.document)
        except Exception:
            # What cannot be said now is said at the next turn.
            log.exception("events.failed")
            return last
        told = {name: value for name, value in document.items() if name not in _ALWAYS_NEW}
        if told != last:
            self._tell("status", document)
        return told

    async def _make_traffic(self) -> None:
        while True:
            try:
                self._tell("traffic", self._traffic.document())
            except Exception:
                # What cannot be said now is said at the next turn.
                log.exception("events.failed")
            await asyncio.sleep(_TRAFFIC_SECONDS)
