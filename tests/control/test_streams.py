import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import cast

import pytest

from modeld.control.streams import Streams
from modeld.control.supervisor import WorkerProcess
from modeld.messages import AdminChunk, AdminMore, AdminStop, Message

_MOST_TURNS = 1000


class Worker:
    """A worker that notes what it is sent."""

    def __init__(self) -> None:
        self.pid = 1
        self.is_alive = True
        self.sent: list[tuple[Message, bytes]] = []
        self.channel = self

    def send(self, message: Message, payload: bytes = b"") -> None:
        self.sent.append((message, payload))


class Source:
    """Chunks without end, counting how many were made; notes when it is closed."""

    def __init__(self, count: int = 1_000) -> None:
        self.made = 0
        self.is_closed = False
        self._count = count

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            while self.made < self._count:
                self.made += 1
                yield b"%d" % self.made
        finally:
            self.is_closed = True


LAST = (AdminChunk(7, is_last=True), b"")


@pytest.fixture
def worker() -> Worker:
    return Worker()


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(_MOST_TURNS):
        if is_so():
            return
        await asyncio.sleep(0)
    raise AssertionError("not within so many turns of the loop")


def as_process(worker: Worker) -> WorkerProcess:
    return cast(WorkerProcess, worker)


def opened(worker: Worker, source: Source) -> Streams:
    streams = Streams()
    streams.open(as_process(worker), 7, source.chunks())
    return streams


async def test_nothing_is_made_for_who_does_not_ask(worker: Worker) -> None:
    source = Source()
    streams = opened(worker, source)

    for _ in range(50):
        await asyncio.sleep(0)
    assert source.made == 0

    streams.received(as_process(worker), AdminMore(7))
    await until(lambda: worker.sent == [(AdminChunk(7), b"1")])
    for _ in range(50):
        await asyncio.sleep(0)
    assert source.made == 1
    streams.received(as_process(worker), AdminStop(7))
    await until(lambda: worker.sent[-1] == LAST)


async def test_stopping_closes_the_source(worker: Worker) -> None:
    source = Source()
    streams = opened(worker, source)
    streams.received(as_process(worker), AdminMore(7))
    await until(lambda: source.made == 1)

    streams.received(as_process(worker), AdminStop(7))

    await until(lambda: source.is_closed)


async def test_the_end_of_the_source_is_told(worker: Worker) -> None:
    streams = opened(worker, Source(count=1))
    streams.received(as_process(worker), AdminMore(7))
    await until(lambda: len(worker.sent) == 1)

    streams.received(as_process(worker), AdminMore(7))

    await until(lambda: worker.sent == [(AdminChunk(7), b"1"), LAST])


async def test_the_death_of_a_worker_ends_its_streams_alone(worker: Worker) -> None:
    source, other, others = Source(), Worker(), Source()
    streams = opened(worker, source)
    streams.open(as_process(other), 7, others.chunks())
    for each in (worker, other):
        streams.received(as_process(each), AdminMore(7))
    await until(lambda: source.made == others.made == 1)

    worker.is_alive = False
    streams.forget_dead()

    await until(lambda: source.is_closed)
    assert not others.is_closed
    streams.received(as_process(other), AdminStop(7))
    await until(lambda: others.is_closed)


async def test_messages_about_no_stream_are_nothing(worker: Worker) -> None:
    streams = Streams()

    streams.received(as_process(worker), AdminMore(1))
    streams.received(as_process(worker), AdminStop(1))

    assert worker.sent == []
