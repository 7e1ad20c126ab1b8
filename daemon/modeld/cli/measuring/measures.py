"""Compute how good answers are, for two versions at once, from sums over rows.

Every measure is a function of sums, F1 too: it needs no more than counts for each class, of
how often it was true, answered, and both. So a million rows need no more memory than a few,
and the bootstrap draws sums instead of rows.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np

from modeld.cli.measuring.bootstrap import GroupSums
from modeld.runtimes.model import Array

MOST_CLASSES = 1000
"""With more of them F1 is not computed."""


class Part(NamedTuple):
    """Some rows: what is true, what both versions answered, and the log losses of both."""

    truths: Array
    first: Array
    second: Array
    first_losses: Array | None = None
    second_losses: Array | None = None


class Measure(NamedTuple):
    """A measure's name, as a manifest has it and for people, and whether more of it is better."""

    name: str
    label: str
    is_gain: bool
    is_share: bool = False


class Measuring(Protocol):
    """Gathers sums, and computes from them the measures of both versions."""

    measures: tuple[Measure, ...]

    def add(self, part: Part) -> None:
        """Take rows in."""
        ...

    def sums(self) -> Array:
        """Give the sums of each group."""
        ...

    def compute(self, sums: Array) -> Array:
        """Give the measures of the first version, those of the second, and their differences."""
        ...


class OfClasses:
    """Accuracy, F1 (the plain mean over classes) and log loss."""

    def __init__(self, labels: Array, *, has_losses: bool) -> None:
        self._labels = labels
        self._has_f1 = len(labels) <= MOST_CLASSES
        self._has_losses = has_losses
        classes = len(labels) if self._has_f1 else 0
        self._groups = GroupSums(5 + 5 * classes)
        f1 = (Measure("f1_macro", "F1 macro", is_gain=True, is_share=True),) if self._has_f1 else ()
        loss = (Measure("log_loss", "log loss", is_gain=False),) if has_losses else ()
        self.measures = (Measure("accuracy", "accuracy", is_gain=True, is_share=True), *f1, *loss)

    def add(self, part: Part) -> None:
        """Take rows in."""
        sums, labels = self._groups, self._labels
        groups = sums.next_groups(len(part.truths))
        truths = np.searchsorted(labels, part.truths)
        sums.add(groups, 0, 1.0)
        if self._has_f1:
            sums.add(groups, 5 + truths, 1.0)
        both = ((part.first, part.first_losses), (part.second, part.second_losses))
        for index, (answers, losses) in enumerate(both):
            answered = np.searchsorted(labels, answers)
            is_right = answered == truths
            sums.add(groups, 1 + index, is_right)
            if self._has_losses and losses is not None:
                sums.add(groups, 3 + index, losses)
            if self._has_f1:
                start = 5 + (1 + 2 * index) * len(labels)
                sums.add(groups, start + answered, 1.0)
                sums.add(groups, start + len(labels) + answered, is_right)

    def sums(self) -> Array:
        """Give the sums of each group."""
        return self._groups.sums

    def compute(self, sums: Array) -> Array:
        """Give the measures of the first version, those of the second, and their differences."""
        return _with_differences(self._of(sums, index) for index in (0, 1))

    def _of(self, sums: Array, index: int) -> list[Array]:
        found = [sums[:, 1 + index] / sums[:, 0]]
        if self._has_f1:
            found.append(self._f1(sums[:, 5:], index))
        if self._has_losses:
            found.append(sums[:, 3 + index] / sums[:, 0])
        return found

    def _f1(self, counts: Array, index: int) -> Array:
        """Leave out classes that are neither true nor answered, as scikit-learn does."""
        classes = len(self._labels)
        start = (1 + 2 * index) * classes
        true, answered = counts[:, :classes], counts[:, start : start + classes]
        right = counts[:, start + classes : start + 2 * classes]
        seen = true + answered
        scores = np.divide(2 * right, seen, out=np.zeros_like(seen), where=seen > 0)
        mean: Array = scores.sum(axis=1) / (seen > 0).sum(axis=1)
        return mean


class OfNumbers:
    """Mean absolute error, root mean squared error and R²."""

    measures: tuple[Measure, ...] = (
        Measure("mae", "MAE", is_gain=False),
        Measure("rmse", "RMSE", is_gain=False),
        Measure("r2", "R²", is_gain=True),
    )

    def __init__(self) -> None:
        self._groups = GroupSums(7)
        self._center: float | None = None

    def add(self, part: Part) -> None:
        """Take rows in."""
        if self._center is None:
            # Squares of numbers far from 0 would lose what they differ by.
            self._center = float(part.truths[0])
        centered = part.truths - self._center
        errors = (part.first - part.truths, part.second - part.truths)
        absolute = [np.abs(each) for each in errors]
        groups = self._groups.next_groups(len(part.truths))
        columns = (1.0, *absolute, *(each**2 for each in errors), centered, centered**2)
        for index, values in enumerate(columns):
            self._groups.add(groups, index, values)

    def sums(self) -> Array:
        """Give the sums of each group."""
        return self._groups.sums

    def compute(self, sums: Array) -> Array:
        """Give the measures of the first version, those of the second, and their differences."""
        return _with_differences(_of_numbers(sums, index) for index in (0, 1))


def _of_numbers(sums: Array, index: int) -> list[Array]:
    rows, squares = sums[:, 0], sums[:, 3 + index]
    spread = sums[:, 6] - sums[:, 5] ** 2 / rows
    explained = 1 - np.divide(squares, spread, out=np.full_like(rows, np.nan), where=spread > 0)
    return [sums[:, 1 + index] / rows, np.sqrt(squares / rows), explained]


def _with_differences(both: Iterable[list[Array]]) -> Array:
    first, second = (np.stack(found, axis=1) for found in both)
    return np.concatenate((first, second, second - first), axis=1)
