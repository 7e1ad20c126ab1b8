"""Measure how soon a change is answered by: of the file, and by POST.

It needs no other servers and serves the example versions of the repository. By file, the
time is from the rename to the first answer of the new version that a client sees which asks
without a pause. Warm versions are loaded already; a cold one is not.
usage: python -m benchmarks.switches [--count N] [--cold N] [--json FILE]
"""

import argparse
import contextlib
import dataclasses
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.admin import Admin
from benchmarks.deployment import Deployment
from benchmarks.errors import BenchmarkError
from benchmarks.pace import percentile
from benchmarks.places import ROOT, clean_environment

_BODY = json.dumps({"features": [6.3, 2.8, 5.1, 1.5]})
_PATIENCE_SECONDS = 60.0
_REST_SECONDS = 0.1  # each change meets a server at rest


@dataclass(frozen=True, slots=True)
class Waits:
    """How long changes of one kind took, each in ms; `goal_ms` bounds the p99."""

    name: str
    goal_ms: float | None
    waits_ms: tuple[float, ...]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.switches", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="changes of each warm kind")
    parser.add_argument("--cold", type=int, default=10, help="changes to versions not loaded")
    parser.add_argument("--json", type=Path, help="write every single wait to this file")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="modeld-switches-") as name:
        found = tuple(_measure(Deployment(Path(name)), given.count, given.cold))
    sys.stdout.write(f"load before: {load:.1f}\n\n{table(found)}")
    if given.json is not None:
        given.json.write_text(raw(found, load))


def table(found: Sequence[Waits]) -> str:
    """Write the figures as a table of Markdown."""
    lines = [
        "| change | times | p50 ms | p99 ms | max ms | goal of p99 |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for one in found:
        figures = " | ".join(f"{percentile(one.waits_ms, each):.0f}" for each in (50, 99, 100))
        lines.append(f"| {one.name} | {len(one.waits_ms)} | {figures} | {_verdict(one)} |")
    return "\n".join(lines) + "\n"


def _verdict(waits: Waits) -> str:
    if waits.goal_ms is None:
        return "none"
    is_met = percentile(waits.waits_ms, 99) <= waits.goal_ms
    return f"{waits.goal_ms:.0f} ms: {'met' if is_met else 'missed'}"


def raw(found: Sequence[Waits], load: float) -> str:
    """Write every wait as JSON."""
    content = {"load_before": load, "waits": [dataclasses.asdict(one) for one in found]}
    return json.dumps(content, indent=2) + "\n"


def _measure(deployment: Deployment, count: int, cold: int) -> Iterator[Waits]:
    copies = [f"cold{number}" for number in range(cold)]
    for version, source in {"v1": "v1", "v2": "v2", **dict.fromkeys(copies, "v2")}.items():
        shutil.copytree(ROOT / "models" / source, deployment.models / version)
    deployment.wish("v1")
    with _running(deployment) as port:
        admin = Admin(port)
        _warm_up(admin)

        def by_file(version: str) -> None:
            deployment.wish(version)
            _until_answered(port, version)

        turns = ["v2", "v1"] * ((count + 1) // 2)
        yield Waits("file, warm", 150, times(by_file, turns))
        yield Waits("POST rollback, warm", 50, tuple(_rollbacks(admin, count)))
        if copies:
            yield Waits("file, cold", None, times(by_file, copies))


def _rollbacks(admin: Admin, count: int) -> Iterator[float]:
    """Go from v1 to v2, and back; only the way back is timed."""
    for _ in range(count):
        admin.set_active("v2")
        yield _milliseconds(lambda _: admin.roll_back(), "v1")


def times(change: Callable[[str], None], versions: Sequence[str]) -> tuple[float, ...]:
    """Give how long each change took, in ms."""
    return tuple(_milliseconds(change, version) for version in versions)


def _milliseconds(change: Callable[[str], None], version: str) -> float:
    time.sleep(_REST_SECONDS)
    begun = time.monotonic()
    change(version)
    return (time.monotonic() - begun) * 1e3


def _warm_up(admin: Admin) -> None:
    """Have both versions loaded, each in its final form: compiled."""
    admin.set_active("v2")
    admin.set_active("v1")
    _wait(lambda: admin.runtimes() == ["compiled", "compiled"], "both versions compiled")


def _until_answered(port: int, version: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
    with contextlib.closing(connection):
        end = time.monotonic() + _PATIENCE_SECONDS
        while _answering(connection) != version:
            if time.monotonic() > end:
                raise BenchmarkError(f"{version} was asked for by file and did not come")


def _answering(connection: http.client.HTTPConnection) -> object:
    connection.request("POST", "/predict", _BODY, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise BenchmarkError(f"a prediction failed: {answer.status}: {content!r}")
    return json.loads(content)["model_version"]


@contextlib.contextmanager
def _running(deployment: Deployment) -> Iterator[int]:
    """Run a server; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = [part.replace("{port}", str(port)) for part in deployment.command()]
    environment = clean_environment() | {"MODELD_RUNTIME_DIR": str(deployment.runtime)}
    path = deployment.folder / "server.log"
    with path.open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait(lambda: _is_up(process, port, path), "the server answering")
        yield port
    finally:
        process.terminate()
        process.wait(_PATIENCE_SECONDS)


def _is_up(process: "subprocess.Popen[bytes]", port: int, log: Path) -> bool:
    if process.poll() is not None:
        raise BenchmarkError(f"the server ended: {log.read_text()}")
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with contextlib.suppress(OSError, BenchmarkError), contextlib.closing(connection):
        return _answering(connection) == "v1"
    return False


def _wait(look: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not look():
        if time.monotonic() > end:
            raise BenchmarkError(f"not within {_PATIENCE_SECONDS:g} s: {what}")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
