"""Run one server with all of its processes on one core, and look at them from outside.

A server is measured only after it has answered every golden row with 200 and the right
prediction, and after its processes were seen to be where they should be.
"""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from benchmarks.contenders import Contender, clean_environment
from benchmarks.errors import BenchmarkError

_START_SECONDS = 60.0
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
    def url(self) -> str:
        """Where it answers predictions."""
        return f"http://127.0.0.1:{self.port}/predict"

    def tree(self) -> list[psutil.Process]:
        """Give all of its processes."""
        return [self.process, *self.process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Sum the processor time of all of its processes."""
        times = [process.cpu_times() for process in self.tree()]
        return float(sum(time.user + time.system for time in times))

    def memory_mb(self) -> float:
        """Sum the proportional set sizes (PSS) of all of its processes, in 10⁶ bytes."""
        return sum(int(process.memory_full_info().pss) for process in self.tree()) / 1e6

    def sharers(self) -> int:
        """Count the foreign processes that share its libraries, which makes its PSS too small."""
        ours = {os.getpid(), *(process.pid for process in self.tree())}
        pids = [pid for pid in psutil.pids() if pid not in ours]
        return sum(_maps_our_libraries(pid) for pid in pids)

    def check_answers(self) -> None:
        """Ask for every golden row, and raise `BenchmarkError` unless each answer is right."""
        samples = self.contender.samples
        for row, output in zip(samples.inputs, samples.outputs, strict=True):
            status, body = self.post(row)
            if status != 200 or json.loads(body)["prediction"] != output:
                raise BenchmarkError(f"{self.contender.name}: {row}: {output} due, got {body!r}")

    def check_place(self, cpu: int) -> None:
        """Raise `BenchmarkError` unless everything runs on the core, and as it should."""
        for process in self.tree():
            if process.cpu_affinity() != [cpu]:
                raise BenchmarkError(f"{self.contender.name}: a process is not bound to core {cpu}")
        if self.contender.runs:
            self._check_runs()

    def _check_runs(self) -> None:
        status = json.loads(self._request("GET", "/admin/status", None)[1])
        (release,) = status["models"]["default"]["loaded"]
        if release["runs"] != self.contender.runs or len(status["processes"]["workers"]) != 1:
            raise BenchmarkError(
                f"{self.contender.name}: expected one worker and a model {self.contender.runs}, "
                f"found {release['runs']}: {release['why_not_in_the_workers']}"
            )

    def post(self, row: tuple[float, ...]) -> tuple[int, bytes]:
        """Ask for the prediction of one row; gives the status and the body."""
        return self._request("POST", "/predict", body_of(row))

    def _request(self, method: str, target: str, body: str | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            headers = {"Content-Type": "application/json"} if body else {}
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()


def _maps_our_libraries(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return f"{sys.prefix}/lib" in Path(f"/proc/{pid}/maps").read_text(errors="replace")
    return False


def body_of(row: tuple[float, ...]) -> str:
    """Write the body of a request for one row."""
    return json.dumps({"features": row})


@contextlib.contextmanager
def running(contender: Contender, cpu: int) -> Iterator[Server]:
    """Start a server on one core, check that it is right, and end it afterwards."""
    path = contender.folder / "server.log"
    with path.open("w+b") as log:
        port = _free_port()
        begun = time.monotonic()
        process = _launch(contender, port, cpu, log)
        try:
            _wait(contender, process, port, path)
            server = Server(contender, process, port, time.monotonic() - begun)
            server.check_answers()
            server.check_place(cpu)
            yield server
            server.check_answers()
        finally:
            _end(process)


def _launch(contender: Contender, port: int, cpu: int, log: IO[bytes]) -> psutil.Popen:
    return psutil.Popen(
        ["taskset", "--cpu-list", str(cpu), *contender.command, str(port)],
        cwd=contender.folder,
        env={**clean_environment(), **contender.environment},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )


def _wait(contender: Contender, process: psutil.Popen, port: int, log: Path) -> None:
    """Wait for the first 200 to a prediction."""
    end = time.monotonic() + _START_SECONDS
    server = Server(contender, process, port, 0.0)
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if server.post(contender.samples.inputs[0])[0] == 200:
                return
        time.sleep(0.02)
    tail = log.read_text(errors="replace")[-_LOG_TAIL:]
    raise BenchmarkError(f"{contender.name} did not start:\n{tail}")


def _end(process: psutil.Popen) -> None:
    """End a server; what is left of it after a while is killed."""
    family = process.children(recursive=True) if process.is_running() else []
    process.terminate()
    with contextlib.suppress(psutil.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    for left in [process, *family]:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    psutil.wait_procs(family, timeout=_STOP_SECONDS)
    process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


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
