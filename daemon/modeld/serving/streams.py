"""Pass on answers that go on: ask the control process for chunk after chunk.

The next chunk is asked for when the client has taken the one before, so that a slow reader
has one chunk waiting for it here and makes nobody else wait.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable

from modeld.messages import AdminChunk, AdminMore, AdminStop, Message

_End = None


class Streams:
    """The answers of this worker that go on, by the numbers of their calls."""

    def __init__(self, send: Callable[[Message, bytes], None]) -> None:
        self._send = send
        self._open: dict[int, asyncio.Queue[bytes | None]] = {}
        self._has_ended = False

    def open(self, number: int) -> AsyncGenerator[bytes, None]:
        """Begin to pass on an answer; whoever stops reading its chunks ends it."""
        arrived = self._open[number] = asyncio.Queue()
        return self._chunks(number, arrived)

    def received(self, message: AdminChunk, payload: memoryview) -> None:
        """Take a chunk; one that nobody waits for any more is dropped."""
        arrived = self._open.get(message.id)
        if arrived is not None:
            arrived.put_nowait(_End if message.is_last else bytes(payload))
        if message.is_last:
            self._open.pop(message.id, None)

    def end(self) -> None:
        """End all of them, and those to come: the worker drains."""
        self._has_ended = True
        for arrived in self._open.values():
            arrived.put_nowait(_End)

    async def _chunks(
        self, number: int, arrived: "asyncio.Queue[bytes | None]"
    ) -> AsyncGenerator[bytes, None]:
        try:
            while not self._has_ended:
                self._send(AdminMore(number), b"")
                chunk = await arrived.get()
                if chunk is _End:
                    return
                yield chunk
        finally:
            if self._open.pop(number, None) is not None:
                self._send(AdminStop(number), b"")
