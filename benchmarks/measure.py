"""Measure all servers in turn, several times over.

A repetition starts each server afresh, measures it and ends it, so that nothing else of
ours runs beside the one that is measured, and noise of the machine hits all alike. Each
repetition begins with another server.

A machine is never quite idle. For each measurement it is worked out how much of the two
cores went to anything but the server and the load; if that is too much, the measurement
is made again, and the least disturbed one counts. The choice never looks at the result.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psutil

from benchmarks.contenders import Contender
from benchmarks.load import Load, put_load
from benchmarks.process import Server, body_of, running

CONNECTIONS = (1, 32)

_WARM_UP_SECONDS = 1
_CALM_SHARE = 0.05
_MOST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured, and where."""

    repetitions: int
    seconds: int
    server_cpu: int
    load_cpu: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. `others` is the share of either core that went to other processes."""

    connections: int
    load: Load
    others: float


@dataclass(frozen=True, slots=True)
class Round:
    """What one start of a server gave. Memory is taken before the load and after it.

    `sharers` counts the foreign processes that used the same files of libraries.
    """

    server: str
    repetition: int
    start_seconds: float
    memory_mb: float
    memory_after_mb: float
    sharers: int
    samples: tuple[Sample, ...]


def measure(
    contenders: Sequence[Contender], settings: Settings, tell: Callable[[str], None]
) -> Iterator[Round]:
    """Measure each server once per repetition."""
    os.sched_setaffinity(0, {settings.load_cpu})
    for repetition in range(settings.repetitions):
        first = repetition % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            tell(f"{repetition + 1} of {settings.repetitions}: {contender.name}")
            with running(contender, settings.server_cpu) as server:
                yield _measure_one(server, settings, repetition)


def _measure_one(server: Server, settings: Settings, repetition: int) -> Round:
    before = server.memory_mb()
    samples = tuple(_sample_calmly(server, settings, count) for count in CONNECTIONS)
    return Round(
        server.contender.name,
        repetition,
        server.start_seconds,
        memory_mb=before,
        memory_after_mb=server.memory_mb(),
        sharers=server.sharers(),
        samples=samples,
    )


def _sample_calmly(server: Server, settings: Settings, connections: int) -> Sample:
    """Measure until it was calm, and give the calmest."""
    _load(server, settings, connections, _WARM_UP_SECONDS)
    samples: list[Sample] = []
    while len(samples) < _MOST_ATTEMPTS:
        samples.append(_sample(server, settings, connections))
        if samples[-1].others <= _CALM_SHARE:
            break
    return min(samples, key=lambda sample: sample.others)


def _sample(server: Server, settings: Settings, connections: int) -> Sample:
    begun = time.monotonic()
    server_busy, load_busy = _busy_seconds(settings.server_cpu), _busy_seconds(settings.load_cpu)
    server_own, load_own = server.cpu_seconds(), _children_seconds()
    load = _load(server, settings, connections, settings.seconds)
    on_load = _busy_seconds(settings.load_cpu) - load_busy - (_children_seconds() - load_own)
    on_server = _busy_seconds(settings.server_cpu) - server_busy
    on_server -= server.cpu_seconds() - server_own
    others = max(on_load, on_server, 0.0) / (time.monotonic() - begun)
    return Sample(connections, load, others)


def _load(server: Server, settings: Settings, connections: int, seconds: int) -> Load:
    body = body_of(server.contender.samples.inputs[0])
    cpu = settings.load_cpu
    return put_load(server.url, body, connections=connections, seconds=seconds, cpu=cpu)


def _busy_seconds(cpu: int) -> float:
    times = psutil.cpu_times(percpu=True)[cpu]
    # Guest time is in user time already.
    idle = times.idle + times.iowait + times.guest + times.guest_nice
    return float(sum(times) - idle)


def _children_seconds() -> float:
    """Give the processor time of the load generators that have ended.

    A server ends outside of measurements.
    """
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
