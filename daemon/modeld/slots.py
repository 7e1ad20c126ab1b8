"""Count without locks: 8-byte slots in one mapped file per worker slot.

A worker is the only writer of its file and the control process reads it, so nothing
is locked and a dead worker's counts stay. Which slot means what is arithmetic that
both sides share: a fixed part for HTTP and the worker itself, then one block for each
release, whose first slot the snapshot carries.

Counts are unsigned integers, sums and gauges are doubles.
"""

import mmap
import os
import tempfile
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

BUCKETS = (
    0.00005,
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
)
OUTCOMES = ("ok", "client_error", "server_error")
ERROR_CODES = (
    "model_error",
    "model_crashed",
    "model_output_invalid",
    "deadline_exceeded",
    "overloaded",
    "wrong_shape",
    "wrong_type",
    "out_of_range",
    "missing_field",
    "unknown_field",
    "empty_batch",
    "too_many_rows",
    "no_probabilities",
    "other",
)
ROUTES = ("/predict", "/healthz", "/readyz", "/metrics", "/admin", "other")
METHODS = ("GET", "POST", "other")
STATUSES = (
    *(200, 202, 400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 417, 422, 431),
    *(500, 502, 503, 504, 0),
)

_HISTOGRAM = len(BUCKETS) + 2  # one count per bucket, one above the last, the sum
_SUM = _HISTOGRAM - 1
_OUTCOMES = 2 * _HISTOGRAM
_RELEASE = _HISTOGRAM * 2 + len(OUTCOMES) + len(ERROR_CODES) + 3
_BATCHES, _ROWS, _IN_FLIGHT = _RELEASE - 3, _RELEASE - 2, _RELEASE - 1
_GAUGES = 2
_STALLS = _GAUGES
_HTTP = _STALLS + _HISTOGRAM
_FIRST_RELEASE = _HTTP + len(ROUTES) * len(METHODS) * len(STATUSES) * _HISTOGRAM
CAPACITY = 1 << 17
_SIZE = CAPACITY * 8


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts per bucket (the last one is above every bound) and the sum of what was seen."""

    counts: tuple[int, ...]
    total: float


def release_slot(index: int) -> int:
    """Give the first slot of the `index`th release; the last block serves all that do not fit."""
    return _FIRST_RELEASE + min(index, release_capacity() - 1) * _RELEASE


def release_capacity() -> int:
    """How many releases have a block of their own."""
    return (CAPACITY - _FIRST_RELEASE) // _RELEASE


@lru_cache(maxsize=512)
def http_slot(route: str, method: str, status: int) -> int:
    """Give the first slot of the histogram for these labels."""
    route_index = ROUTES.index(route) if route in ROUTES else len(ROUTES) - 1
    method_index = METHODS.index(method) if method in METHODS else len(METHODS) - 1
    status_index = STATUSES.index(status) if status in STATUSES else len(STATUSES) - 1
    index = (route_index * len(METHODS) + method_index) * len(STATUSES) + status_index
    return _HTTP + index * _HISTOGRAM


def create_file() -> int:
    """Make the file of one worker slot; it has no name and ends with its last descriptor."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("modeld-metrics")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _SIZE)
    return descriptor


class Slots:
    """One worker slot's numbers, mapped."""

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, _SIZE)
        view = memoryview(self._map)
        self._counts = view.cast("Q")
        self._doubles = view.cast("d")
        self._busy: set[int] = set()

    # Writing

    def observe(self, slot: int, seconds: float) -> None:
        """Add one observation to the histogram that starts at `slot`."""
        self._counts[slot + bisect_left(BUCKETS, seconds)] += 1
        self._doubles[slot + _SUM] += seconds

    def ok(self, slot: int, seconds: float) -> None:
        """Count a prediction and its latency for the release at `slot`."""
        counts = self._counts
        counts[slot + bisect_left(BUCKETS, seconds)] += 1
        self._doubles[slot + _SUM] += seconds
        counts[slot + _OUTCOMES] += 1

    def queued(self, slot: int, seconds: float) -> None:
        """Note the time that a request of the release spent in the queue."""
        self.observe(slot + _HISTOGRAM, seconds)

    def failed(self, slot: int, code: str, *, is_client_error: bool) -> None:
        """Count a prediction that failed for the release at `slot`."""
        outcomes = slot + 2 * _HISTOGRAM
        self._counts[outcomes + (1 if is_client_error else 2)] += 1
        known = code if code in ERROR_CODES else "other"
        self._counts[outcomes + len(OUTCOMES) + ERROR_CODES.index(known)] += 1

    def batch(self, slot: int, rows: int) -> None:
        """Count a batch and its rows for the release at `slot`."""
        self._counts[slot + _BATCHES] += 1
        self._counts[slot + _ROWS] += rows

    def note_in_flight(self, counts: Mapping[int, int]) -> None:
        """Note how many requests of each release are being answered, by slot, and of no other."""
        for slot in self._busy - counts.keys():
            self._counts[slot + _IN_FLIGHT] = 0
        for slot, count in counts.items():
            self._counts[slot + _IN_FLIGHT] = count
        self._busy = set(counts)

    def clear_gauges(self) -> None:
        """Forget what was true of a worker while it lived; its counts stay."""
        self.set_lag(0.0)
        self.set_connections(-1)
        for index in range(release_capacity()):
            self._counts[release_slot(index) + _IN_FLIGHT] = 0

    def set_lag(self, seconds: float) -> None:
        """Note how late the worker's loop is."""
        self._doubles[0] = seconds

    def set_connections(self, count: int) -> None:
        """Note how many connections are open; -1 while the worker does not listen."""
        self._doubles[1] = float(count)

    def stalled(self, seconds: float) -> None:
        """Note for how long the worker's loop was held up."""
        self.observe(_STALLS, seconds)

    # Reading

    def histogram(self, slot: int) -> Histogram:
        """Read the histogram that starts at `slot`."""
        end = slot + _HISTOGRAM - 1
        return Histogram(tuple(self._counts[slot:end]), self._doubles[end])

    def has_seen(self, slot: int) -> bool:
        """Tell whether the histogram that starts at `slot` has any observation."""
        return any(self._counts[slot : slot + _SUM])

    def stalls(self) -> Histogram:
        """Read for how long the worker's loop was held up."""
        return self.histogram(_STALLS)

    def queue_histogram(self, slot: int) -> Histogram:
        """Read the queue times of the release at `slot`."""
        return self.histogram(slot + _HISTOGRAM)

    def outcomes(self, slot: int) -> tuple[int, ...]:
        """Read the counts of `OUTCOMES` of the release at `slot`."""
        start = slot + 2 * _HISTOGRAM
        return tuple(self._counts[start : start + len(OUTCOMES)])

    def errors(self, slot: int) -> tuple[int, ...]:
        """Read the counts of `ERROR_CODES` of the release at `slot`."""
        start = slot + 2 * _HISTOGRAM + len(OUTCOMES)
        return tuple(self._counts[start : start + len(ERROR_CODES)])

    def batches(self, slot: int) -> tuple[int, int]:
        """Read the numbers of batches and of their rows of the release at `slot`."""
        return self._counts[slot + _BATCHES], self._counts[slot + _ROWS]

    def in_flight(self, slot: int) -> int:
        """Read how many requests of the release at `slot` are being answered."""
        return self._counts[slot + _IN_FLIGHT]

    @property
    def lag(self) -> float:
        """How late the worker's loop is, in seconds."""
        return self._doubles[0]

    @property
    def connections(self) -> float:
        """How many connections are open; -1 while the worker does not listen."""
        return self._doubles[1]
