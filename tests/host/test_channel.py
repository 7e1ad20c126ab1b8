import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from modeld.host.channel import Channel, connected_pair
from modeld.host.protocol import Frame, ProtocolError, encode
from modeld.messages import Abort, Beat, Commit, Drain, Peer


class End:
    """One end of a connection, and what came in at it."""

    def __init__(self, sock: socket.socket) -> None:
        self.frames: list[Frame] = []
        self.ends = 0
        self.failures: list[Exception] = []
        self._arrived = asyncio.Event()
        self.channel = Channel(sock, self._on_frame, self._on_end)

    def _on_frame(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._arrived.set()
        if self.failures:
            raise self.failures.pop()

    def _on_end(self) -> None:
        self.ends += 1
        self._arrived.set()

    async def wait_for(self, frames: int = 0, ends: int = 0) -> None:
        async with asyncio.timeout(10):
            while len(self.frames) < frames or self.ends < ends:
                self._arrived.clear()
                await self._arrived.wait()


@pytest.fixture
async def pair() -> AsyncIterator[tuple[End, End]]:
    ends = tuple(map(End, connected_pair()))
    yield ends[0], ends[1]
    for end in ends:
        end.channel.close()


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


async def test_messages_arrive_in_order(pair: tuple[End, End]) -> None:
    left, right = pair

    for number in range(100):
        left.channel.send(Commit(number), b"%d" % number)
    await right.wait_for(frames=100)

    assert [frame.message for frame in right.frames] == [Commit(n) for n in range(100)]
    assert bytes(right.frames[42].payload) == b"42"


async def test_more_than_the_socket_holds_is_sent_as_the_other_side_reads(
    pair: tuple[End, End],
) -> None:
    left, right = pair
    payload = os.urandom(3 << 20)

    left.channel.send(Drain(), payload)
    left.channel.send(Commit(1))
    await right.wait_for(frames=2)

    assert bytes(right.frames[0].payload) == payload
    assert right.frames[1].message == Commit(1)


async def test_descriptors_travel_and_are_closed_here(
    pair: tuple[End, End], pipe: tuple[int, int]
) -> None:
    left, right = pair
    reader, writer = pipe

    left.channel.send(Peer(), take=[writer])
    await right.wait_for(frames=1)
    received = right.channel.take_descriptor()
    os.write(received, b"hello")
    os.close(received)

    assert os.read(reader, 5) == b"hello"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)


async def test_descriptors_behind_a_full_socket_keep_their_order(pair: tuple[End, End]) -> None:
    left, right = pair
    pipes = [os.pipe() for _ in range(20)]

    for number, (_, writer) in enumerate(pipes):
        left.channel.send(Commit(number), bytes(200_000), take=[writer])
    await right.wait_for(frames=20)
    for number in range(20):
        received = right.channel.take_descriptor()
        os.write(received, b"%d" % number)
        os.close(received)

    assert [os.read(reader, 9) for reader, _ in pipes] == [b"%d" % n for n in range(20)]
    for reader, _ in pipes:
        os.close(reader)


async def test_a_message_that_brought_no_descriptor_is_nonsense(pair: tuple[End, End]) -> None:
    with pytest.raises(ProtocolError):
        pair[0].channel.take_descriptor()


async def test_the_end_of_the_other_side_is_told_once(pair: tuple[End, End]) -> None:
    left, right = pair

    left.channel.send(Drain())
    left.channel.close()
    await right.wait_for(frames=1, ends=1)

    assert (left.ends, right.ends) == (0, 1)
    assert not right.channel.is_open


@pytest.mark.parametrize(
    "stream", [b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}"], ids=["too long", "no message"]
)
async def test_nonsense_ends_the_connection(pair: tuple[End, End], stream: bytes) -> None:
    sock, other = connected_pair()
    end = End(other)

    with sock:
        sock.sendall(encode(Drain()) + stream)
        await end.wait_for(frames=1, ends=1)

    assert not end.channel.is_open


async def test_a_reader_that_refuses_a_message_ends_the_connection(pair: tuple[End, End]) -> None:
    left, right = pair
    right.failures.append(ProtocolError("not this one"))

    left.channel.send(Drain())
    left.channel.send(Drain())
    await right.wait_for(ends=1)
    await left.wait_for(ends=1)

    assert len(right.frames) == 1


async def test_a_message_that_meets_a_defect_is_not_delivered_again(pair: tuple[End, End]) -> None:
    left, right = pair
    right.failures.append(RuntimeError("a defect"))
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(context["exception"])
    )

    left.channel.send(Commit(1))
    await right.wait_for(frames=1)
    left.channel.send(Commit(2))
    await right.wait_for(frames=2)

    assert [frame.message for frame in right.frames] == [Commit(1), Commit(2)]
    assert len(reported) == 1


async def test_what_is_sent_after_the_end_is_dropped_and_its_descriptors_closed(
    pair: tuple[End, End], pipe: tuple[int, int]
) -> None:
    left, _ = pair

    left.channel.close()
    left.channel.close()
    left.channel.send(Peer(), take=[pipe[1]])

    assert os.read(pipe[0], 1) == b""


async def test_closing_leaks_no_descriptor() -> None:
    """Neither those that wait to be sent nor those that nobody took."""
    before = open_descriptors()
    left, right = map(End, connected_pair())
    left.channel.send(Peer(), take=[os.open("/dev/null", os.O_RDONLY)])
    left.channel.send(Drain(), bytes(4 << 20))
    left.channel.send(Peer(), take=[os.open("/dev/null", os.O_RDONLY)])
    await right.wait_for(frames=1)

    left.channel.close()
    right.channel.close()

    assert open_descriptors() == before


async def test_writing_to_a_peer_that_is_gone_ends_the_connection() -> None:
    ours, theirs = connected_pair()
    end = End(ours)
    theirs.close()

    end.channel.send(Abort(1))
    end.channel.send(Beat(0.0, 1))
    await end.wait_for(ends=1)

    assert end.ends == 1
    assert not end.channel.is_open
