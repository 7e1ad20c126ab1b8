"""Make rows that stand where a model changes its mind, whatever it is made of.

Trees may stand behind scalers and other steps. Rows are made where the trees are and taken
back through the steps that can be inverted, one by one. What becomes of a text is tried.
"""

import contextlib
from collections.abc import Container, Iterator
from typing import Any

import numpy as np

from modeld.compiler.anatomy import columns_of, edges_of, members, steps_of, trees_of
from modeld.compiler.coding import Coding
from modeld.compiler.cuts import NEIGHBOURS, at_cuts, neighbours
from modeld.runtimes.columns import places
from modeld.runtimes.model import Array

_POINTS = ("_fit_X", "X_train_", "X_fit_", "support_vectors_", "cluster_centers_")
_MOST_POINTS = 300
_DEEPEST = 8
_BESIDE = 4
_MOST_TEXTS, _CHUNK, _MOVED_COUNTS = 60, 2048, 10.0


def rows_around(
    estimator: Any, base: Array, most: int, coding: Coding | None = None, depth: int = 0
) -> list[Array]:
    """Give up to about `most` rows of the same width as `base`.

    `coding` says what an estimator takes that does not take such rows themselves.
    """
    if depth > _DEEPEST or most < 1:
        return []
    steps = steps_of(estimator)
    if steps:
        return _through(_Steps(steps, base, coding), most, depth)
    trees = trees_of(estimator)
    if trees:
        return [at_cuts(trees, base, most)]
    width = base.shape[1]
    found = [*_points(estimator, width), *_at_edges(estimator, base, most)]
    for member, columns in members(estimator, width):
        made = rows_around(member, base[:, columns], most, coding, depth + 1)
        found += [_placed(rows, columns, base) for rows in made]
    if coding is None:
        for part, columns in columns_of(estimator, width):
            made = rows_around(part, base[:, columns], most, None, depth + 1)
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


def _at_edges(estimator: Any, base: Array, most: int) -> Iterator[Array]:
    """Rows where a step cuts a column, and beside."""
    width = base.shape[1]
    for column, values in edges_of(estimator, width):
        if not len(values):
            continue
        few = max(most // width // (NEIGHBOURS + _BESIDE), 1)
        chosen = values[np.unique(np.linspace(0, len(values) - 1, few).astype(np.int64))]
        beside = [chosen + 0.5, chosen - 0.5, chosen + 1.0, chosen - 1.0]
        tried = np.concatenate([neighbours(chosen).ravel(), *beside])
        rows = base[np.arange(len(tried)) % len(base)].copy()
        rows[:, column] = tried
        yield rows


class _Steps:
    """The steps of a pipeline, and what rows become behind each of them, as far as they go."""

    def __init__(self, steps: list[Any], base: Array, coding: Coding | None = None) -> None:
        self.steps = steps
        self.coding = coding
        self.behind = [base]
        for step in steps[:-1]:
            try:
                self.behind.append(_transformed(step, self.behind[-1], self._coding_of(step)))
            except Exception:
                # Some step does not take these rows; what was found before it is enough.
                break

    def _coding_of(self, step: Any) -> Coding | None:
        return self.coding if step is self.steps[0] else None

    def around(self, index: int, most: int, depth: int) -> list[Array]:
        """Make rows for one step."""
        step = self.steps[index]
        return rows_around(step, self.behind[index], most, self._coding_of(step), depth)

    def back(self, index: int, rows: Array) -> Array | None:
        """Take rows in front of a step back to the first; `None` where no way leads back."""
        if index >= len(self.behind):
            return None
        for step, base in reversed([*zip(self.steps[:index], self.behind, strict=False)]):
            try:
                with np.errstate(all="ignore"):
                    rows = _invert(step, rows, base, self._coding_of(step))
            except Exception:
                # Not every step has a way back, and one that has may refuse these rows.
                return None
        return rows


def _through(steps: _Steps, most: int, depth: int) -> list[Array]:
    made = (
        steps.back(index, rows)
        for index in range(len(steps.behind))
        for rows in steps.around(index, most, depth + 1)
    )
    return [rows for rows in made if rows is not None]


def _transformed(step: Any, rows: Array, coding: Coding | None) -> Array:
    made = step.transform(rows if coding is None else coding.given(rows))
    return np.asarray(made.toarray() if hasattr(made, "toarray") else made, dtype=np.float64)


def _invert(step: Any, rows: Array, base: Array, coding: Coding | None = None) -> Array:
    if coding is not None:
        return _with_choices(step, rows, _invert_columns(step, rows, base, coding.texts), coding)
    inner = steps_of(step)
    if inner:
        found = _Steps([*inner, None], base).back(len(inner), rows)
        if found is None:
            raise ValueError("no way back")
        return found
    if hasattr(step, "output_indices_"):
        return _invert_columns(step, rows, base)
    with contextlib.suppress(Exception):
        # What fills gaps has such a method and refuses.
        return np.asarray(step.inverse_transform(rows), dtype=np.float64)
    if rows.shape[1] == base.shape[1] and np.allclose(step.transform(rows), rows, equal_nan=True):
        return rows
    raise ValueError("no way back")


def _invert_columns(step: Any, rows: Array, base: Array, texts: Container[int] = ()) -> Array:
    """Take the parts back of which there is a way; the others' columns are as in `base`."""
    whole = base[np.arange(len(rows)) % len(base)].copy()
    outputs = getattr(step, "output_indices_", {})
    names = list(getattr(step, "feature_names_in_", ()))
    for name, part, columns in getattr(step, "transformers_", ()):
        at = places(columns, base.shape[1], names)
        made = rows[:, outputs.get(name, slice(0, 0))]
        if not at or any(column in texts for column in at):
            continue
        with contextlib.suppress(Exception):
            # What it does to its columns cannot be undone.
            whole[:, at] = made if part == "passthrough" else _invert(part, made, whole[:, at])
    return whole


def _with_choices(step: Any, rows: Array, whole: Array, coding: Coding) -> Array:
    """Take for each text the one of which the step makes what is nearest to the rows."""
    for column, texts in coding.texts.items():
        most = np.linspace(0, len(texts) - 1, _MOST_TEXTS).astype(np.int64)
        tried = np.unique(np.concatenate([most, [len(texts) - 1]]))
        given = np.repeat(whole[:1], len(tried), axis=0)
        given[:, column] = tried
        made = _transformed(step, given, coding)
        varies = np.flatnonzero((made != made[:1]).any(axis=0))
        if len(varies):
            nearest = _nearest(rows[:, varies], made[:, varies])
            whole[:, column] = tried[nearest]
    return whole


def _nearest(rows: Array, made: Array) -> Array:
    """Find for each row the best of a few; a value that none of them has was moved on purpose."""
    best = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        costs = np.zeros((len(part), len(made)))
        for value, choices in zip(part.T, made.T, strict=True):
            possible = np.unique(choices)
            at = np.abs(value[:, np.newaxis] - possible).argmin(axis=1)
            was_moved = possible[at] != value
            weights = np.where(was_moved, _MOVED_COUNTS, 1.0)
            costs += weights[:, np.newaxis] * (possible[at][:, np.newaxis] != choices)
        best[start : start + _CHUNK] = costs.argmin(axis=1)
    return best
