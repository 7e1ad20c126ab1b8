from typing import Any

import numpy as np
import pytest

from modeld.cli.measuring.bootstrap import MOST_GROUPS, GroupSums, intervals

Array = np.ndarray[Any, Any]


def mean(sums: Array) -> Array:
    return sums[:, 1:] / sums[:, :1]


def grouped(values: Array, *, at_once: int = 1000) -> Array:
    found = GroupSums(2)
    for start in range(0, len(values), at_once):
        part = values[start : start + at_once]
        groups = found.next_groups(len(part))
        found.add(groups, 0, 1.0)
        found.add(groups, 1, part)
    return found.sums


def test_few_rows_are_a_group_each() -> None:
    values = np.arange(2500.0)

    assert grouped(values).tolist() == [[1.0, value] for value in values]


def test_many_rows_share_groups_and_keep_their_sums() -> None:
    values = np.random.default_rng(1).normal(size=20_000)

    sums = grouped(values)

    assert len(sums) == MOST_GROUPS
    np.testing.assert_allclose(sums.sum(axis=0), [len(values), values.sum()])


@pytest.mark.parametrize("rows", [300, 50_000])
def test_an_interval_of_a_mean_is_as_wide_as_theory_says(rows: int) -> None:
    values = np.random.default_rng(2).exponential(size=rows)
    error = values.std() / np.sqrt(rows)

    found = intervals(grouped(values), mean, draws=4000)

    assert found.values[0] == pytest.approx(values.mean())
    assert (found.high[0] - found.low[0]) / (2 * 1.96 * error) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("rows", [200, 5000])
def test_rows_in_order_make_it_no_narrower(rows: int) -> None:
    """Groups are drawn, not counted off: each would else hold rows of every kind."""
    values = np.sort(np.random.default_rng(3).normal(size=rows))
    error = values.std() / np.sqrt(rows)

    found = intervals(grouped(values), mean)

    assert (found.high[0] - found.low[0]) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)


def test_an_interval_holds_what_is_true_as_often_as_it_says() -> None:
    random = np.random.default_rng(4)
    held = 0
    for seed in range(400):
        found = intervals(grouped(random.random(150) - 0.5), mean, draws=400, seed=seed)
        held += found.low[0] <= 0.0 <= found.high[0]

    assert 0.91 <= held / 400 <= 0.98


def test_a_seed_decides_what_comes_out() -> None:
    sums = grouped(np.random.default_rng(5).normal(size=100))

    first, again, other = (intervals(sums, mean, seed=seed) for seed in (1, 1, 2))

    assert first.low == again.low
    assert first.low != other.low


def test_a_measure_that_is_no_number_stays_none() -> None:
    found = intervals(grouped(np.ones(10)), lambda sums: np.full((len(sums), 1), np.nan))

    assert np.isnan([found.values[0], found.low[0], found.high[0]]).all()
