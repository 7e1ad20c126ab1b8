"""Choose the rows on which a compiled model must answer like the native one.

The golden samples; rows over the training range and a little beyond; values like 0.1 that
a float cannot hold; whole numbers, zeros, great numbers; missing values where the model takes
them; and rows exactly where the model changes its mind. The same model gets the same rows.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from modeld.compiler.around import rows_around
from modeld.compiler.coding import Coding
from modeld.compiler.cuts import neighbours
from modeld.compiler.ranges import Ranges, find_ranges
from modeld.domain import InputColumn, Signature
from modeld.runtimes.model import Array, Rows
from modeld.runtimes.native import NativeModel
from modeld.runtimes.number_types import whole_range

_SPREAD, _GRID, _WHOLE, _GREAT, _MISSING = 1000, 400, 200, 60, 200
_MOST_AROUND = 24_000
_MOST_UNSEEN, _LEAST_UNSEEN = 256, 8
_BEYOND = 0.1
_OTHER_SHARE = 0.02


def probe(model: NativeModel, golden: Rows | None) -> Rows:
    """Make the rows, the most telling first; the rest is shuffled, so that any part is fair.

    Golden samples come first, then rows with every text.
    """
    random = np.random.default_rng(0)
    coding, ranges, spread = _base(model, golden, random)
    signature = model.signature
    plain = [
        np.rint(_spread(ranges, _GRID, random) * 10) * 0.1,
        np.rint(_spread(ranges, _WHOLE, random)),
        _great(signature, ranges, random),
        *_missing(signature, ranges, random),
    ]
    for rows in plain:
        coding.choose(rows, random)
    around = rows_around(
        model.estimator, spread, _MOST_AROUND, coding if model.takes_frames else None
    )
    made = np.concatenate([spread, *plain, *around])
    limit = np.finfo(np.float32).max if signature.precision == 32 else np.finfo(np.float64).max
    made = made[~(np.abs(made) > limit).any(axis=1)]
    _choose(made, ranges, ranges.choices, random)
    made = np.concatenate([*coding.each(spread), made[random.permutation(len(made))]])
    _fit(made, signature)
    rows = coding.rows(made)
    return rows if golden is None else np.concatenate([golden, rows])


def ordinary(model: NativeModel, golden: Rows | None) -> Rows:
    """Make rows that any client may send: over the range, with every text, with gaps."""
    random = np.random.default_rng(1)
    coding, ranges, spread = _base(model, golden, random)
    gaps = _missing(model.signature, ranges, random)
    for rows in gaps:
        coding.choose(rows, random)
        _choose(rows, ranges, ranges.strict, random)
    made = np.concatenate([spread, *gaps, *coding.each(spread)])
    _fit(made, model.signature)
    return coding.rows(made)


def unseen(model: NativeModel, golden: Rows | None) -> Rows:
    """Make rows with one value on which the model may fail, as its encoder has not seen it.

    There are about 256, and at least 8 of each column.
    """
    random = np.random.default_rng(2)
    coding, ranges, spread = _base(model, golden, random)
    found = [coding.rows(spread[:0])]
    most = max(_MOST_UNSEEN // max(len(ranges.strict), 1), _LEAST_UNSEEN)
    for place in sorted(ranges.strict):
        column = model.signature.columns[place] if model.signature.columns else None
        values: Any = coding.unseen.get(place)
        if values is None:
            values = _beside(ranges.choices.get(place, np.empty(0)), column)
        some = _some(values, most)
        made = spread[np.arange(len(some)) % len(spread)].copy()
        _fit(made, model.signature)
        rows = coding.rows(made)
        rows[:, place] = some
        found.append(rows)
    return np.concatenate(found)


def _beside(values: Array, column: InputColumn | None) -> Array:
    """Give numbers beside the ones that an encoder has seen."""
    if not len(values):
        return values
    beside = [values + 0.5, values - 0.5, values + 1.0, values - 1.0]
    tried = np.concatenate([neighbours(values).ravel(), *beside])
    if column is not None and not column.is_plain:
        tried = np.clip(np.rint(tried), *whole_range(column.type))
    return np.setdiff1d(tried, values)


def _some(values: Any, most: int) -> Any:
    """Take a few of many, evenly."""
    chosen = np.unique(np.linspace(0, max(len(values) - 1, 0), most).astype(np.int64))
    return [values[place] for place in chosen if place < len(values)]


def _base(
    model: NativeModel, golden: Rows | None, random: np.random.Generator
) -> tuple[Coding, Ranges, Array]:
    width = model.signature.width
    ranges = find_ranges(model.estimator, width)
    coding = Coding(model, golden, ranges.strict)
    if golden is not None:
        ranges.include(np.arange(width), *_extremes(coding.codes(golden)))
    spread = _spread(ranges, _SPREAD, random)
    coding.choose(spread, random)
    _choose(spread, ranges, ranges.strict, random)
    return coding, ranges, spread


def _fit(rows: Array, signature: Signature) -> None:
    """Make whole numbers where a column takes nothing else."""
    for place, column in enumerate(signature.columns):
        if column.is_used and not column.is_plain and not column.is_text:
            rows[:, place] = np.clip(np.rint(rows[:, place]), *whole_range(column.type))


def _extremes(golden: Array) -> tuple[Array, Array]:
    known = np.where(np.isfinite(golden), golden, np.nan)
    filled = np.where(np.isnan(known).all(axis=0), 0.0, known)
    return np.nanmin(filled, axis=0), np.nanmax(filled, axis=0)


def _spread(ranges: Ranges, count: int, random: np.random.Generator) -> Array:
    """Rows over the training range and a little beyond."""
    width = ranges.high - ranges.low
    low, high = ranges.low - _BEYOND * width, ranges.high + _BEYOND * width
    return low + (high - low) * random.random((count, len(width)))


def _great(signature: Signature, ranges: Ranges, random: np.random.Generator) -> Array:
    """Zeros, and rows with one or all values far beyond the range, as far as the input goes."""
    width = signature.width
    farthest = 38.0 if signature.precision == 32 else 100.0
    size = 10.0 ** random.uniform(2, farthest, (_GREAT, 1))
    values = size * random.choice([-1.0, 1.0], (_GREAT, width))
    rows = _spread(ranges, _GREAT, random)
    one = random.integers(width, size=_GREAT)
    rows[np.arange(_GREAT), one] = values[np.arange(_GREAT), one]
    rows[::4] = values[::4]
    return np.concatenate([rows, np.zeros((1, width)), np.ones((1, width)), -np.ones((1, width))])


def _missing(signature: Signature, ranges: Ranges, random: np.random.Generator) -> list[Array]:
    nullable = np.flatnonzero(signature.nullable) if signature.nullable else np.array([], int)
    if not len(nullable):
        return []
    rows = _spread(ranges, _MISSING, random)
    holes = random.random((_MISSING, len(nullable))) < random.random((_MISSING, 1))
    rows[:, nullable] = np.where(holes, np.nan, rows[:, nullable])
    return [rows]


def _choose(
    rows: Array, ranges: Ranges, columns: Collection[int], random: np.random.Generator
) -> None:
    """Where only some values count, take mostly those, and no others where the model fails."""
    for column in columns:
        values = ranges.choices.get(column, ())
        if len(values):
            other = 0.0 if column in ranges.strict else _OTHER_SHARE
            keep = np.isnan(rows[:, column]) | (random.random(len(rows)) < other)
            rows[:, column] = np.where(keep, rows[:, column], random.choice(values, len(rows)))
