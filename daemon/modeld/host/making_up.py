"""Make rows up for a model, from what it remembers of its training rows.

They look like rows that it knows and are nobody's: numbers from the ranges that it was trained
on, texts that its encoders and vectorizers have seen.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from modeld.domain import InputColumn
from modeld.runtimes.columns import as_object
from modeld.runtimes.model import Array, Model
from modeld.runtimes.native import NativeModel
from modeld.runtimes.number_types import whole_range

_DIGITS = 4
_WORDS = 5


def make_up(model: Model, count: int) -> list[Any]:
    """Make rows as `/predict` takes them; none for a model that says too little of itself."""
    random = np.random.default_rng(0)
    signature = model.signature
    if signature.rank == 0:
        return _texts(model, count, random)
    if signature.rank != 1 or not signature.width:
        return []
    numbers: list[Any] = _numbers(model, count, random).tolist()
    if not signature.columns:
        return numbers
    seen = model.texts if isinstance(model, NativeModel) else {}
    rows = [as_object(row, signature.columns) for row in _of_types(numbers, signature.columns)]
    for column in signature.columns:
        if column.is_text and column.is_used:
            texts = random.choice(np.array(seen.get(column.name, ("a",)), dtype=object), count)
            for row, text in zip(rows, texts.tolist(), strict=True):
                row[column.name] = text
    return rows


def _numbers(model: Model, count: int, random: np.random.Generator) -> Array:
    from modeld.compiler.ranges import find_ranges

    width = model.signature.width
    estimator = model.estimator if isinstance(model, NativeModel) else None
    ranges = find_ranges(estimator, width)
    rows = ranges.low + (ranges.high - ranges.low) * random.random((count, width))
    for column, values in ranges.choices.items():
        if len(values):
            rows[:, column] = random.choice(values, count)
    return _rounded(rows)


def _of_types(rows: list[Any], columns: Sequence[InputColumn]) -> list[Any]:
    """Make whole numbers where a column's type wants them."""
    return [[_of_type(cell, c) for cell, c in zip(row, columns, strict=True)] for row in rows]


def _of_type(cell: float, column: InputColumn) -> float:
    if column.is_plain or column.is_text or not column.is_used:
        return cell
    lowest, highest = whole_range(column.type)
    return float(min(max(round(cell), lowest), highest))


def _rounded(rows: Array) -> Array:
    """Keep a few digits, for people to read."""
    return np.array([[float(f"{value:.{_DIGITS}g}") for value in row] for row in rows.tolist()])


def _texts(model: Model, count: int, random: np.random.Generator) -> list[Any]:
    estimator = getattr(model, "estimator", None)
    steps = [step for _, step in getattr(estimator, "steps", ())]
    known = next((list(step.vocabulary_) for step in steps if hasattr(step, "vocabulary_")), [])
    if not known:
        return []
    words = np.array(sorted(known), dtype=object)
    return [" ".join(random.choice(words, _WORDS)) for _ in range(count)]
