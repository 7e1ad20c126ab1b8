"""Read from the workers' slots how many requests each version answered, and how fast.

Counts are since the start. Latencies are those of the last seconds: the difference between
the histograms of now and then, since nobody who looks at a server wants to know how quick it
was last week.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from modeld.domain import ModelVersion
from modeld.slots import BUCKETS, OUTCOMES, Slots

WINDOW_SECONDS = 10.0

MetricSlots = Mapping[tuple[ModelVersion, str], int]


@dataclass(frozen=True, slots=True)
class Counts:
    """What one version has done since the start; `latencies` per bucket of `slots`."""

    outcomes: tuple[int, ...]
    latencies: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """What all versions had done at one moment, in seconds since the epoch."""

    at: float
    counts: Mapping[ModelVersion, Counts]


class Traffic:
    """The samples of the last seconds."""

    def __init__(
        self,
        slots: Callable[[], Sequence[Slots]],
        metric_slots: Callable[[], MetricSlots],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._slots = slots
        self._metric_slots = metric_slots
        self._clock = clock
        self._samples: deque[Sample] = deque()

    def document(self) -> dict[str, Any]:
        """Take a sample and compare it with the oldest one that is new enough."""
        now = Sample(self._clock(), read_counts(self._slots(), self._metric_slots()))
        self._samples.append(now)
        while now.at - self._samples[0].at > WINDOW_SECONDS:
            self._samples.popleft()
        return traffic_document(self._samples[0], now)


def read_counts(slots: Sequence[Slots], metric_slots: MetricSlots) -> Mapping[ModelVersion, Counts]:
    """Add up workers, and the ways in which a version ran."""
    found: dict[ModelVersion, list[Counts]] = {}
    for (version, _), slot in metric_slots.items():
        found.setdefault(version, []).extend(
            Counts(each.outcomes(slot), each.histogram(slot).counts) for each in slots
        )
    return {version: _sum(parts) for version, parts in found.items() if parts}


def _sum(parts: Sequence[Counts]) -> Counts:
    return Counts(
        tuple(map(sum, zip(*(part.outcomes for part in parts), strict=True))),
        tuple(map(sum, zip(*(part.latencies for part in parts), strict=True))),
    )


def traffic_document(then: Sample, now: Sample) -> dict[str, Any]:
    """Write what was answered, for JSON; versions that never were asked are left out."""
    return {
        "at": now.at,
        "window_seconds": round(now.at - then.at, 3),
        "versions": [
            _version(version, then.counts.get(version), counts)
            for version, counts in now.counts.items()
            if any(counts.outcomes)
        ],
    }


def _version(version: ModelVersion, then: Counts | None, now: Counts) -> dict[str, Any]:
    before = then.latencies if then else (0,) * len(now.latencies)
    latencies = [new - old for new, old in zip(now.latencies, before, strict=True)]
    return {
        "model": version.model,
        "version": version.version,
        **dict(zip(OUTCOMES, now.outcomes, strict=True)),
        "p50_ms": _milliseconds(quantile(latencies, 0.5)),
        "p99_ms": _milliseconds(quantile(latencies, 0.99)),
    }


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Estimate a quantile in seconds: evenly spread inside a bucket, `None` of nothing."""
    wanted = share * sum(counts)
    if not wanted:
        return None
    below = 0
    for (low, high), count in zip(pairwise((0.0, *BUCKETS)), counts, strict=False):
        if count and below + count >= wanted:
            return low + (high - low) * (wanted - below) / count
        below += count
    return BUCKETS[-1]


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 4)
