import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from modeld import __version__
from modeld.domain import ModelVersion
from modeld.metrics import SYNC_STATUSES, ReleaseLabels, Report, render
from modeld.slots import BUCKETS, ERROR_CODES, OUTCOMES, Slots, create_file, http_slot, release_slot

V1, V2 = ModelVersion("default", "v1"), ModelVersion("default", "v2")
Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


@pytest.fixture
def workers() -> Iterator[tuple[Slots, Slots]]:
    descriptors = create_file(), create_file()
    yield Slots(descriptors[0]), Slots(descriptors[1])
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.fixture
def report(workers: tuple[Slots, Slots]) -> Report:
    return Report(
        slots=workers,
        releases=(
            ReleaseLabels("default", "v1", "native", release_slot(0)),
            ReleaseLabels("default", "v2", "onnx", release_slot(1)),
        ),
        active={V1: True, V2: False},
        loaded=2,
        load_seconds={V1: 0.5, V2: 1.5},
        resident={"control": 1000, "worker": 2000},
        reloads={"applied": 3, "invalid": 1},
        last_reload_ok=True,
        last_success=1700000000.0,
        generations={"observed": 4, "attempted": 4, "applied": 3},
        sync="Synced",
        is_fallback=False,
        is_admin_open=True,
        worker_restarts=1,
        host_restarts=4,
        watch_missed=2,
        holds={"default": 1},
        rollbacks={"call": 3},
    )


def read(report: Report) -> Samples:
    """Parse the text as Prometheus would; a series that comes twice is an error."""
    found: Samples = {}
    for family in text_string_to_metric_families(render(report).decode()):
        assert family.documentation, family.name
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            series = found.setdefault(sample.name, {})
            assert labels not in series, f"{sample.name} {sample.labels} comes twice"
            series[labels] = sample.value
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name][frozenset(labels.items())]


def test_the_counts_of_all_workers_are_added(workers: tuple[Slots, Slots], report: Report) -> None:
    for slots in workers:
        slots.ok(release_slot(0), 0.0002)
        slots.ok(release_slot(0), 3.0)
        slots.failed(release_slot(0), "wrong_shape", is_client_error=True)
    workers[1].failed(release_slot(0), "model_error", is_client_error=False)

    samples = read(report)

    labels = {"model": "default", "version": "v1"}
    requests = "model_prediction_requests_total"
    assert value(samples, requests, outcome="ok", **labels) == 4
    assert value(samples, requests, outcome="client_error", **labels) == 2
    assert value(samples, requests, outcome="server_error", **labels) == 1
    errors = "model_prediction_errors_total"
    assert value(samples, errors, code="wrong_shape", **labels) == 2
    assert value(samples, errors, code="model_error", **labels) == 1
    assert value(samples, errors, code="overloaded", **labels) == 0
    latency = "model_inference_latency_seconds"
    assert value(samples, f"{latency}_count", runtime="native", **labels) == 4
    assert value(samples, f"{latency}_sum", runtime="native", **labels) == pytest.approx(6.0004)


def test_buckets_are_cumulative_and_end_with_everything(
    workers: tuple[Slots, Slots], report: Report
) -> None:
    for seconds in (0.0, 0.00005, 0.0002, 99.0):
        workers[0].ok(release_slot(0), seconds)

    samples = read(report)["model_inference_latency_seconds_bucket"]

    by_bound = {
        float(dict(labels)["le"]): count
        for labels, count in samples.items()
        if dict(labels)["version"] == "v1"
    }
    assert sorted(by_bound) == [*BUCKETS, float("inf")]
    assert [by_bound[bound] for bound in (0.00005, 0.0001, 0.00025, 10.0, float("inf"))] == [
        *(2, 2, 3, 3, 4)
    ]


def test_queues_and_batches_are_counted_by_version(
    workers: tuple[Slots, Slots], report: Report
) -> None:
    workers[0].queued(release_slot(1), 0.01)
    workers[1].batch(release_slot(1), 30)
    workers[1].batch(release_slot(1), 2)

    samples = read(report)

    labels = {"model": "default", "version": "v2"}
    assert value(samples, "modeld_queue_seconds_count", **labels) == 1
    assert value(samples, "modeld_batches_total", **labels) == 2
    assert value(samples, "modeld_batch_rows_total", **labels) == 32


