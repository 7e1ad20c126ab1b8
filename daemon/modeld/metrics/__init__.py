"""Turn the workers' slots and the control process's state into Prometheus metrics.

The only package that knows `prometheus_client`. Labels come from known versions alone,
so that no request can add a series.
"""

from collections.abc import Iterator

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from modeld.metrics import state, traffic
from modeld.metrics.report import SYNC_STATUSES, ReleaseLabels, Report

__all__ = ["SYNC_STATUSES", "ReleaseLabels", "Report", "render"]


class _Collected(Collector):
    """Gives a report to `prometheus_client`."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        report = self._report
        yield from traffic.predictions(report)
        yield from traffic.queues(report)
        yield traffic.http(report)
        yield from state.versions(report)
        yield from state.judgements(report)
        yield from state.workers(report)
        yield from state.configuration(report)


def render(report: Report) -> bytes:
    """Write a report in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(report))
    return generate_latest(registry)
