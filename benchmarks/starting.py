"""Measure how long modeld takes to start, and what it takes with a thousand versions on disk.

The first start has nothing: no private copies, nothing compiled. The second finds what the
first one left. FastAPI starts between the two. Versions that nobody asks for should cost
neither time nor memory.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.contenders import Contender
from benchmarks.deployment import Deployment, copy_version
from benchmarks.measure import Settings, Tell
from benchmarks.process import Server, running

PLAIN = "FastAPI"
FIRST = "first start, nothing cached"
SECOND = "second start, compile cache warm"
MANY = "second start, 1,000 version folders"

_COPIES = 999
_REST_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Start:
    """One start: when the first prediction was answered, and what all of it takes at rest."""

    way: str
    repetition: int
    seconds: float
    memory_mb: float


def measure_starts(
    contender: Contender, plain: Contender, settings: Settings, tell: Tell
) -> Iterator[Start]:
    """Start a compiled model in each of the ways, and FastAPI with it, several times over."""
    deployment = Deployment(contender.folder)
    for repetition in range(settings.repetitions):
        deployment.forget()
        for way, started in ((FIRST, contender), (PLAIN, plain), (SECOND, contender)):
            yield _start(started, settings, way, repetition, tell)
    copy_version(deployment, "v1", _COPIES)
    for repetition in range(settings.repetitions):
        yield _start(contender, settings, MANY, repetition, tell)


def _start(
    contender: Contender, settings: Settings, way: str, repetition: int, tell: Tell
) -> Start:
    tell(f"{way}: {repetition + 1} of {settings.repetitions}")
    with running(contender, [settings.server_cpu]) as server:
        _rest(server)
        return Start(way, repetition, server.start_seconds, server.memory_mb())


def _rest(server: Server) -> None:
    """Wait for the host, and what it was forked from, to end: the worker needs neither."""
    end = time.monotonic() + _REST_SECONDS
    while len(server.tree()) > 2 and time.monotonic() < end:
        time.sleep(0.1)
