"""Find out which columns of a table are texts, and hand rows over as a table wants them.

A ColumnTransformer tells by what it was fitted on: an encoder keeps the categories that it
has seen, a vectorizer its vocabulary. Steps that choose columns by their names take a
DataFrame and nothing else.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from modeld.domain import InputColumn
from modeld.runtimes.model import Array, Rows

Texts = dict[str, tuple[str, ...]]
"""Columns of texts by name, each with the texts that were seen in training."""

_UNKNOWN = ("a",)
"""What to try where none is known."""


def find_texts(estimator: Any, names: Sequence[str]) -> Texts:
    """Name the columns that are texts."""
    found: Texts = {}
    for transformer, columns in _parts(estimator):
        for name, texts in zip(_named(columns, names), _seen_by(transformer), strict=False):
            if texts:
                found[name] = texts
    return found


def takes_frames(estimator: Any) -> bool:
    """Tell whether columns are chosen by name."""
    return any(isinstance(column, str) for _, each in _parts(estimator) for column in _list(each))


def to_frame(rows: Rows, columns: Sequence[InputColumn]) -> Any:
    """Make a DataFrame of rows: float64 columns, and columns of texts."""
    import pandas

    return pandas.DataFrame(
        {
            column.name: rows[:, i] if column.is_text else rows[:, i].astype(np.float64)
            for i, column in enumerate(columns)
        }
    )


def to_table(rows: Sequence[Sequence[Any]]) -> Array:
    """Hold texts and numbers side by side: one object for each cell."""
    table = np.empty((len(rows), len(rows[0])), dtype=object)
    table[:] = rows
    return table


def _parts(estimator: Any) -> Iterator[tuple[Any, Any]]:
    """Give the fitted transformers of the first step that chooses columns."""
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list) and steps:
        estimator = steps[0][1]
    transformers = getattr(estimator, "transformers_", None)
    if isinstance(transformers, list):
        for _, transformer, columns in transformers:
            yield transformer, columns


def _list(columns: Any) -> list[Any]:
    if isinstance(columns, str | int | np.integer):
        return [columns]
    if isinstance(columns, slice):
        return []
    return list(columns)


def _named(columns: Any, names: Sequence[str]) -> list[str]:
    if isinstance(columns, slice):
        return list(names[columns])
    listed = _list(columns)
    if listed and all(isinstance(each, bool | np.bool_) for each in listed):
        return [name for name, chosen in zip(names, listed, strict=False) if chosen]
    return [each if isinstance(each, str) else names[each] for each in listed]


def _seen_by(transformer: Any) -> Iterator[tuple[str, ...]]:
    """Give the texts that each column of a transformer has had, none for numbers."""
    for step in [each for _, each in getattr(transformer, "steps", [("", transformer)])]:
        if hasattr(step, "vocabulary_"):
            yield tuple(step.vocabulary_) or _UNKNOWN
            return
        categories = getattr(step, "categories_", None)
        if isinstance(categories, list):
            for seen in categories:
                yield tuple(each for each in seen if isinstance(each, str))
            return
