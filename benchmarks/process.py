"""Run one server with all of its processes on its cores, and look at them from outside.

A server is measured only after it has answered every golden row with 200 and the right
prediction, and after its processes were seen to be where they should be.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from benchmarks.admin import Admin
from benchmarks.cases import MANY_ROWS, Case
from benchmarks.contenders import Contender
from benchmarks.errors import BenchmarkError
from benchmarks.load import Request
from benchmarks.places import clean_environment
from benchmarks.questions import ask, write_body

_START_SECONDS = 90.0
_PATIENCE_SECONDS = 5.0
_SETTLE_SECONDS = 120.0
_STOP_SECONDS = 30.0
_LOG_TAIL = 2000


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    contender: Contender
    process: psutil.Popen
    port: int
    start_seconds: float

    @property
    def admin(self) -> Admin:
        """The admin API, where the server is modeld."""
        return Admin(self.port)

    def tree(self) -> list[psutil.Process]:
        """Give all of its processes."""
        return [self.process, *self.process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Sum the processor time of all of its processes."""
        total = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory_mb(self) -> float:
        """Sum the proportional set sizes (PSS) of all of its processes, in 10⁶ bytes."""
        total = 0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += int(process.memory_full_info().pss)
        return total / 1e6

    def sharers(self) -> int:
        """Count the foreign processes that share its libraries, which makes its PSS too small."""
        ours = {os.getpid(), *(process.pid for process in self.tree())}
        pids = [pid for pid in psutil.pids() if pid not in ours]
        return sum(_maps_our_libraries(pid) for pid in pids)

    def request(self, case: Case) -> Request:
        """Write the body of a case to a file, and say where it goes."""
        path, text = write_body(self.contender, case)
        file = self.contender.folder / f"body-{case.rows}.json"
        file.write_text(text)
        return Request(f"http://127.0.0.1:{self.port}{path}", file)

    def check_answers(self) -> None:
        """Ask for every golden row, and raise `BenchmarkError` unless each answer is right."""
        model = self.contender.model
        for row, output in zip(model.samples.inputs, model.samples.outputs, strict=True):
            self._check([row], [output], 1)
        if any(case.rows == MANY_ROWS for case in self.contender.cases):
            self._check(model.batch.inputs, model.batch.outputs, MANY_ROWS)

    def _check(self, rows: object, due: Collection[int], count: int) -> None:
        status, found = ask(self.contender, self.port, rows, count)
        if status != 200 or found != list(due):
            text = f"{self.contender}: status {status}, not the due predictions, for {rows!s:.200}"
            raise BenchmarkError(f"{text}: {found!s:.200}")

    def check_place(self, cpus: Collection[int]) -> None:
        """Raise `BenchmarkError` unless everything runs on the cores, and as it should."""
        self._settle()
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.cpu_affinity() != sorted(cpus):
                    raise BenchmarkError(f"{self.contender}: a process is not bound to its cores")

    def _settle(self) -> None:
        """Wait until modeld serves the version as it should: it compiles after the start."""
        due = self.contender.runs
        end = time.monotonic() + _SETTLE_SECONDS
        while due is not None and (found := self.admin.runs()) != due:
            why = self.admin.why_native()
            if time.monotonic() > end or (why and due.runtime != "native"):
                raise BenchmarkError(f"{self.contender}: {due} was due, found {found}: {why}")
            time.sleep(0.05)


def _maps_our_libraries(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return f"{sys.prefix}/lib" in Path(f"/proc/{pid}/maps").read_text(errors="replace")
    return False


@contextlib.contextmanager
def running(contender: Contender, cpus: Collection[int]) -> Iterator[Server]:
    """Start a server on its cores, check that it is right, and end it afterwards."""
    path = contender.folder / "server.log"
    with path.open("w+b") as log:
        port, spare = _free_ports()
        begun = time.monotonic()
        process = _launch(contender, (port, spare), cpus, log)
        try:
            _wait(contender, process, port, path)
            server = Server(contender, process, port, time.monotonic() - begun)
            server.check_answers()
            server.check_place(cpus)
            yield server
            server.check_answers()
        finally:
            _end(process)


def _launch(
    contender: Contender, ports: tuple[int, int], cpus: Collection[int], log: IO[bytes]
) -> psutil.Popen:
    def fill(text: str) -> str:
        return text.replace("{port}", str(ports[0])).replace("{spare}", str(ports[1]))

    environment = {name: fill(value) for name, value in contender.environment.items()}
    return psutil.Popen(
        ["taskset", "--cpu-list", ",".join(map(str, cpus)), *map(fill, contender.command)],
        cwd=contender.folder,
        env={**clean_environment(), **environment},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )


def _wait(contender: Contender, process: psutil.Popen, port: int, log: Path) -> None:
    """Wait for the first 200 to a prediction."""
    # Asking modeld whether it refused would slow its start down, so that comes late.
    patience, end = (time.monotonic() + seconds for seconds in (_PATIENCE_SECONDS, _START_SECONDS))
    row = contender.model.samples.inputs[0]
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            if ask(contender, port, [row], 1)[0] == 200:
                return
            if contender.runs and time.monotonic() > patience and Admin(port).has_refused():
                break
        time.sleep(0.02)
    tail = log.read_text(errors="replace")[-_LOG_TAIL:]
    raise BenchmarkError(f"{contender} did not start:\n{tail}")


def _end(process: psutil.Popen) -> None:
    """End a server; what is left of it after a while is killed."""
    family = process.children(recursive=True) if process.is_running() else []
    with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        process.terminate()
        process.wait(_STOP_SECONDS)
    for left in [process, *family]:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    psutil.wait_procs(family, timeout=_STOP_SECONDS)
    process.wait()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])


def two_cpus() -> tuple[int, int]:
    """Choose a core for the server and one for the load.

    Raises:
        BenchmarkError: this process may run on one core only, or the system cannot tell.
    """
    if not hasattr(os, "sched_getaffinity"):
        raise BenchmarkError("binding processes to cores needs Linux")
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise BenchmarkError("two cores are needed, one for the server and one for the load")
    return cpus[0], cpus[1]
