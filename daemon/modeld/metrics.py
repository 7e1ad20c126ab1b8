"""Turn the workers' slots and the control process's state into Prometheus metrics.

The only module that knows `prometheus_client`. Labels come from known versions alone,
so that no request can add a series.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from modeld import __version__
from modeld.domain import ModelVersion
from modeld.slots import (
    BUCKETS,
    ERROR_CODES,
    METHODS,
    OUTCOMES,
    ROUTES,
    STATUSES,
    Histogram,
    Slots,
    http_slot,
)

SYNC_STATUSES = (
    "Missing", "Invalid", "Frozen", "Held", "Overridden", "Progressing", "OutOfSync", "Synced",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReleaseLabels:
    """Whose predictions are counted at a slot."""

    model: str
    version: str
    runtime: str
    slot: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is shown, read at one moment. Times in seconds, sizes in bytes."""

    slots: tuple[Slots, ...]
    releases: tuple[ReleaseLabels, ...]
    active: Mapping[ModelVersion, bool]
    loaded: int
    load_seconds: Mapping[ModelVersion, float]
    resident: Mapping[str, int]
    reloads: Mapping[str, int]
    last_reload_ok: bool
    last_success: float
    generations: Mapping[str, int]
    sync: str
    is_fallback: bool
    is_admin_open: bool
    worker_restarts: int


class _Collected(Collector):
    """Gives a report to `prometheus_client`."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        report = self._report
        yield from _predictions(report)
        yield from _queues(report)
        yield _http(report)
        yield from _versions(report)
        yield from _workers(report)
        yield from _configuration(report)


def render(report: Report) -> bytes:
    """Write a report in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(report))
    return generate_latest(registry)


def _predictions(report: Report) -> Iterator[Metric]:
    latency = HistogramMetricFamily(
        "model_inference_latency_seconds",
        "Time from a prediction's decoded head to its encoded answer.",
        labels=["model", "version", "runtime"],
    )
    requests = CounterMetricFamily(
        "model_prediction_requests",
        "Predictions by the version that answered and how they ended.",
        labels=["model", "version", "outcome"],
    )
    errors = CounterMetricFamily(
        "model_prediction_errors",
        "Predictions that failed, by the code of the error.",
        labels=["model", "version", "code"],
    )
    for labels in report.releases:
        histogram = _sum([slots.histogram(labels.slot) for slots in report.slots])
        _add(latency, [labels.model, labels.version, labels.runtime], histogram)
    for version, blocks in _blocks(report).items():
        names = [version.model, version.version]
        outcomes = _columns([slots.outcomes(slot) for slots, slot in blocks])
        for outcome, value in zip(OUTCOMES, outcomes, strict=True):
            requests.add_metric([*names, outcome], value)
        failed = _columns([slots.errors(slot) for slots, slot in blocks])
        for code, value in zip(ERROR_CODES, failed, strict=True):
            errors.add_metric([*names, code], value)
    yield from (latency, requests, errors)


def _blocks(report: Report) -> dict[ModelVersion, list[tuple[Slots, int]]]:
    """Find where each version is counted: once per worker and per way that it ran."""
    found: dict[ModelVersion, list[tuple[Slots, int]]] = {}
    for labels in report.releases:
        version = ModelVersion(labels.model, labels.version)
        found.setdefault(version, []).extend((slots, labels.slot) for slots in report.slots)
    return found


def _queues(report: Report) -> Iterator[Metric]:
    queue = HistogramMetricFamily(
        "modeld_queue_seconds",
        "Time that requests waited for their version's host.",
        labels=["model", "version"],
    )
    batches = CounterMetricFamily(
        "modeld_batches", "Batches sent to a version's host.", labels=["model", "version"]
    )
    rows = CounterMetricFamily(
        "modeld_batch_rows", "Rows in those batches.", labels=["model", "version"]
    )
    for version, blocks in _blocks(report).items():
        names = [version.model, version.version]
        _add(queue, names, _sum([slots.queue_histogram(slot) for slots, slot in blocks]))
        sent, sent_rows = _columns([slots.batches(slot) for slots, slot in blocks])
        batches.add_metric(names, sent)
        rows.add_metric(names, sent_rows)
    yield from (queue, batches, rows)


