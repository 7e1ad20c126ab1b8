"""Send requests at a fixed pace, and time each from when it was due.

A closed loop hides a stall: while the server stalls, it sends nothing, and a hundred requests
that would have waited are never made. At a fixed pace they are made, late, and the wait
counts. The pace is low, so that this process in Python can hold it from one core.
"""

import http.client
import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

_ANSWER_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How often is asked: connections, requests a second on each, and for how long."""

    connections: int = 8
    per_second: int = 100
    seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Paced:
    """What came back: latencies in ms from when each request was due, and failures."""

    latencies_ms: tuple[float, ...]
    failures: int

    def percentile_ms(self, percent: float) -> float:
        """Give the latency that this share of the requests kept."""
        return percentile(self.latencies_ms, percent)


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the least value that `percent` of all values do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * percent // 100).__int__() - 1)]


def send_at_pace(port: int, body: str, pace: Pace) -> Paced:
    """Ask on all connections at once; the connections take turns within an interval."""
    begin = threading.Barrier(pace.connections)

    def ask(number: int) -> Paced:
        begin.wait()
        offset = number / (pace.connections * pace.per_second)
        return _ask_at_pace(port, body, pace, time.monotonic() + offset)

    with ThreadPoolExecutor(pace.connections) as pool:
        parts = list(pool.map(ask, range(pace.connections)))
    latencies = tuple(latency for part in parts for latency in part.latencies_ms)
    return Paced(latencies, sum(part.failures for part in parts))


def _ask_at_pace(port: int, body: str, pace: Pace, begin: float) -> Paced:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    latencies: list[float] = []
    failures = 0
    for number in range(int(pace.seconds * pace.per_second)):
        due = begin + number / pace.per_second
        time.sleep(max(0.0, due - time.monotonic()))
        failures += not _answers(connection, body)
        latencies.append((time.monotonic() - due) * 1e3)
    connection.close()
    return Paced(tuple(latencies), failures)


def _answers(connection: http.client.HTTPConnection, body: str) -> bool:
    try:
        connection.request("POST", "/predict", body)
        answer = connection.getresponse()
        content = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError):
        connection.close()
        return False
    return answer.status == 200 and "prediction" in content
