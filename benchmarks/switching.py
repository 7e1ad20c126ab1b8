"""Measure what a switch costs: those who predict meanwhile, and those who wait for it.

Predictions are timed during a switch a second, and without, one after the other. wrk tells
for a closed loop at full load; requests at a fixed pace show the stalls that a closed loop
hides. Between two warm versions a switch publishes what is loaded. A cold one goes round many
copies of a version, of which at most one that is not live stays loaded, so each is loaded anew.
"""

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.admin import Admin
from benchmarks.cases import BUSY
from benchmarks.contenders import Contender
from benchmarks.deployment import Deployment, copy_version
from benchmarks.errors import BenchmarkError
from benchmarks.http import post
from benchmarks.load import Load
from benchmarks.measure import Settings, Tell, load
from benchmarks.pace import Pace, Paced, send_at_pace
from benchmarks.process import Server, running

STEADY = "no switch"
WARM = "a warm switch a second"
COLD = "a cold switch a second"

FILE = "file written → first answer of the other version"
POST = "POST set-active-version → its answer"
ROLLBACK = "POST rollback → its answer"

_PATIENCE_SECONDS = 60.0
_BETWEEN_SECONDS = 1.0
_COLD_VERSIONS = 8


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured."""

    windows: int = 3
    seconds: int = 5
    changes: int = 40


@dataclass(frozen=True, slots=True)
class Way:
    """The versions that are switched to meanwhile, one after the other; none for no switch."""

    name: str
    versions: tuple[str, ...] = ()


WARM_WAY = Way(WARM, ("v2", "v1"))


@dataclass(frozen=True, slots=True)
class Window:
    """Some seconds of predictions: `load` in a closed loop, `paced` at a fixed pace.

    `waits_ms` has how long each switch took.
    """

    server: str
    name: str
    repetition: int
    waits_ms: tuple[float, ...]
    load: Load
    paced: Paced


@dataclass(frozen=True, slots=True)
class Waits:
    """How long changes took, each in ms."""

    server: str
    name: str
    waits_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Switching:
    """All that was found."""

    windows: tuple[Window, ...]
    waits: tuple[Waits, ...]


def measure_switching(
    warm: Contender, cold: Contender, settings: Settings, extent: Extent, tell: Tell
) -> Switching:
    """Measure a deployment of v1 and v2, and `cold`, the same with settings that drop versions.

    Raises:
        BenchmarkError: a request failed, or a switch did.
    """
    windows: list[Window] = []
    deployment = Deployment(warm.folder)
    tell(f"switching: {warm.server}")
    with running(warm, [settings.server_cpu]) as server:
        _warm_up(server)
        for repetition in range(extent.windows):
            windows.append(_window(server, settings, extent, Way(STEADY), repetition))
            windows.append(_window(server, settings, extent, WARM_WAY, repetition))
        waits = tuple(_all_waits(server, deployment, extent.changes))
    anew = tuple(copy_version(deployment, "v2", _COLD_VERSIONS))
    tell(f"switching, cold: {cold.server}")
    with running(cold, [settings.server_cpu]) as server:
        windows.append(_window(server, settings, extent, Way(COLD, anew), 0))
    by_windows = [Waits(one.server, f"{POST}, {one.name}", one.waits_ms) for one in windows[-1:]]
    return Switching(tuple(windows), (*waits, *by_windows))


def _warm_up(server: Server) -> None:
    """Have both versions loaded, and each in its final form: both must run where they should."""
    server.admin.set_active("v2")
    server.admin.set_active("v1")
    due = server.contender.runs
    end = time.monotonic() + _PATIENCE_SECONDS
    while due is not None and server.admin.runtimes() != [due.runtime, due.runtime]:
        if time.monotonic() > end:
            raise BenchmarkError(f"{server.contender}: not both versions are {due.runtime}")
        time.sleep(0.05)


def _window(
    server: Server, settings: Settings, extent: Extent, way: Way, repetition: int
) -> Window:
    body = json.dumps({"features": server.contender.model.samples.inputs[0]})
    with _switching(server.admin, way.versions) as waits:
        found = load(server, settings, BUSY, extent.seconds)
        paced = send_at_pace(server.port, body, Pace(seconds=float(extent.seconds)))
    if paced.failures:
        raise BenchmarkError(f"{server.contender}, {way.name}: {paced.failures} requests failed")
    return Window(server.contender.server, way.name, repetition, tuple(waits), found, paced)


@contextlib.contextmanager
def _switching(admin: Admin, versions: Sequence[str]) -> Iterator[list[float]]:
    """Switch from version to version meanwhile, once a second; gives how long each took, in ms.

    Afterwards v1 is live again.
    """
    waits: list[float] = []
    stop = threading.Event()

    def switch() -> None:
        for version in itertools.cycle(versions):
            if stop.wait(_BETWEEN_SECONDS):
                return
            waits.append(_milliseconds(admin.set_active, version))

    with ThreadPoolExecutor(1) as pool:
        switcher = pool.submit(switch)
        try:
            yield waits
        finally:
            stop.set()
        switcher.result(_PATIENCE_SECONDS)
    if waits and versions[(len(waits) - 1) % len(versions)] != "v1":
        admin.set_active("v1")


def _all_waits(server: Server, deployment: Deployment, changes: int) -> Iterator[Waits]:
    """Go to v2 and back to v1, again and again, in each of the ways."""
    admin, port = server.admin, server.port
    row = server.contender.model.samples.inputs[0]
    name = server.contender.server

    def by_file(version: str) -> None:
        deployment.wish(version)
        _until_answered(port, row, version)

    def back(_version: str) -> None:
        admin.roll_back()

    yield Waits(name, FILE, _times(changes, by_file, by_file))
    yield Waits(name, POST, _times(changes, admin.set_active, admin.set_active))
    yield Waits(name, ROLLBACK, _times(2 * changes, admin.set_active, back)[1::2])


def _times(
    count: int, there: Callable[[str], None], back: Callable[[str], None]
) -> tuple[float, ...]:
    """Time changes from v1 to v2 and back, in turn."""
    waits: list[float] = []
    for number in range(count):
        change, version = (back, "v1") if number % 2 else (there, "v2")
        waits.append(_milliseconds(change, version))
        time.sleep(0.1)  # each change meets a server at rest
    if count % 2:
        back("v1")
    return tuple(waits)


def _milliseconds(change: Callable[[str], None], version: str) -> float:
    begun = time.monotonic()
    change(version)
    return (time.monotonic() - begun) * 1e3


def _until_answered(port: int, row: object, version: str) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while _answering(port, row) != version:
        if time.monotonic() > end:
            raise BenchmarkError(f"{version} was asked for by file and did not come")


def _answering(port: int, row: object) -> str:
    found: Mapping[str, str] = json.loads(post(port, "/predict", {"features": row})[1])
    return found.get("model_version", "")
