"""Put load on a server with wrk, from a core of its own.

wrk runs a closed loop: each connection sends its next request when it has the answer to
the last one. Whatever fails during a measurement voids the run: a server that refuses
requests is faster than one that answers them.
"""

import ipaddress
import json
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.errors import BenchmarkError

_SCRIPT = Path(__file__).with_name("wrk.lua")
_GRACE_SECONDS = 30
_ERRORS = ("connect", "read", "write", "timeout", "status")
_PATIENCE = "20s"  # a slow answer is slow, not lost; wrk's own limit is 2 s


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk measured."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent again and again: where to, and the file that has the body."""

    url: str
    body: Path


def check_wrk() -> None:
    """Raise `BenchmarkError` if there is no wrk on this machine."""
    if shutil.which("wrk") is None:
        raise BenchmarkError("wrk is not installed; on Debian: apt-get install wrk")


def put_load(request: Request, *, connections: int, seconds: int, cpus: Collection[int]) -> Load:
    """Send the same request again and again for some seconds.

    Raises:
        BenchmarkError: the target is another machine, or a request failed.
    """
    _check_loopback(request.url)
    pace = (f"--connections={connections}", f"--duration={seconds}s", f"--timeout={_PATIENCE}")
    script = (f"--script={_SCRIPT}", request.url, "--", str(request.body))
    done = subprocess.run(
        ["taskset", "--cpu-list", ",".join(map(str, cpus)), "wrk", "--threads=1", *pace, *script],
        capture_output=True,
        text=True,
        timeout=seconds + _GRACE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return read_result(done.stdout)


def read_result(output: str) -> Load:
    """Read the line that `wrk.lua` prints last."""
    found: dict[str, int] = json.loads(output.splitlines()[-1])
    wrong = {kind: found[kind] for kind in _ERRORS if found[kind]}
    if wrong:
        counts = ", ".join(f"{count} × {kind}" for kind, count in wrong.items())
        raise BenchmarkError(f"errors among {found['requests']} requests: {counts}")
    if not found["requests"]:
        raise BenchmarkError("not one request was answered")
    return Load(
        found["requests"],
        found["requests"] / (found["duration_us"] / 1e6),
        found["p50_us"] / 1e3,
        found["p99_us"] / 1e3,
        found["max_us"] / 1e3,
    )


def _check_loopback(url: str) -> None:
    host = urlsplit(url).hostname or ""
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise BenchmarkError(f"{url}: load is put on this machine's loopback addresses only")
