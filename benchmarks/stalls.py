"""Measure for how long reading large bodies holds up an event loop.

A body is read in a thread, as a worker does it, while the loop turns as often as it
can. usage: python -m benchmarks.stalls
"""

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import uvloop

from modeld.domain import Signature
from modeld.errors import RequestError
from modeld.http import wire

_MEBIBYTES = (1, 4, 8, 16)
_TRIES = 5
_MAX_ROWS = 1 << 18
_ROWS = {
    "4 numbers of 17 digits": b"[" + b", ".join([b"0.12345678901234567"] * 4) + b"]",
    "30 numbers of 17 digits": b"[" + b", ".join([b"0.12345678901234567"] * 30) + b"]",
}


def main() -> None:
    """Print a table: the median of some tries."""
    gc.collect()
    gc.freeze()
    for name, row in _ROWS.items():
        for size in _MEBIBYTES:
            body = b'{"features": [' + b",".join([row] * ((size << 20) // (len(row) + 1))) + b"]}"
            width = row.count(b"0.")
            work = partial(_read, body, width)
            stall = median(uvloop.run(_stall(work)) for _ in range(_TRIES))
            sys.stdout.write(f"{name:24} {size:3} MiB: {stall * 1000:6.1f} ms\n")


def _read(body: bytes, width: int) -> None:
    try:
        wire.decode(body, Signature(width=width), _MAX_ROWS)
    except RequestError:
        return


async def _stall(work: Callable[[], None]) -> float:
    """Give the longest time between two turns of the loop while a thread works.

    It is this process's own time, to which other processes add nothing.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work))
    longest, before = 0.0, time.process_time()
    while not working.done():
        await asyncio.sleep(0)
        now = time.process_time()
        longest, before = max(longest, now - before), now
    await working
    return longest


if __name__ == "__main__":
    main()
