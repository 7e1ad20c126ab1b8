"""Write the answers of one turn of the loop together, at its end.

An answer that is written at once wakes its client, and where that sleeps on another
processor of a virtual machine, the wake-up leaves this one with cold caches: what comes
next, be it a model or the interpreter, runs at half its speed. Computing the answers of
all connections first and writing them one after the other pays for that once a turn
instead of once a request. Where only one connection is open, nothing is waited for.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

_MOST_BYTES = 1 << 16


class Outbox:
    """The outlets of a worker that have something to write."""

    def __init__(self) -> None:
        self.is_alone = False
        """Whether no more than one connection is open, so that nobody shares its turns."""
        self._loop = asyncio.get_running_loop()
        self._filled: list[Outlet] = []

    def add(self, outlet: "Outlet") -> None:
        """Have an outlet flushed when the turn ends."""
        if not self._filled:
            self._loop.call_soon(self._flush)
        self._filled.append(outlet)

    def _flush(self) -> None:
        filled, self._filled = self._filled, []
        for outlet in filled:
            outlet.flush()


class Outlet:
    """Writes to a transport at the end of the turn.

    `on_flush` is called after what was written has gone.
    """

    __slots__ = ("_on_flush", "_outbox", "_parts", "_size", "_transport", "has_closed")

    def __init__(
        self, transport: asyncio.Transport, outbox: Outbox, on_flush: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._outbox = outbox
        self._on_flush = on_flush
        self._parts: list[bytes] = []
        self._size = 0
        self.has_closed = False

    def write(self, data: bytes) -> None:
        """Keep the bytes until the turn ends, or until they are many."""
        if not self._parts:
            self._outbox.add(self)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _MOST_BYTES:
            self.flush()

    def write_last(self, data: bytes) -> None:
        """Write an answer that no other follows: at once where this connection is the only one."""
        if self._outbox.is_alone and not self._parts and not self.has_closed:
            self._transport.write(data)
        else:
            self.write(data)

    def flush(self) -> None:
        """Write what was kept; it is lost where the connection has closed."""
        parts, self._parts, self._size = self._parts, [], 0
        if parts and not self.has_closed:
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
            self._on_flush()

    def close(self) -> None:
        """Write what was kept and close."""
        self.flush()
        self.has_closed = True
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what was kept is lost."""
        self.has_closed = True
        self._transport.abort()

    def as_transport(self) -> asyncio.Transport:
        """Give what writes here and is the transport in everything else."""
        return cast(asyncio.Transport, _AsTransport(self, self._transport))


class _AsTransport:
    """An outlet in place of its transport.

    A class of its own, as one that looks attributes up by `__getattr__` has slow ones.
    """

    def __init__(self, outlet: Outlet, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.write = outlet.write
        self.close = outlet.close
        self.abort = outlet.abort

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
