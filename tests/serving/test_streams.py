import asyncio
import contextlib
from collections.abc import Callable

import pytest

from modeld.messages import AdminChunk, AdminMore, AdminStop, Message
from modeld.serving.streams import Streams

_MOST_TURNS = 1000


class Control:
    """The control process's side: what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Message] = []
        self.streams = Streams(lambda message, _: self.asked.append(message))

    def send(self, content: bytes) -> None:
        self.streams.received(AdminChunk(1), memoryview(content))

    def finish(self) -> None:
        self.streams.received(AdminChunk(1, is_last=True), memoryview(b""))

    async def until(self, is_so: Callable[[], bool]) -> None:
        for _ in range(_MOST_TURNS):
            if is_so():
                return
            await asyncio.sleep(0)
        raise AssertionError("not within so many turns of the loop")


@pytest.fixture
async def control() -> Control:
    return Control()


async def test_a_chunk_is_asked_for_when_the_one_before_was_taken(control: Control) -> None:
    chunks = control.streams.open(1)
    assert control.asked == []

    first = asyncio.ensure_future(anext(chunks))
    await control.until(lambda: control.asked == [AdminMore(1)])
    control.send(b"a")
    assert await first == b"a"
    assert control.asked == [AdminMore(1)]

    second = asyncio.ensure_future(anext(chunks))
    await control.until(lambda: control.asked == [AdminMore(1), AdminMore(1)])
    control.send(b"b")
    assert await second == b"b"


async def test_the_last_chunk_ends_it_and_nothing_more_is_asked(control: Control) -> None:
    chunks = control.streams.open(1)
    control.finish()

    assert [chunk async for chunk in chunks] == []
    assert control.asked == [AdminMore(1)]


async def test_who_stops_reading_has_it_stopped(control: Control) -> None:
    async with contextlib.aclosing(control.streams.open(1)) as chunks:
        control.send(b"a")
        assert await anext(chunks) == b"a"

    assert control.asked == [AdminMore(1), AdminStop(1)]


async def test_a_drain_ends_all_and_those_to_come(control: Control) -> None:
    waiting = control.streams.open(1)
    first = asyncio.ensure_future(anext(waiting, None))
    await control.until(lambda: bool(control.asked))

    control.streams.end()

    assert await first is None
    assert [chunk async for chunk in control.streams.open(2)] == []
    assert control.asked == [AdminMore(1), AdminStop(1), AdminStop(2)]


async def test_chunks_for_nobody_are_dropped(control: Control) -> None:
    control.send(b"late")
    control.finish()

    assert control.asked == []
