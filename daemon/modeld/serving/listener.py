"""Accept connections from the one socket that all workers share.

The control process keeps that socket open, so that a worker's death resets nothing
that waits. A worker that has more connections than another leaves the next one to the
other for a moment; if it is not taken by then, it takes it after all. So connections
spread evenly where workers are equally free, and go to the free one where they are not.
"""

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Any

from modeld.log import get_logger
from modeld.serving.connection import Connection
from modeld.serving.connections import Connections

log = get_logger()

_YIELD_SECONDS = 0.001
_PAUSE_SECONDS = 0.02


class Listener:
    """This worker's use of the listening socket. `fewest` counts the others' connections."""

    def __init__(
        self, sock: socket.socket, connections: Connections, fewest: Callable[[], float]
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._connections = connections
        self._fewest = fewest
        self._make: Callable[[], Connection] = lambda: Connection(connections)
        self._loop = asyncio.get_running_loop()
        self._accepted: set[asyncio.Task[Any]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._listen()

    def _listen(self) -> None:
        self._again = None
        self._loop.add_reader(self._sock.fileno(), self._ready)

    def _ready(self) -> None:
        if len(self._connections) + len(self._accepted) > self._fewest():
            self._pause(_YIELD_SECONDS, self._take_what_was_left)
        else:
            self._accept()

    def _take_what_was_left(self) -> None:
        self._listen()
        self._accept()

    def _pause(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._again = self._loop.call_later(seconds, then)

    def _accept(self) -> None:
        """Accept one connection, so that the others get their part."""
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            # Out of descriptors, say: what waits keeps waiting, and the loop must not spin.
            log.warning("accept.failed", error=str(error))
            self._pause(_PAUSE_SECONDS, self._listen)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._make, connection))
        self._accepted.add(task)
        task.add_done_callback(self._accepted.discard)

    async def close(self) -> None:
        """Accept until the queue is empty, then close this end of the socket."""
        if self._again is not None:
            self._again.cancel()
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        while poll.poll(0):
            self._accept()
            await asyncio.sleep(0)
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        if self._accepted:
            await asyncio.wait(self._accepted)
