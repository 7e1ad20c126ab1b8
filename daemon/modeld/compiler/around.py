"""Make rows that stand where a model changes its mind, whatever it is made of.

Trees may stand behind scalers and other steps. Rows are made where the trees are and taken
back through the steps that can be inverted, one by one.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from modeld.compiler.anatomy import columns_of, members, places, steps_of, trees_of
from modeld.compiler.cuts import at_cuts
from modeld.runtimes.model import Array

_POINTS = ("_fit_X", "X_train_", "X_fit_", "support_vectors_", "cluster_centers_")
_MOST_POINTS = 300
_DEEPEST = 8


def rows_around(estimator: Any, base: Array, most: int, depth: int = 0) -> list[Array]:
    """Give up to about `most` rows of the same width as `base`."""
    if depth > _DEEPEST or most < 1:
        return []
    steps = steps_of(estimator)
    if steps:
        return _through(steps, base, most, depth)
    trees = trees_of(estimator)
    if trees:
        return [at_cuts(trees, base, most)]
    found = list(_points(estimator, base.shape[1]))
    width = base.shape[1]
    parts = [*columns_of(estimator, width), *members(estimator, width)]
    for part, columns in parts:
        made = rows_around(part, base[:, columns], most // len(parts), depth + 1)
        found += [_placed(rows, columns, base) for rows in made]
    return found


def _placed(rows: Array, columns: Array, base: Array) -> Array:
    """Put some columns into whole rows."""
    whole = base[np.arange(len(rows)) % len(base)].copy()
    whole[:, columns] = rows
    return whole


def _points(estimator: Any, width: int) -> Iterator[Array]:
    """Rows that a model remembers, and the middle between each two: there are the ties."""
    for name in _POINTS:
        points = getattr(estimator, name, None)
        if isinstance(points, np.ndarray) and points.ndim == 2 and points.shape[1] == width:
            some = points[np.linspace(0, len(points) - 1, _MOST_POINTS).astype(np.int64)]
            yield some.astype(np.float64)
            yield (some[:-1] + some[1:]) / 2


def _through(steps: list[Any], base: Array, most: int, depth: int) -> list[Array]:
    found = []
    behind = [base]
    for index, step in enumerate(steps):
        for rows in rows_around(step, behind[-1], most, depth + 1):
            back = _back(steps[:index], rows, behind)
            if back is not None:
                found.append(back)
        if index + 1 < len(steps):
            try:
                behind.append(np.asarray(step.transform(behind[-1]), dtype=np.float64))
            except Exception:
                # Some step does not take these rows; what was found before it is enough.
                break
    return found


def _back(steps: list[Any], rows: Array, behind: list[Array]) -> Array | None:
    """Take rows back through steps, from the last to the first; `None` where none leads back."""
    for index in range(len(steps) - 1, -1, -1):
        try:
            with np.errstate(all="ignore"):
                rows = _invert(steps[index], rows, behind[index])
        except Exception:
            # Not every step has a way back, and one that has may refuse these rows.
            return None
    return rows


def _invert(step: Any, rows: Array, base: Array) -> Array:
    if hasattr(step, "output_indices_"):
        return _invert_columns(step, rows, base)
    if hasattr(step, "inverse_transform"):
        return np.asarray(step.inverse_transform(rows), dtype=np.float64)
    if rows.shape[1] == base.shape[1] and np.allclose(step.transform(rows), rows, equal_nan=True):
        return rows
    raise ValueError("no way back")


def _invert_columns(step: Any, rows: Array, base: Array) -> Array:
    whole = base[np.arange(len(rows)) % len(base)].copy()
    names = list(getattr(step, "feature_names_in_", ()))
    for name, part, columns in step.transformers_:
        made = rows[:, step.output_indices_.get(name, slice(0, 0))]
        at = places(columns, base.shape[1], names)
        if isinstance(part, str):
            if made.shape[1] == len(at):
                whole[:, at] = made
        else:
            whole[:, at] = _invert(part, made, base[np.arange(len(rows)) % len(base)][:, at])
    return whole
