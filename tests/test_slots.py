import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.slots import (
    BUCKETS,
    CAPACITY,
    ERROR_CODES,
    METHODS,
    OUTCOMES,
    ROUTES,
    STATUSES,
    Histogram,
    Slots,
    create_file,
    http_slot,
    release_capacity,
    release_slot,
)

EMPTY = Histogram((0,) * (len(BUCKETS) + 1), 0.0)


@pytest.fixture
def descriptor() -> Iterator[int]:
    descriptor = create_file()
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def slots(descriptor: int) -> Slots:
    return Slots(descriptor)


def test_a_new_file_counts_nothing(slots: Slots) -> None:
    slot = release_slot(0)

    assert slots.histogram(slot) == EMPTY
    assert slots.queue_histogram(slot) == EMPTY
    assert slots.outcomes(slot) == (0, 0, 0)
    assert set(slots.errors(slot)) == {0}
    assert slots.batches(slot) == (0, 0)
    assert (slots.lag, slots.connections) == (0.0, 0.0)
    assert slots.stalls() == EMPTY


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (0.00005, 0), (0.000051, 1), (0.001, 4), (10.0, 15), (10.1, 16), (1e9, 16)],
)
def test_an_observation_counts_in_the_first_bucket_that_holds_it(
    slots: Slots, seconds: float, bucket: int
) -> None:
    """As Prometheus has it: a bound belongs to its bucket."""
    slots.observe(release_slot(3), seconds)

    found = slots.histogram(release_slot(3))

    assert [i for i, count in enumerate(found.counts) if count] == [bucket]
    assert found.total == seconds


def test_each_kind_of_count_has_its_own_place(slots: Slots) -> None:
    slot = release_slot(1)

    slots.ok(slot, 0.5)
    slots.queued(slot, 0.25)
    slots.failed(slot, "wrong_shape", is_client_error=True)
    slots.failed(slot, "model_error", is_client_error=False)
    slots.failed(slot, "never_heard_of", is_client_error=False)
    slots.batch(slot, 32)
    slots.batch(slot, 8)
    slots.note_in_flight({slot: 3})

    assert sum(slots.histogram(slot).counts) == 1
    assert slots.histogram(slot).total == 0.5
    assert slots.queue_histogram(slot).total == 0.25
    assert slots.outcomes(slot) == (1, 1, 2)
    assert {
        code: count for code, count in zip(ERROR_CODES, slots.errors(slot), strict=True) if count
    } == {"wrong_shape": 1, "model_error": 1, "other": 1}
    assert slots.batches(slot) == (2, 40)
    assert slots.in_flight(slot) == 3


def test_a_release_does_not_touch_its_neighbours(slots: Slots) -> None:
    for index in (0, 2):
        slot = release_slot(index)
        slots.ok(slot, 1.0)
        slots.queued(slot, 1.0)
        slots.failed(slot, ERROR_CODES[-1], is_client_error=False)
        slots.batch(slot, 5)
        slots.note_in_flight({slot: 9})
    slots.set_lag(0.5)
    slots.set_connections(7)
    slots.observe(http_slot("nowhere", "PURGE", 999), 1.0)

    between = release_slot(1)
    assert slots.histogram(between) == slots.queue_histogram(between) == EMPTY
    assert set(slots.outcomes(between)) == set(slots.errors(between)) == {0}
    assert slots.batches(between) == (0, 0)
    assert slots.in_flight(between) == 0


def test_a_release_that_is_gone_has_nothing_in_flight(slots: Slots) -> None:
    slots.note_in_flight({release_slot(0): 1, release_slot(1): 2})
    slots.note_in_flight({release_slot(1): 3})

    assert [slots.in_flight(release_slot(index)) for index in (0, 1)] == [0, 3]


def test_a_worker_that_died_leaves_its_counts_and_no_gauge(slots: Slots) -> None:
    slot = release_slot(1)
    slots.set_lag(0.5)
    slots.set_connections(7)
    slots.note_in_flight({slot: 3})
    slots.ok(slot, 0.5)
    slots.batch(slot, 5)

    slots.clear_gauges()

    assert (slots.lag, slots.connections, slots.in_flight(slot)) == (0.0, -1.0, 0)
    assert slots.outcomes(slot) == (1, 0, 0)
    assert slots.batches(slot) == (1, 5)


def test_blocks_do_not_overlap_and_fit() -> None:
    ends = len(BUCKETS) + 2
    http = [http_slot(r, m, s) for r in ROUTES for m in METHODS for s in STATUSES]

    assert len(set(http)) == len(ROUTES) * len(METHODS) * len(STATUSES)
    assert min(http) >= 2
    assert {b - a for a, b in pairwise(http)} == {ends}
    assert release_slot(0) == max(http) + ends
    length = release_slot(1) - release_slot(0)
    assert length == 2 * ends + len(OUTCOMES) + len(ERROR_CODES) + 3
    assert release_slot(release_capacity() - 1) + length <= CAPACITY


def test_what_does_not_fit_shares_the_last_block(slots: Slots) -> None:
    last = release_slot(release_capacity() - 1)

    assert release_slot(release_capacity()) == release_slot(10**9) == last
    slots.batch(last, 1)
    assert slots.batches(last) == (1, 1)


@given(st.text(), st.text(), st.integers())
def test_no_request_can_name_a_slot_of_its_own(route: str, method: str, status: int) -> None:
    known = {http_slot(r, m, s) for r in ROUTES for m in METHODS for s in STATUSES}

    assert http_slot(route, method, status) in known


def test_a_status_without_a_place_is_another_one() -> None:
    assert http_slot("/predict", "POST", 418) == http_slot("/predict", "POST", 0)
    assert http_slot("/predict", "HEAD", 200) == http_slot("/predict", "other", 200)
    assert http_slot("/x", "GET", 200) == http_slot("other", "GET", 200)


def test_what_another_process_writes_is_read_here(descriptor: int, slots: Slots) -> None:
    """And stays when that process is gone: a death never lowers a count."""
    code = (
        "import os, sys; from modeld.slots import Slots, release_slot; "
        "Slots(int(sys.argv[1])).ok(release_slot(0), 2.0); os._exit(9)"
    )

    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", code, str(descriptor)], pass_fds=[descriptor], check=False
        )

    assert slots.outcomes(release_slot(0)) == (2, 0, 0)
    assert slots.histogram(release_slot(0)).total == 4.0