def test_requests_are_shown_by_route_method_and_status(
    workers: tuple[Slots, Slots], report: Report
) -> None:
    workers[0].observe(http_slot("/predict", "POST", 200), 0.1)
    workers[1].observe(http_slot("/predict", "POST", 200), 0.1)
    workers[1].observe(http_slot("/secret/path", "BREW", 418), 0.1)

    counts = read(report)["modeld_http_request_seconds_count"]

    assert counts == {
        frozenset({("route", "/predict"), ("method", "POST"), ("status", "200")}): 2,
        frozenset({("route", "other"), ("method", "other"), ("status", "other")}): 1,
    }


def test_a_version_that_ran_in_two_ways_has_one_count_of_its_requests(
    workers: tuple[Slots, Slots], report: Report
) -> None:
    """Prometheus refuses a whole page where one series comes twice."""
    again = ReleaseLabels("default", "v1", "onnx", release_slot(2))
    workers[0].ok(release_slot(0), 0.1)
    workers[0].ok(release_slot(2), 0.1)
    workers[0].batch(release_slot(2), 3)
    workers[0].queued(release_slot(0), 0.1)
    workers[0].queued(release_slot(2), 0.1)

    samples = read(replace(report, releases=(*report.releases, again)))

    labels = {"model": "default", "version": "v1"}
    assert value(samples, "model_prediction_requests_total", outcome="ok", **labels) == 2
    assert value(samples, "modeld_queue_seconds_count", **labels) == 2
    assert value(samples, "modeld_batch_rows_total", **labels) == 3
    latency = samples["model_inference_latency_seconds_count"]
    assert sorted(dict(series)["runtime"] for series in latency) == ["native", "onnx", "onnx"]


def test_what_lives_is_shown(workers: tuple[Slots, Slots], report: Report) -> None:
    workers[0].set_lag(0.125)
    workers[1].stalled(0.03)
    workers[1].set_connections(7)
    workers[0].set_connections(-1)

    samples = read(report)

    assert value(samples, "model_version_active", model="default", version="v1") == 1
    assert value(samples, "model_version_active", model="default", version="v2") == 0
    assert value(samples, "modeld_load_seconds", model="default", version="v2") == 1.5
    assert value(samples, "modeld_loaded_versions") == 2
    assert value(samples, "modeld_event_loop_lag_seconds", worker="0") == 0.125
    name = "modeld_event_loop_stall_seconds"
    assert value(samples, f"{name}_bucket", worker="1", le="0.025") == 0
    assert value(samples, f"{name}_bucket", worker="1", le="0.05") == 1
    assert value(samples, f"{name}_count", worker="0") == 0
    assert value(samples, "modeld_connections", worker="0") == 0
    assert value(samples, "modeld_connections", worker="1") == 7
    assert value(samples, "modeld_resident_bytes", role="worker") == 2000
    assert value(samples, "modeld_worker_restarts_total") == 1
    assert value(samples, "modeld_host_restarts_total") == 4
    assert value(samples, "modeld_build_info", version=__version__) == 1


def test_what_is_being_answered_is_added(workers: tuple[Slots, Slots], report: Report) -> None:
    workers[0].note_in_flight({release_slot(1): 2})
    workers[1].note_in_flight({release_slot(1): 3})

    samples = read(report)

    assert value(samples, "modeld_in_flight", model="default", version="v2") == 5
    assert value(samples, "modeld_in_flight", model="default", version="v1") == 0


def test_holds_and_rollbacks_are_shown(report: Report) -> None:
    samples = read(replace(report, holds={"churn": 2}))

    assert value(samples, "modeld_hold_active", model="churn") == 1
    assert value(samples, "modeld_hold_active", model="default") == 0
    assert value(samples, "modeld_rollbacks_total", trigger="call") == 3
    assert value(samples, "modeld_rollbacks_total", trigger="guard") == 0


