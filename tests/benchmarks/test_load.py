"""What wrk says, and what it may be asked."""

import json
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.load import Load, Request, put_load, read_result

FOUND = {
    "requests": 3000,
    "duration_us": 2_000_000,
    "p50_us": 1500,
    "p99_us": 2500,
    "max_us": 9000,
    **dict.fromkeys(("connect", "read", "write", "timeout", "status"), 0),
}


def test_the_last_line_is_read() -> None:
    found = read_result(f"Running 2s test\n{json.dumps(FOUND)}\n")

    assert found == Load(3000, 1500.0, 1.5, 2.5, 9.0)


@pytest.mark.parametrize("kind", ["connect", "read", "write", "timeout", "status"])
def test_any_failure_voids_the_measurement(kind: str) -> None:
    with pytest.raises(BenchmarkError, match=f"1 × {kind}"):
        read_result(json.dumps(FOUND | {kind: 1}))


def test_no_answer_is_no_measurement() -> None:
    with pytest.raises(BenchmarkError, match="not one request"):
        read_result(json.dumps(FOUND | {"requests": 0}))


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org", "localhost"])
def test_load_is_put_on_loopback_addresses_only(host: str) -> None:
    request = Request(f"http://{host}:80/predict", Path("/dev/null"))

    with pytest.raises(BenchmarkError, match="loopback"):
        put_load(request, connections=1, seconds=1, cpus=[0])