def _http(report: Report) -> Metric:
    family = HistogramMetricFamily(
        "modeld_http_request_seconds",
        "Time to answer HTTP requests.",
        labels=["route", "method", "status"],
    )
    for route in ROUTES:
        for method in METHODS:
            for status in STATUSES:
                slot = http_slot(route, method, status)
                histogram = _sum([slots.histogram(slot) for slots in report.slots])
                if any(histogram.counts):
                    _add(family, [route, method, str(status or "other")], histogram)
    return family


def _versions(report: Report) -> Iterator[Metric]:
    active = GaugeMetricFamily(
        "model_version_active", "Whether this version is live.", labels=["model", "version"]
    )
    for version, is_live in report.active.items():
        active.add_metric([version.model, version.version], int(is_live))
    seconds = GaugeMetricFamily(
        "modeld_load_seconds",
        "Time that it took to open and try a loaded version.",
        labels=["model", "version"],
    )
    for version, value in report.load_seconds.items():
        seconds.add_metric([version.model, version.version], value)
    loaded = GaugeMetricFamily("modeld_loaded_versions", "Versions that are loaded.")
    loaded.add_metric([], report.loaded)
    yield from (active, seconds, loaded)


def _workers(report: Report) -> Iterator[Metric]:
    lag = GaugeMetricFamily(
        "modeld_event_loop_lag_seconds",
        "How late the last heartbeat of a worker was.",
        labels=["worker"],
    )
    stalls = HistogramMetricFamily(
        "modeld_event_loop_stall_seconds",
        "How late the ticks of a worker's event loop were, 50 a second.",
        labels=["worker"],
    )
    connections = GaugeMetricFamily(
        "modeld_connections", "Open connections of a worker.", labels=["worker"]
    )
    for number, slots in enumerate(report.slots):
        lag.add_metric([str(number)], slots.lag)
        _add(stalls, [str(number)], slots.stalls())
        connections.add_metric([str(number)], max(slots.connections, 0))
    resident = GaugeMetricFamily(
        "modeld_resident_bytes", "Resident memory by process role.", labels=["role"]
    )
    for role, size in report.resident.items():
        resident.add_metric([role], size)
    restarts = CounterMetricFamily("modeld_worker_restarts", "Workers that were replaced.")
    restarts.add_metric([], report.worker_restarts)
    build = GaugeMetricFamily("modeld_build_info", "The version of modeld.", labels=["version"])
    build.add_metric([__version__], 1)
    yield from (lag, stalls, connections, resident, restarts, build)


def _configuration(report: Report) -> Iterator[Metric]:
    reloads = CounterMetricFamily(
        "modeld_config_reloads", "Wishes that were tried, by result.", labels=["result"]
    )
    for result, count in report.reloads.items():
        reloads.add_metric([result], count)
    generation = GaugeMetricFamily(
        "modeld_config_generation", "Number of the newest wish.", labels=["kind"]
    )
    for kind, number in report.generations.items():
        generation.add_metric([kind], number)
    status = GaugeMetricFamily(
        "modeld_sync_status", "How the wish and what runs compare.", labels=["status"]
    )
    for name in SYNC_STATUSES:
        status.add_metric([name], int(name == report.sync))
    yield from (reloads, generation, status)
    yield from (
        _gauge(
            "modeld_config_last_reload_successful",
            "Whether the newest wish was applied.",
            int(report.last_reload_ok),
        ),
        _gauge(
            "modeld_config_last_reload_success_timestamp_seconds",
            "When a wish was last applied.",
            report.last_success,
        ),
        _gauge(
            "modeld_serving_fallback",
            "Whether an earlier wish is served because the newest cannot be.",
            int(report.is_fallback),
        ),
        _gauge(
            "modeld_admin_open",
            "Whether local callers may use the admin API without a token.",
            int(report.is_admin_open),
        ),
    )


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)


def _sum(histograms: Sequence[Histogram]) -> Histogram:
    counts = _columns([histogram.counts for histogram in histograms])
    return Histogram(tuple(counts), sum(histogram.total for histogram in histograms))


def _columns(rows: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=True)]


def _add(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    buckets, total = [], 0
    for bound, count in zip((*BUCKETS, float("inf")), histogram.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
    family.add_metric(labels, buckets=buckets, sum_value=histogram.total)
