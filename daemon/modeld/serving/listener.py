"""Accept connections from a socket that the control process opened and keeps open.

Because it is kept open there, a worker's death resets no connection that still waits:
the worker's successor finds them in the same queue.
"""

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Any

from modeld.domain import WorkerSettings
from modeld.log import get_logger
from modeld.serving.connection import Connection, Connections

log = get_logger()

_AT_ONCE = 1024
_PAUSE_SECONDS = 0.02


class Listener:
    """Accepts connections from the worker's inherited socket."""

    def __init__(
        self, sock: socket.socket, settings: WorkerSettings, connections: Connections
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._make: Callable[[], Connection] = lambda: Connection(connections)
        self._limit = 1 if settings.shares_socket else _AT_ONCE
        self._loop = asyncio.get_running_loop()
        self._accepted: set[asyncio.Task[Any]] = set()
        self._loop.add_reader(sock.fileno(), self._accept)

    def _accept(self) -> None:
        """Accept what waits; of a shared socket one at a time, so that others get their part."""
        for _ in range(self._limit):
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("accept.failed", error=str(error))
                self._loop.remove_reader(self._sock.fileno())
                self._loop.call_later(_PAUSE_SECONDS, self._resume)
                return
            connection.setblocking(False)
            task = self._loop.create_task(
                self._loop.connect_accepted_socket(self._make, connection)
            )
            self._accepted.add(task)
            task.add_done_callback(self._accepted.discard)

    def _resume(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock.fileno(), self._accept)

    async def close(self) -> None:
        """Accept until the queue is empty, then close this end of the socket."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        while poll.poll(0):
            self._accept()
            await asyncio.sleep(0)
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        if self._accepted:
            await asyncio.wait(self._accepted)
