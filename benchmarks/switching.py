"""Measure what a switch costs: those who predict meanwhile, and those who wait for it.

Predictions are timed during a switch a second, and without, one after the other. wrk tells
for a closed loop at full load; requests at a fixed pace show the stalls that a closed loop
hides. Between two warm versions a switch publishes what is loaded; a cold one loads the
version anew, because a version that is not live was dropped at once.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.admin import Admin
from benchmarks.cases import BUSY, Case
from benchmarks.contenders import Contender
from benchmarks.deployment import Deployment
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


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured."""

    windows: int = 3
    seconds: int = 5
    changes: int = 40


@dataclass(frozen=True, slots=True)
class Window:
    """Some seconds of predictions: `load` in a closed loop, `paced` at a fixed pace."""

    server: str
    name: str
    repetition: int
    switches: int
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
    """Measure one deployment of two versions, with settings that keep versions and that drop them.

    Raises:
        BenchmarkError: a request failed, or a switch did.
    """
    windows: list[Window] = []
    tell(f"switching: {warm.server}")
    with running(warm, [settings.server_cpu]) as server:
        _warm_up(server)
        for repetition in range(extent.windows):
            windows.append(_window(server, settings, extent, STEADY, repetition))
            windows.append(_window(server, settings, extent, WARM, repetition))
        waits = tuple(_all_waits(server, Deployment(warm.folder), extent.changes))
    tell(f"switching, cold: {cold.server}")
    with running(cold, [settings.server_cpu]) as server:
        windows.append(_window(server, settings, extent, COLD, 0))
    return Switching(tuple(windows), waits)


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
    server: Server, settings: Settings, extent: Extent, name: str, repetition: int
) -> Window:
    body = json.dumps({"features": server.contender.model.samples.inputs[0]})
    case = Case(1, BUSY.connections)
    with _switching(server.admin, is_on=name != STEADY) as switches:
        found = load(server, settings, case, extent.seconds)
        paced = send_at_pace(server.port, body, Pace(seconds=float(extent.seconds)))
    if paced.failures:
        raise BenchmarkError(f"{server.contender}, {name}: {paced.failures} requests failed")
    return Window(server.contender.server, name, repetition, len(switches), found, paced)


@contextlib.contextmanager
def _switching(admin: Admin, *, is_on: bool) -> Iterator[list[str]]:
    """Switch to and fro once a second meanwhile; gives the versions switched to."""
    done: list[str] = []
    errors: list[BenchmarkError | OSError] = []
    stop = threading.Event()

    def switch() -> None:
        while not stop.wait(_BETWEEN_SECONDS) and not errors:
            version = "v1" if len(done) % 2 else "v2"
            try:
                admin.set_active(version)
            except (BenchmarkError, OSError) as error:
                errors.append(error)
            done.append(version)

    thread = threading.Thread(target=switch)
    if is_on:
        thread.start()
    try:
        yield done
    finally:
        stop.set()
        if is_on:
            thread.join(_PATIENCE_SECONDS)
    if errors:
        raise BenchmarkError(f"a switch failed: {errors[0]}") from errors[0]
    if done and done[-1] == "v2":
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
        begun = time.monotonic()
        change(version)
        waits.append((time.monotonic() - begun) * 1e3)
        time.sleep(0.1)  # each change meets a server at rest
    if count % 2:
        back("v1")
    return tuple(waits)


def _until_answered(port: int, row: object, version: str) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while _answering(port, row) != version:
        if time.monotonic() > end:
            raise BenchmarkError(f"{version} was asked for by file and did not come")


def _answering(port: int, row: object) -> str:
    found: Mapping[str, str] = json.loads(post(port, "/predict", {"features": row})[1])
    return found.get("model_version", "")
