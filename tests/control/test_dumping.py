"""What is told on SIGUSR1, where standard error is not read."""

import os
import subprocess
import sys

import pytest

CHILD = """
import asyncio, os, signal
from modeld.control.dumping import answer_signal
from modeld.log import configure

async def main():
    configure("text", keeps=5)
    answer_signal(asyncio.get_running_loop())
    for _ in range(5):
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0.01)
    print("alive", flush=True)

asyncio.run(main())
"""


def fill(writer: int) -> None:
    """Write to a pipe that nobody reads until it takes no more."""
    os.set_blocking(writer, False)
    for length in (1 << 16, 1):
        try:
            while True:
                os.write(writer, b"x" * length)
        except BlockingIOError:
            continue
    os.set_blocking(writer, True)


@pytest.mark.skipif(sys.platform != "linux", reason="a pipe is opened once more through /proc")
def test_a_pipe_that_nobody_reads_does_not_stop_who_tells() -> None:
    reader, writer = os.pipe()
    fill(writer)

    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        stdout=subprocess.PIPE, stderr=writer, timeout=30, check=True, text=True,
    )  # fmt: skip

    os.close(reader)
    os.close(writer)
    assert done.stdout == "alive\n"
