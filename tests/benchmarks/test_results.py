"""Medians, spreads and ratios."""

import pytest

from benchmarks.cases import ALONE, BUSY
from benchmarks.contenders import FASTAPI_ASYNC, FASTAPI_DEF
from benchmarks.results import Cell, Spread, fastapi, rate, ratio, servers, spread
from tests.benchmarks.results_made import rounds_of


def test_a_ratio_is_taken_within_each_repetition() -> None:
    """A machine that slows down halfway slows down both."""
    rounds = [*rounds_of("fast", "m", 200, 100, 50), *rounds_of("slow", "m", 20, 10, 5)]

    found = ratio(rounds, Cell("fast", "m", BUSY), Cell("slow", "m", BUSY), rate)

    assert found == Spread(10, 10, 10)


def test_a_ratio_takes_only_repetitions_that_both_have() -> None:
    rounds = [*rounds_of("fast", "m", 200, 400), *rounds_of("slow", "m", 20)]

    found = ratio(rounds, Cell("fast", "m", BUSY), Cell("slow", "m", BUSY), rate)

    assert found == Spread(10, 10, 10)


@pytest.mark.parametrize(
    "cell", [Cell("fast", "m", ALONE), Cell("fast", "n", BUSY), Cell("slow", "m", BUSY)]
)
def test_what_was_not_measured_has_no_spread(cell: Cell) -> None:
    rounds = list(rounds_of("fast", "m", 200))

    assert spread(rounds, cell, rate) is None
    assert ratio(rounds, cell, Cell("fast", "m", BUSY), rate) is None


@pytest.mark.parametrize(
    ("of_async", "of_def", "due"), [(3, 2, FASTAPI_ASYNC), (2, 3, FASTAPI_DEF)]
)
def test_the_baseline_is_the_faster_form_in_the_cell(
    of_async: float, of_def: float, due: str
) -> None:
    rounds = [*rounds_of(FASTAPI_ASYNC, "m", of_async), *rounds_of(FASTAPI_DEF, "m", of_def)]

    assert fastapi(rounds, "m", BUSY).server == due


def test_servers_stand_in_the_order_of_the_first_repetition() -> None:
    rounds = [*rounds_of("b", "m", 1, 2), *rounds_of("a", "m", 1, 2), *rounds_of("c", "n", 1)]

    assert servers(rounds, "m", BUSY) == ["b", "a"]
