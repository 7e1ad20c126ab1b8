import asyncio
import time
from dataclasses import replace

import pytest

from modeld.serving.ticker import TICK_SECONDS, Ticker
from modeld.slots import Slots
from tests.serving.test_connection import until
from tests.serving.test_lanes import LIMITS, Lane, Peer, post


async def test_a_tick_that_comes_late_tells_by_how_much() -> None:
    stalls: list[float] = []
    ticker = Ticker(stalls.append)
    await until(lambda: stalls)

    end = time.perf_counter() + TICK_SECONDS * 3
    while time.perf_counter() < end:
        pass
    count = len(stalls)
    await until(lambda: len(stalls) > count)

    assert max(stalls) >= TICK_SECONDS
    ticker.stop()


async def test_a_ticker_that_is_stopped_ticks_no_more() -> None:
    stalls: list[float] = []
    ticker = Ticker(stalls.append)

    ticker.stop()

    end = asyncio.get_running_loop().time() + TICK_SECONDS * 2
    await until(lambda: asyncio.get_running_loop().time() > end)
    assert not stalls


@pytest.mark.serial
@pytest.mark.parametrize("digits", [4, 17])
async def test_a_body_of_a_mebibyte_does_not_hold_up_the_loop(slots: Slots, digits: int) -> None:
    """Measured in this process's own time, to which other processes add nothing."""
    row = b"[%s, %s]" % ((b"0.1234567890123456789"[: digits + 2],) * 2)
    body = b'{"features": [' + b", ".join([row] * ((1 << 20) // (len(row) + 2))) + b"]}"
    limits = replace(LIMITS, max_body=1 << 21, max_rows=100_000)
    lane = await Lane(slots, is_express=True, limits=limits).start()
    peer = await lane.connect()

    stalls = [await longest_stall(peer, post(body)) for _ in range(5)]
    peer.writer.close()
    await lane.stop()

    assert min(stalls) < 0.02
    assert lane.model.calls == 5


async def longest_stall(peer: Peer, request: bytes) -> float:
    """Turn the loop as often as it lets us, until the request is answered."""
    longest, before = 0.0, time.process_time()
    asked = asyncio.ensure_future(ask(peer, request))
    async with asyncio.timeout(10):
        while not asked.done():
            await asyncio.sleep(0)
            now = time.process_time()
            longest, before = max(longest, now - before), now
    await asked
    return longest


async def ask(peer: Peer, request: bytes) -> None:
    peer.writer.write(request)
    await peer.writer.drain()
    peer.received = b""
    await peer.take(1)
    assert peer.received.startswith(b"HTTP/1.1 200 ")
