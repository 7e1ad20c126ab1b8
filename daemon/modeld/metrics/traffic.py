"""What the workers counted: predictions, queues and requests, summed over their slots."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from modeld.domain import ModelVersion
from modeld.metrics.report import Report
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


def predictions(report: Report) -> Iterator[Metric]:
    """Give latency, requests and errors by version."""
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
        add_histogram(latency, [labels.model, labels.version, labels.runtime], histogram)
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


def queues(report: Report) -> Iterator[Metric]:
    """Give what waits and runs, by version."""
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
    running = GaugeMetricFamily(
        "modeld_in_flight",
        "Requests that are being answered, as of the last second.",
        labels=["model", "version"],
    )
    for version, blocks in _blocks(report).items():
        names = [version.model, version.version]
        running.add_metric(names, sum(slots.in_flight(slot) for slots, slot in blocks))
        add_histogram(queue, names, _sum([slots.queue_histogram(slot) for slots, slot in blocks]))
        sent, sent_rows = _columns([slots.batches(slot) for slots, slot in blocks])
        batches.add_metric(names, sent)
        rows.add_metric(names, sent_rows)
    yield from (queue, batches, rows, running)


def http(report: Report) -> Metric:
    """Give the requests that were answered, by route, method and status."""
    family = HistogramMetricFamily(
        "modeld_http_request_seconds",
        "Time to answer HTTP requests.",
        labels=["route", "method", "status"],
    )
    for route in ROUTES:
        for method in METHODS:
            for status in STATUSES:
                slot = http_slot(route, method, status)
                if any(slots.has_seen(slot) for slots in report.slots):
                    histogram = _sum([slots.histogram(slot) for slots in report.slots])
                    add_histogram(family, [route, method, str(status or "other")], histogram)
    return family


def _sum(histograms: Sequence[Histogram]) -> Histogram:
    counts = _columns([histogram.counts for histogram in histograms])
    return Histogram(tuple(counts), sum(histogram.total for histogram in histograms))


def _columns(rows: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=True)]


def add_histogram(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    """Add a series whose buckets are counted up."""
    buckets, total = [], 0
    for bound, count in zip((*BUCKETS, float("inf")), histogram.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
    family.add_metric(labels, buckets=buckets, sum_value=histogram.total)
