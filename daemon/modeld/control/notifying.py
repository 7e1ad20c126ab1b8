"""Tell receivers on the network what somebody has to know, and never wait for them.

This looks by itself at what the reconciler and the history know, when they change and every
few seconds; nothing that serves calls it. Each receiver has a queue and a task of its own,
so that one which is slow or down costs the others nothing. An address is a secret: the log
has its host alone, and a redirection is not followed.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Mapping, Sequence

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from modeld.certificates import trusted
from modeld.control.ledger import Ledger
from modeld.control.notices import Notice, fresh, rollbacks, standing
from modeld.control.progress import Progress
from modeld.control.receivers import Letter, Message, Receiver
from modeld.control.times import iso
from modeld.log import get_logger

log = get_logger()

_TICK_SECONDS = 2.0
_START_SECONDS = 15.0
_TOGETHER_SECONDS = 0.5
_ATTEMPT_SECONDS = 5.0
_PAUSES: Sequence[float] = (1.0, 5.0, 25.0)
_LAST_SECONDS = 1.0
_MOST_WAITING = 20
_MOST_ENTRIES = 100
_AGAIN = (408, 425, 429)


class Notifying:
    """Finds what happened, and tells everybody. `page` is the address of the page."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        progress: Progress,
        ledger: Ledger,
        sentences: Callable[[], Mapping[str, str]],
        live: Callable[[], Mapping[str, str]],
        page: str,
    ) -> None:
        self._receivers = receivers
        self._progress = progress
        self._ledger = ledger
        self._sentences = sentences
        self._live = live
        self._page = page
        self._newest: int | None = None
        self._began = time.monotonic()
        self._stood: list[Notice] = []

    async def run(self) -> None:
        """Notify for ever; when cancelled, give what waits a last second."""
        if not self._receivers:
            return
        self._newest = await asyncio.to_thread(self._newest_number)
        timeout = ClientTimeout(total=_ATTEMPT_SECONDS)
        connector = TCPConnector(ssl=await asyncio.to_thread(trusted))
        async with ClientSession(connector=connector, timeout=timeout) as session:
            posts = [Post(receiver, session) for receiver in self._receivers]
            tasks = [asyncio.create_task(post.run()) for post in posts]
            try:
                await self._watch(posts)
            finally:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LAST_SECONDS):
                        await asyncio.gather(*(post.letters.join() for post in posts))
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, posts: Sequence["Post"]) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._progress.changed()
            # What happens together is told together.
            await asyncio.sleep(_TOGETHER_SECONDS)
            try:
                messages = await asyncio.to_thread(self._look)
            except Exception:
                # What cannot be looked at now must not end the looking.
                log.exception("notify.failed")
                continue
            for message in messages:
                for post in posts:
                    post.put(message)

    def _newest_number(self) -> int:
        return next((entry.number for entry in self._ledger.attempts(limit=1)), 0)

    def _look(self) -> list[Message]:
        """Find what is new since the last look."""
        entries = self._ledger.attempts(_MOST_ENTRIES)
        is_starting = time.monotonic() - self._began < _START_SECONDS
        stands = standing(self._progress, self._live(), time.time(), is_starting=is_starting)
        found = rollbacks(entries, self._newest or 0) + fresh(stands, self._stood)
        self._stood = stands
        self._newest = entries[-1].number if entries else self._newest
        return [self._message(notice) for notice in found]

    def _message(self, notice: Notice) -> Message:
        said = self._sentences()
        log.info("notify.told", what=notice.event, model=notice.model, version=notice.version)
        return Message(
            notice, said["summary"], said["next"], socket.gethostname(), self._page,
            iso(time.time()),
        )  # fmt: skip


class Post:
    """The messages that wait for one receiver."""

    def __init__(
        self,
        receiver: Receiver,
        session: ClientSession,
        pauses: Sequence[float] = _PAUSES,
    ) -> None:
        self.letters: asyncio.Queue[Letter] = asyncio.Queue(_MOST_WAITING)
        self._receiver = receiver
        self._session = session
        self._pauses = pauses

    def put(self, message: Message) -> None:
        """Have a message sent; where too many wait already, it is not."""
        try:
            self.letters.put_nowait(self._receiver.letter(message))
        except asyncio.QueueFull:
            log.warning("notify.dropped", host=self._receiver.host, waiting=_MOST_WAITING)

    async def run(self) -> None:
        """Send what waits, one after the other, for ever."""
        while True:
            letter = await self.letters.get()
            try:
                await self._send(letter)
            finally:
                self.letters.task_done()

    async def _send(self, letter: Letter) -> None:
        """Try a few times, with pauses that grow."""
        problem = ""
        for pause in (*self._pauses, None):
            problem, may_help = await self._try(letter)
            if not problem:
                return
            if pause is None or not may_help:
                break
            await asyncio.sleep(pause)
        log.warning("notify.not_delivered", host=self._receiver.host, why=problem)

    async def _try(self, letter: Letter) -> tuple[str, bool]:
        """Send once; gives what went wrong, and whether another try may help."""
        url = self._receiver.url
        try:
            async with self._session.post(
                url, data=letter.body, headers=letter.headers, allow_redirects=False
            ) as answer:
                status = answer.status
        except (ClientError, OSError, TimeoutError, ValueError) as error:
            # Not its text: that may have the address.
            return type(error).__name__, True
        if status < 300:
            return "", False
        return f"answered {status}", status >= 500 or status in _AGAIN
