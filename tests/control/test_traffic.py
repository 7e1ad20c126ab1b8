import os
from collections.abc import Iterator

import pytest

from modeld.control.traffic import WINDOW_SECONDS, Traffic, quantile
from modeld.domain import ModelVersion
from modeld.slots import BUCKETS, Slots, create_file, release_slot

V1 = ModelVersion("default", "v1")


@pytest.fixture
def slots() -> Iterator[Slots]:
    descriptor = create_file()
    yield Slots(descriptor)
    os.close(descriptor)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_ways_in_which_a_version_ran_and_workers_are_added_up(slots: Slots) -> None:
    ways = {(V1, "native"): release_slot(0), (V1, "compiled"): release_slot(1)}
    traffic = Traffic(lambda: [slots, slots], lambda: ways, Clock())
    slots.ok(release_slot(0), 0.001)
    slots.ok(release_slot(1), 0.001)
    slots.failed(release_slot(1), "model_error", is_client_error=False)

    (told,) = traffic.document()["versions"]

    assert (told["ok"], told["client_error"], told["server_error"]) == (4, 0, 2)


def test_versions_that_were_never_asked_are_left_out(slots: Slots) -> None:
    traffic = Traffic(lambda: [slots], lambda: {(V1, "onnx"): release_slot(0)}, Clock())

    assert traffic.document()["versions"] == []


def test_latencies_are_those_of_the_last_seconds(slots: Slots) -> None:
    clock = Clock()
    traffic = Traffic(lambda: [slots], lambda: {(V1, "onnx"): release_slot(0)}, clock)
    slots.ok(release_slot(0), 5.0)
    traffic.document()
    clock.now += WINDOW_SECONDS / 2
    slots.ok(release_slot(0), 0.0001)

    (told,) = traffic.document()["versions"]
    assert told["p99_ms"] <= 0.1

    clock.now += WINDOW_SECONDS + 1
    (told,) = traffic.document()["versions"]
    assert told["p50_ms"] is None


@pytest.mark.parametrize(
    ("seconds", "share", "low", "high"),
    [
        ([0.0001] * 100, 0.5, 0.00005, 0.0001),
        ([0.0001] * 99 + [0.2], 0.99, 0.00005, 0.0001),
        ([0.0001] * 98 + [0.2] * 2, 0.99, 0.1, 0.25),
        ([60.0], 0.5, BUCKETS[-1], BUCKETS[-1]),
    ],
)
def test_a_quantile_lies_in_its_bucket(
    slots: Slots, seconds: list[float], share: float, low: float, high: float
) -> None:
    for each in seconds:
        slots.ok(release_slot(0), each)

    found = quantile(slots.histogram(release_slot(0)).counts, share)

    assert found is not None
    assert low <= found <= high


def test_nothing_has_no_quantile() -> None:
    assert quantile([0, 0], 0.5) is None
