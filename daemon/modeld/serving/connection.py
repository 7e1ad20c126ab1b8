"""Own an accepted socket from its first byte to its last.

Time-outs, caps and draining are decided here; what the bytes mean is left to aiohttp's
handler, to which every byte is forwarded. aiohttp has no timer before a first complete
head and, when told to stop, drops a request per open connection; both are cured here.

One sweep a quarter second looks at all connections, instead of a timer for each.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.web_protocol import RequestHandler

from modeld.domain import WorkerSettings
from modeld.errors import BadRequest, HeadersTooLarge, InternalError, ModeldError
from modeld.http.errors import body_of, status_of
from modeld.http.limits import RequestIds
from modeld.http.response import respond
from modeld.log import get_logger

log = get_logger()

_SWEEP_SECONDS = 0.25
_DRAIN_IDLE_SECONDS = 1.0
_LINGER_SECONDS = 2.0

Route = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Handler(RequestHandler):
    """aiohttp's handler, answering malformed requests as JSON."""

    __slots__ = ()
    ids = RequestIds()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never became a request of ours, and close."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        error = _error_for(status, exc)
        if isinstance(error, InternalError):
            log.error("http.failed", exc_info=exc)
        request_id = self.ids.of(None)
        headers = {"Content-Type": "application/json", "X-Request-Id": request_id}
        return respond(status_of(error), headers, body_of(error, request_id), must_close=True)

    def is_idle(self) -> bool:
        """Tell whether aiohttp waits for a next request.

        Reads two private attributes, because aiohttp has no word for it; their being
        there is asserted when a worker starts.
        """
        waiter: asyncio.Future[None] | None = self._waiter
        return waiter is not None and not waiter.done() and not self._messages

    def has_requests(self) -> bool:
        """Tell whether a head is complete whose request is not being answered yet.

        Not the same as being busy: a handler that has not started is neither idle nor has any.
        """
        return bool(self._messages)


def _error_for(status: int, exc: BaseException | None) -> ModeldError:
    if isinstance(exc, LineTooLong) or "too many headers" in str(exc).lower():
        return HeadersTooLarge("the request line or a header is longer than 8190 bytes")
    if isinstance(exc, BadHttpMessage) or status == 400:
        return BadRequest("this is not a request that HTTP/1.1 allows")
    return InternalError("an error inside modeld; the log says more")


def check_aiohttp() -> None:
    """Raise at start when aiohttp no longer is what this module builds on."""
    for name in ("_waiter", "_messages"):
        if name not in RequestHandler.__slots__:
            raise RuntimeError(f"aiohttp's RequestHandler has no {name} any more")


class Connection(asyncio.Protocol):
    """One accepted socket."""

    def __init__(self, connections: "Connections") -> None:
        self._all = connections
        self._inner = connections.make_handler()
        self.transport: Any = None
        self.last_byte = self.head_since = 0.0
        self.writing_paused_since = 0.0
        self._has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to count the time that a first head may take."""
        self.transport = transport
        self.last_byte = self.head_since = self._all.now()
        self._inner.connection_made(transport)
        self._all.add(self)

    def data_received(self, data: bytes) -> None:
        """Forward the bytes; a head that is begun must be completed in time."""
        now = self._all.now()
        self.last_byte = now
        self._inner.data_received(data)
        if self._inner.has_requests():
            self.head_since = 0.0
        elif self._inner.is_idle() and not self.head_since:
            self.head_since = now

    def eof_received(self) -> bool:
        """Keep a half-closed connection until its requests are answered."""
        self._has_ended = True
        self._inner.eof_received()
        return not self._inner.is_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell aiohttp and forget the connection."""
        self._all.discard(self)
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer does not read: note since when."""
        self.writing_paused_since = self._all.now()
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self.writing_paused_since = 0.0
        self._inner.resume_writing()

    def is_idle(self) -> bool:
        """Tell whether no request is being read or answered."""
        return self._inner.is_idle() and not self.head_since

    def overdue(self, now: float, settings: WorkerSettings, *, is_draining: bool) -> bool:
        """Tell whether the connection has used up one of its times."""
        if self.writing_paused_since:
            return now - self.writing_paused_since > settings.write_timeout
        if not self._inner.is_idle():
            return False
        if self._has_ended:
            return True
        if self.head_since and now - self.head_since > settings.head_timeout:
            return True
        idle = _DRAIN_IDLE_SECONDS if is_draining else settings.keepalive
        return now - self.last_byte > idle

    def close(self) -> None:
        """Close politely, or at once where the peer does not read."""
        if self.writing_paused_since:
            self.transport.abort()
        else:
            self.transport.close()


class Connections:
    """All open connections of a worker."""

    def __init__(
        self, settings: WorkerSettings, route: Route, count: Callable[[int], None]
    ) -> None:
        self._settings = settings
        self._open: set[Connection] = set()
        self._loop = asyncio.get_running_loop()
        self.now = time.monotonic
        self.is_draining = False
        self._count = count
        self._last_closed: asyncio.Event | None = None
        self._server = web.Server(route, request_factory=self._make_request)
        self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def __len__(self) -> int:
        return len(self._open)

    def _counted(self) -> None:
        if not self.is_draining:
            self._count(len(self._open))

    def make_handler(self) -> Handler:
        """Make the aiohttp handler that one connection owns."""
        return Handler(
            self._server,
            loop=self._loop,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
            lingering_time=_LINGER_SECONDS,
            keepalive_timeout=self._settings.keepalive * 2 + 60,
        )

    def _make_request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message,
            payload,
            protocol,
            writer,
            task,
            self._loop,
            client_max_size=self._settings.max_body,
        )

    def add(self, connection: Connection) -> None:
        """Take a new connection; at the cap the one that is idle for longest makes room."""
        self._open.add(connection)
        self._counted()
        if len(self._open) <= self._settings.max_connections:
            return
        # One that is closing already makes room for somebody else.
        others = [c for c in self._open if c is not connection and not c.transport.is_closing()]
        idle = [c for c in others if c.is_idle()]
        oldest = min(idle, key=lambda c: c.last_byte, default=connection)
        oldest.close()

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._open.discard(connection)
        self._counted()
        if not self._open and self._last_closed is not None:
            self._last_closed.set()

    async def all_closed(self) -> None:
        """Wait until no connection is open; nothing new may be accepted any more."""
        self._last_closed = asyncio.Event()
        if self._open:
            await self._last_closed.wait()

    def _sweep(self) -> None:
        now = self.now()
        for connection in list(self._open):
            if connection.overdue(now, self._settings, is_draining=self.is_draining):
                connection.close()
        self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def cut(self) -> None:
        """End every connection that is still open."""
        for connection in list(self._open):
            connection.transport.abort()

    async def end(self) -> None:
        """Clean up after the last connection."""
        self._sweeper.cancel()
        await self._server.shutdown(0)
