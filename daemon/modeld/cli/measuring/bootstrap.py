"""Say how sure a measure is: percentile intervals of the paired bootstrap.

Rows are drawn again with replacement, both versions' answers to a row together, and the
measures computed anew; the interval holds the middle 95 % of what came out:

- B. Efron, R. J. Tibshirani: An Introduction to the Bootstrap, 1993, chapter 13 (percentile);
- P. Koehn: Statistical Significance Tests for Machine Translation Evaluation, EMNLP 2004
  (two systems on the same drawn rows).

A measure is a function of sums over rows. Of many rows, only the sums over random groups of
them are kept and drawn, which has the same variance but for a few per cent and needs the
memory of the groups alone (K. M. Wolter: Introduction to Variance Estimation, 2007, chapter
2, random groups). Up to as many rows as there are groups, each is a group of its own, and
this is the plain bootstrap.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from modeld.runtimes.model import Array

MOST_GROUPS = 4096
_FEWEST_GROUPS = 256
_MOST_SUMS = 1 << 22
_DRAWN_AT_ONCE = 1 << 20

Statistic = Callable[[Array], Array]
"""Computes measures from sums: from a matrix of one line per draw, one line of measures each."""


class GroupSums:
    """Sums over random groups of rows, of `width` numbers each."""

    def __init__(self, width: int, seed: int = 0) -> None:
        groups = max(_FEWEST_GROUPS, min(MOST_GROUPS, _MOST_SUMS // width))
        self._sums = np.zeros((groups, width))
        self._random = np.random.default_rng(seed)
        self._rows = 0

    def next_groups(self, rows: int) -> Array:
        """Give the groups of the next rows: new ones while there are, then any."""
        groups = len(self._sums)
        numbers = np.arange(self._rows, self._rows + rows)
        self._rows += rows
        return np.where(numbers < groups, numbers, self._random.integers(groups, size=rows))

    def add(self, groups: Array, column: int | Array, values: float | Array) -> None:
        """Add a value of each row to a column: the same for all rows, or one for each."""
        np.add.at(self._sums, (groups, np.broadcast_to(column, groups.shape)), values)

    @property
    def sums(self) -> Array:
        """One line for each group."""
        found: Array = self._sums[: self._rows]
        return found


@dataclass(frozen=True, slots=True)
class Intervals:
    """Measures, and between what they lie with 95 % confidence."""

    values: Array
    low: Array
    high: Array


def intervals(sums: Array, measure: Statistic, *, draws: int = 2000, seed: int = 0) -> Intervals:
    """Draw groups with replacement, as many as there are, and measure each draw."""
    random = np.random.default_rng(seed)
    groups = len(sums)
    at_once = max(1, _DRAWN_AT_ONCE // groups)
    found = []
    for start in range(0, draws, at_once):
        count = min(at_once, draws - start)
        drawn = random.integers(groups, size=(count, groups))
        drawn += np.arange(count)[:, None] * groups
        weights = np.bincount(drawn.ravel(), minlength=count * groups).reshape(count, groups)
        found.append(measure(weights.astype(np.float64) @ sums))
    with warnings.catch_warnings():
        # A measure that is not a number in any draw stays none.
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanpercentile(np.concatenate(found), (2.5, 97.5), axis=0)
    return Intervals(measure(sums.sum(axis=0)[None, :])[0], low, high)
