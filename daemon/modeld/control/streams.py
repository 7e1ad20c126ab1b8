"""Send answers that go on to the workers, each chunk when it is asked for.

What a stream has to say meanwhile is its own business: it is asked for the next chunk only
when the client has taken the one before, so that nothing piles up for a slow reader.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from modeld.control.supervisor import WorkerProcess
from modeld.log import get_logger
from modeld.messages import AdminChunk, AdminMore, AdminStop

log = get_logger()

_PATIENCE_SECONDS = 60.0
"""A worker drops a client that does not read long before; this is for what it forgets."""


@dataclass(slots=True, eq=False)
class _Stream:
    is_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Streams:
    """All answers that go on, by worker and number."""

    def __init__(self) -> None:
        self._open: dict[tuple[WorkerProcess, int], _Stream] = {}

    def open(self, worker: WorkerProcess, number: int, chunks: AsyncGenerator[bytes, None]) -> None:
        """Begin to send an answer's chunks."""
        stream = self._open[worker, number] = _Stream()
        stream.task = asyncio.create_task(self._run(worker, number, chunks))

    def received(self, worker: WorkerProcess, message: AdminMore | AdminStop) -> None:
        """Send the next chunk, or no more."""
        stream = self._open.get((worker, message.id))
        if stream is None or stream.task is None:
            return
        if isinstance(message, AdminMore):
            stream.is_wanted.set()
        else:
            stream.task.cancel()

    def forget_dead(self) -> None:
        """End the streams of workers that are gone."""
        for (worker, _), stream in list(self._open.items()):
            if not worker.is_alive and stream.task is not None:
                stream.task.cancel()

    async def _run(
        self, worker: WorkerProcess, number: int, chunks: AsyncGenerator[bytes, None]
    ) -> None:
        try:
            async with contextlib.aclosing(chunks):
                await self._until_wanted(worker, number)
                async for chunk in chunks:
                    worker.channel.send(AdminChunk(number), chunk)
                    await self._until_wanted(worker, number)
        except TimeoutError:
            log.warning("stream.forgotten", pid=worker.pid)
        except Exception:
            # The client hears the end of it, and the log has the traceback.
            log.exception("stream.failed", pid=worker.pid)
        finally:
            del self._open[worker, number]
            worker.channel.send(AdminChunk(number, is_last=True))

    async def _until_wanted(self, worker: WorkerProcess, number: int) -> None:
        is_wanted = self._open[worker, number].is_wanted
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await is_wanted.wait()
        is_wanted.clear()
