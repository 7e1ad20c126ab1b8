"""Keep all open connections of a worker: the cap, the time-outs, the end.

One sweep a quarter second looks at all connections, instead of a timer for each.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from modeld.domain import WorkerSettings
from modeld.serving.connection import Connection
from modeld.serving.express import Express
from modeld.serving.handler import Handler
from modeld.serving.outbox import Outbox

_SWEEP_SECONDS = 0.25
_LINGER_SECONDS = 2.0

Route = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connections:
    """All open connections of a worker."""

    def __init__(
        self,
        settings: WorkerSettings,
        route: Route,
        count: Callable[[int], None],
        express: Express | None = None,
    ) -> None:
        self.express = express
        self._settings = settings
        self._open: set[Connection] = set()
        self._loop = asyncio.get_running_loop()
        self.call_soon = self._loop.call_soon
        self.outbox = Outbox()
        self.now = time.monotonic
        self.is_draining = False
        self._count = count
        self._last_closed: asyncio.Event | None = None
        self._server = web.Server(route, request_factory=self._make_request)
        self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def __len__(self) -> int:
        return len(self._open)

    def _counted(self) -> None:
        self.outbox.is_alone = len(self._open) <= 1
        if not self.is_draining:
            self._count(len(self._open))

    def make_handler(self) -> Handler:
        """Make the aiohttp handler that one connection owns."""
        return Handler(
            self._server,
            loop=self._loop,
            access_log=None,
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
            connection.nudge(now)
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
