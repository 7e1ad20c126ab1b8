"""Find out from a fitted model where its training rows lay.

Models remember much of what they saw: scalers means and extremes, neighbours the rows
themselves, trees thresholds, encoders the values. What says nothing is tried around zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modeld.compiler.anatomy import (
    columns_behind,
    columns_of,
    is_strict,
    members,
    steps_of,
    thresholds,
)
from modeld.runtimes.model import Array

_UNKNOWN = 3.0
_POINTS = ("_fit_X", "X_train_", "X_fit_", "support_vectors_", "cluster_centers_", "centroids_")
_MEANS = ("theta_", "means_", "mean_", "center_", "statistics_")


@dataclass(slots=True)
class Ranges:
    """Per column the least and the greatest value known, and the only ones where they count.

    On anything else in a `strict` column the model fails; `choices` has those of numbers.
    """

    low: Array
    high: Array
    choices: dict[int, Array] = field(default_factory=dict)
    strict: set[int] = field(default_factory=set)

    def include(self, columns: Array, low: Array, high: Array) -> None:
        """Widen some columns; -1 stands for none."""
        known = columns >= 0
        columns, low, high = columns[known], low[known], high[known]
        self.low[columns] = np.fmin(self.low[columns], low)
        self.high[columns] = np.fmax(self.high[columns], high)


def find_ranges(estimator: Any, width: int) -> Ranges:
    """Look through a model for what it says of each of `width` columns."""
    ranges = Ranges(np.full(width, np.nan), np.full(width, np.nan))
    _look(estimator, np.arange(width), ranges)
    unknown = ~(np.isfinite(ranges.low) & np.isfinite(ranges.high))
    ranges.low[unknown], ranges.high[unknown] = -_UNKNOWN, _UNKNOWN
    same = ranges.low == ranges.high
    ranges.low[same] -= 1.0
    ranges.high[same] += 1.0
    return ranges


def _look(estimator: Any, columns: Array, ranges: Ranges) -> None:
    steps = steps_of(estimator)
    if steps:
        for step in steps:
            _look(step, columns, ranges)
            columns = columns_behind(step, columns)
            if not (columns >= 0).any():
                return
        return
    for part, places in columns_of(estimator, len(columns)):
        _look(part, columns[places], ranges)
    for low, high in _own(estimator, len(columns)):
        ranges.include(columns, low, high)
    _look_at_categories(estimator, columns, ranges)
    for member, places in members(estimator, len(columns)):
        _look(member, columns[places], ranges)


def _look_at_categories(estimator: Any, columns: Array, ranges: Ranges) -> None:
    for column, values in zip(columns, _categories(estimator, len(columns)), strict=False):
        if column >= 0 and is_strict(estimator):
            ranges.strict.add(int(column))
        if column < 0 or values is None:
            continue
        ranges.choices[int(column)] = values
        if len(values):
            ranges.include(np.array([column]), np.sort(values)[:1], np.sort(values)[-1:])


def _own(estimator: Any, width: int) -> Iterator[tuple[Array, Array]]:
    least, most = _numbers(estimator, "data_min_", width), _numbers(estimator, "data_max_", width)
    if least is not None and most is not None:
        yield least[0], most[0]
    for name in _POINTS:
        points = _numbers(estimator, name, width)
        if points is not None and len(points):
            yield np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    for name in _MEANS:
        means = _numbers(estimator, name, width)
        if means is not None and len(means):
            spread = 3.0 * _spread(estimator, width)
            yield np.min(means - spread, axis=0), np.max(means + spread, axis=0)
    yield from _cut_ranges(estimator, width)


def _spread(estimator: Any, width: int) -> Array:
    for name in ("scale_", "var_", "explained_variance_"):
        found = _numbers(estimator, name, width)
        if found is not None and len(found):
            return np.sqrt(np.abs(found)) if name != "scale_" else np.abs(found)
    return np.zeros((1, width))


def _numbers(estimator: Any, name: str, width: int) -> Array | None:
    """An attribute as a matrix with a column per input, if it is one."""
    try:
        found = np.asarray(getattr(estimator, name, None), dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if found.ndim not in (1, 2) or found.shape[-1] != width:
        return None
    return found.reshape(-1, width)


def _cut_ranges(estimator: Any, width: int) -> Iterator[tuple[Array, Array]]:
    low, high = np.full(width, np.nan), np.full(width, np.nan)
    for feature, values in thresholds(estimator):
        if feature < width and len(values):
            low[feature], high[feature] = values.min(), values.max()
    yield low, high


def _categories(estimator: Any, width: int) -> list[Array | None]:
    """Give the numbers that each column has had; `None` for one of texts."""
    found = getattr(estimator, "categories_", None)
    if not isinstance(found, list) or len(found) != width:
        return []
    return [_finite(values) for values in found]


def _finite(values: Any) -> Array | None:
    if any(isinstance(each, str) for each in values):
        return None
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return numbers[np.isfinite(numbers)]
