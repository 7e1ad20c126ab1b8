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
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import psutil

from benchmarks.cases import Case
from benchmarks.contenders import Contender
from benchmarks.errors import BenchmarkError
from benchmarks.load import Load, put_load
from benchmarks.process import Server, running

Tell = Callable[[str], None]

_WARM_UP_SECONDS = 1
_WARM_UP_CONNECTIONS = 32
_LEAST_BULK_SECONDS = 2
_CALM_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured, and where. `attempts` is how often for a calm moment."""

    repetitions: int
    seconds: int
    server_cpu: int
    load_cpu: int
    attempts: int = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. `others` is the share of either core that went to other processes."""

    case: Case
    load: Load
    others: float


@dataclass(frozen=True, slots=True)
class Round:
    """What one start of a server gave. Memory is taken before the load and after it.

    `sharers` counts the foreign processes that used the same files of libraries.
    """

    server: str
    model: str
    repetition: int
    start_seconds: float
    memory_mb: float
    memory_after_mb: float
    sharers: int
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Absence:
    """A server that could not be measured with a model, and why."""

    server: str
    model: str
    why: str


def measure(
    contenders: Sequence[Contender], settings: Settings, tell: Tell
) -> Iterator[Round | Absence]:
    """Measure each server once per repetition; one that fails with an excuse is left out then."""
    os.sched_setaffinity(0, {settings.load_cpu})
    present = list(contenders)
    for repetition in range(settings.repetitions):
        first = repetition % max(len(present), 1)
        for contender in (*present[first:], *present[:first]):
            tell(f"{repetition + 1} of {settings.repetitions}: {contender}")
            found = _measure_or_excuse(contender, settings, repetition)
            if isinstance(found, Absence):
                tell(found.why)
                present.remove(contender)
            yield found


def _measure_or_excuse(
    contender: Contender, settings: Settings, repetition: int
) -> Round | Absence:
    try:
        with running(contender, _server_cpus(contender, settings)) as server:
            return _measure_one(server, settings, repetition)
    except BenchmarkError as error:
        if not contender.excuse:
            raise
        why = f"{contender.excuse}: {error}"
        return Absence(contender.server, contender.about, why)


def _measure_one(server: Server, settings: Settings, repetition: int) -> Round:
    before = server.memory_mb()
    samples = tuple(_samples(server, settings))
    return Round(
        server.contender.server,
        server.contender.about,
        repetition,
        server.start_seconds,
        memory_mb=before,
        memory_after_mb=server.memory_mb(),
        sharers=server.sharers(),
        samples=samples,
    )


def _samples(server: Server, settings: Settings) -> Iterator[Sample]:
    """Measure each case; one warm-up for each payload is enough, since the server stays."""
    warm: set[int] = set()
    for case in server.contender.cases:
        if case.rows not in warm:
            warm.add(case.rows)
            load(server, settings, _warm_up(case), _seconds(case, _WARM_UP_SECONDS))
        yield _sample_calmly(server, settings, case)


def _warm_up(case: Case) -> Case:
    return Case(1, _WARM_UP_CONNECTIONS) if case.rows == 1 else case


def _seconds(case: Case, seconds: int) -> int:
    """Give many rows the time to be answered at all: some servers take most of a second."""
    return seconds if case.rows == 1 else max(seconds, _LEAST_BULK_SECONDS)


def _sample_calmly(server: Server, settings: Settings, case: Case) -> Sample:
    """Measure until it was calm, and give the calmest."""
    samples: list[Sample] = []
    while len(samples) < settings.attempts:
        samples.append(_sample(server, settings, case))
        if samples[-1].others <= _CALM_SHARE:
            break
    return min(samples, key=lambda sample: sample.others)


def _sample(server: Server, settings: Settings, case: Case) -> Sample:
    """Measure once, and work out how much of the cores nobody of ours had."""
    server_cpus = _server_cpus(server.contender, settings)
    load_cpus = _load_cpus(server.contender, settings)
    begun = time.monotonic()
    server_busy, load_busy = _busy_seconds(server_cpus), _busy_seconds(load_cpus)
    server_own, load_own = server.cpu_seconds(), _children_seconds()
    result = load(server, settings, case, _seconds(case, settings.seconds))
    seconds = time.monotonic() - begun
    by_server, by_load = server.cpu_seconds() - server_own, _children_seconds() - load_own
    server_busy = _busy_seconds(server_cpus) - server_busy
    load_busy = _busy_seconds(load_cpus) - load_busy
    if server.contender.shares_cores:
        others = (server_busy - by_server - by_load) / len(server_cpus)
    else:
        others = max(server_busy - by_server, load_busy - by_load)
    return Sample(case, result, max(others, 0.0) / seconds)


def load(server: Server, settings: Settings, case: Case, seconds: int) -> Load:
    """Put load on a server for some seconds."""
    cpus = _load_cpus(server.contender, settings)
    request = server.request(case)
    return put_load(request, connections=case.connections, seconds=seconds, cpus=cpus)


def _server_cpus(contender: Contender, settings: Settings) -> Sequence[int]:
    both = (settings.server_cpu, settings.load_cpu)
    return both if contender.shares_cores else both[:1]


def _load_cpus(contender: Contender, settings: Settings) -> Sequence[int]:
    both = (settings.server_cpu, settings.load_cpu)
    return both if contender.shares_cores else both[1:]


def _busy_seconds(cpus: Collection[int]) -> float:
    total = 0.0
    for cpu in cpus:
        times = psutil.cpu_times(percpu=True)[cpu]
        # Guest time is in user time already.
        total += sum(times) - (times.idle + times.iowait + times.guest + times.guest_nice)
    return total


def _children_seconds() -> float:
    """Give the processor time of the load generators that have ended.

    A server ends outside of measurements.
    """
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
