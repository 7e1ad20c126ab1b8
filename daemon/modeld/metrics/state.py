"""What the control process knows: versions, judgements, processes, and the wish."""

from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from modeld import __version__
from modeld.domain import DEFAULT_MODEL
from modeld.metrics.report import (
    EVIDENCE_SIGNALS,
    FEEDBACK_OUTCOMES,
    ROLLBACK_TRIGGERS,
    SYNC_STATUSES,
    Report,
)
from modeld.metrics.traffic import add_histogram


def versions(report: Report) -> Iterator[Metric]:
    """Give which versions are live and loaded."""
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


def judgements(report: Report) -> Iterator[Metric]:
    """Give what takes a version out of traffic, or lets it in step by step."""
    holds = GaugeMetricFamily(
        "modeld_hold_active", "Whether a version of the model is held.", labels=["model"]
    )
    percent = GaugeMetricFamily(
        "modeld_canary_percent", "Share of the traffic that a canary gets.", labels=["model"]
    )
    evidence = GaugeMetricFamily(
        "modeld_canary_evidence",
        "Evidence that a canary is worse, as an e-value.",
        labels=["model", "signal"],
    )
    feedback = CounterMetricFamily(
        "modeld_feedback",
        "Answers that feedback found right or wrong.",
        labels=["model", "version", "outcome"],
    )
    for model in sorted({DEFAULT_MODEL, *report.holds, *(each.model for each in report.active)}):
        holds.add_metric([model], int(report.holds.get(model, 0) > 0))
        percent.add_metric([model], 0)
        for signal in EVIDENCE_SIGNALS:
            evidence.add_metric([model, signal], 0)
    for version in report.active:
        for outcome in FEEDBACK_OUTCOMES:
            feedback.add_metric([version.model, version.version, outcome], 0)
    rollbacks = CounterMetricFamily(
        "modeld_rollbacks", "Times that somebody or something went back.", labels=["trigger"]
    )
    for trigger in ROLLBACK_TRIGGERS:
        rollbacks.add_metric([trigger], report.rollbacks.get(trigger, 0))
    yield from (holds, percent, evidence, feedback, rollbacks)


def workers(report: Report) -> Iterator[Metric]:
    """Give how the processes are."""
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
        add_histogram(stalls, [str(number)], slots.stalls())
        connections.add_metric([str(number)], max(slots.connections, 0))
    resident = GaugeMetricFamily(
        "modeld_resident_bytes", "Resident memory by process role.", labels=["role"]
    )
    for role, size in report.resident.items():
        resident.add_metric([role], size)
    restarts = CounterMetricFamily("modeld_worker_restarts", "Workers that were replaced.")
    restarts.add_metric([], report.worker_restarts)
    hosts = CounterMetricFamily("modeld_host_restarts", "Hosts that died and were replaced.")
    hosts.add_metric([], report.host_restarts)
    build = GaugeMetricFamily("modeld_build_info", "The version of modeld.", labels=["version"])
    build.add_metric([__version__], 1)
    yield from (lag, stalls, connections, resident, restarts, hosts, build)


def configuration(report: Report) -> Iterator[Metric]:
    """Give how far the wish has come."""
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
    yield from (reloads, generation, status, _watching(report))
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


def _watching(report: Report) -> Metric:
    missed = CounterMetricFamily(
        "modeld_watch_missed", "Changes of the wish that no event of the file system told of."
    )
    missed.add_metric([], report.watch_missed)
    return missed


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