def test_what_no_canary_and_no_feedback_has_filled_reads_0(report: Report) -> None:
    samples = read(report)

    assert value(samples, "modeld_canary_percent", model="default") == 0
    assert value(samples, "modeld_canary_evidence", model="default", signal="errors") == 0
    labels = {"model": "default", "version": "v1", "outcome": "wrong"}
    assert value(samples, "modeld_feedback_total", **labels) == 0


def test_promtool_has_nothing_to_say(workers: tuple[Slots, Slots], report: Report) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("prometheus is not installed")
    workers[0].ok(release_slot(0), 0.5)
    workers[0].observe(http_slot("/predict", "POST", 200), 0.1)

    done = subprocess.run(
        ["promtool", "check", "metrics"], input=render(report), capture_output=True, check=False
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_the_wish_is_shown(report: Report) -> None:
    samples = read(report)

    assert value(samples, "modeld_config_reloads_total", result="applied") == 3
    assert value(samples, "modeld_config_reloads_total", result="invalid") == 1
    assert value(samples, "modeld_config_generation", kind="applied") == 3
    assert value(samples, "modeld_config_last_reload_successful") == 1
    name = "modeld_config_last_reload_success_timestamp_seconds"
    assert value(samples, name) == 1700000000.0
    assert value(samples, "modeld_serving_fallback") == 0
    assert value(samples, "modeld_admin_open") == 1
    assert value(samples, "modeld_watch_missed_total") == 2


@pytest.mark.parametrize("status", SYNC_STATUSES)
def test_one_sync_status_holds(report: Report, status: str) -> None:
    shown = read(replace(report, sync=status))["modeld_sync_status"]

    assert {dict(labels)["status"] for labels, held in shown.items() if held} == {status}
    assert len(shown) == len(SYNC_STATUSES)


def test_a_server_that_serves_nothing_yet_has_metrics_too(report: Report) -> None:
    nothing = replace(
        report, releases=(), active={}, loaded=0, load_seconds={}, resident={}, reloads={}
    )

    samples = read(nothing)

    assert value(samples, "modeld_loaded_versions") == 0
    assert "model_prediction_requests_total" not in samples


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "ü"])
def test_names_are_escaped(report: Report, name: str) -> None:
    """They cannot be like that; the text must not break if they are."""
    samples = read(replace(report, active={ModelVersion(name, "v1"): True}))

    assert value(samples, "model_version_active", model=name, version="v1") == 1


def count_series(report: Report) -> int:
    return sum(len(series) for series in read(report).values())


def everything(slots: Slots, codes: Callable[[int], str]) -> None:
    for number in range(200):
        slots.failed(release_slot(0), codes(number), is_client_error=True)
        slots.observe(http_slot(f"/path/{number}", f"M{number}", number), 0.1)


def test_no_request_adds_a_series_without_bound(
    workers: tuple[Slots, Slots], report: Report
) -> None:
    everything(workers[0], str)
    before = count_series(report)

    everything(workers[1], lambda number: f"code_{number}")

    assert count_series(report) == before


def test_every_outcome_and_code_is_there_from_the_start(report: Report) -> None:
    """A rate over a series that appears with its first error misses that error."""
    samples: Any = read(report)

    assert len(samples["model_prediction_requests_total"]) == 2 * len(OUTCOMES)
    assert len(samples["model_prediction_errors_total"]) == 2 * len(ERROR_CODES)


@pytest.mark.serial
def test_twenty_versions_are_shown_within_50_ms(
    workers: tuple[Slots, Slots], report: Report
) -> None:
    """Measured in this thread's own time, to which other processes add nothing."""
    names = [f"v{number}" for number in range(20)]
    many = replace(
        report,
        slots=workers * 2,
        releases=tuple(
            ReleaseLabels("default", name, "native", release_slot(index))
            for index, name in enumerate(names)
        ),
        active={ModelVersion("default", name): name == "v0" for name in names},
    )

    seconds = []
    for _ in range(5):
        began = time.thread_time()
        render(many)
        seconds.append(time.thread_time() - began)

    assert min(seconds) < 0.05, seconds
