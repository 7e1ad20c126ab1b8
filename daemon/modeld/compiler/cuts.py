"""Make rows that stand exactly at the thresholds of trees.

A row is first moved into the box of values that reaches a branch, then its feature is set
to the branch's threshold or one of its neighbours: the next doubles, the next floats, and
the doubles between which rounding to a float changes its mind.
"""

from collections.abc import Sequence

import numpy as np

from modeld.compiler.forest import EQUAL, Nodes
from modeld.runtimes.model import Array

NEIGHBOURS = 8


def at_cuts(trees: Sequence[Nodes], base: Array, most: int) -> Array:
    """Give up to `most` rows at thresholds, spread evenly over all branches of all trees."""
    counts = [int((tree.left >= 0).sum()) for tree in trees]
    wanted = max(most // NEIGHBOURS, 1)
    chosen = np.unique(np.linspace(0, max(sum(counts) - 1, 0), wanted).astype(np.int64))
    found, start = [base[:0]], 0
    for tree, count in zip(trees, counts, strict=True):
        picked = chosen[(chosen >= start) & (chosen < start + count)] - start
        if len(picked):
            found.append(_at_branches(tree, np.flatnonzero(tree.left >= 0)[picked], base, start))
        start += count
    return np.concatenate(found)


def _at_branches(tree: Nodes, branches: Array, base: Array, seed: int) -> Array:
    rows = base[(np.arange(len(branches)) * 31 + seed) % len(base)].copy()
    rows = _reaching(tree, branches, rows)
    values = neighbours(tree.thresholds[branches])
    repeated = np.repeat(rows, NEIGHBOURS, axis=0)
    features = np.repeat(tree.features[branches], NEIGHBOURS)
    repeated[np.arange(len(repeated)), features] = values.ravel()
    return repeated


def neighbours(values: Array) -> Array:
    """Each value, the doubles and floats next to it, and where rounding to a float turns."""
    with np.errstate(all="ignore"):
        narrow = values.astype(np.float32)
        above = np.nextafter(narrow, np.float32(np.inf)).astype(np.float64)
        below = np.nextafter(narrow, np.float32(-np.inf)).astype(np.float64)
    wide = narrow.astype(np.float64)
    found = [
        values,
        wide,
        np.nextafter(values, np.inf),
        np.nextafter(values, -np.inf),
        above,
        below,
        wide / 2 + above / 2,
        wide / 2 + below / 2,
    ]
    return np.stack(found, axis=1)


def _reaching(tree: Nodes, branches: Array, rows: Array) -> Array:
    """Move each row into the box in which the tree arrives at its branch."""
    parent, is_left = _parents(tree)
    places = np.arange(len(branches))
    low, high = np.full(rows.shape, -np.inf), np.full(rows.shape, np.inf)
    nodes = branches
    while (nodes > 0).any():
        above = np.where(nodes > 0, parent[nodes], -1)
        goes_left = is_left[nodes]
        real = above >= 0
        at, feature = places[real], tree.features[above[real]]
        cut, left = tree.thresholds[above[real]], goes_left[real]
        equal = tree.modes[above[real]] == EQUAL
        upper = np.where(left, cut, np.inf)
        # A step of a float, so that the cast to one cannot undo it.
        lower = np.where(~left, _float_above(cut), -np.inf)
        lower = np.where(equal, np.where(left, cut, -np.inf), lower)
        upper = np.where(equal & ~left, np.inf, upper)
        high[at, feature] = np.minimum(high[at, feature], upper)
        low[at, feature] = np.maximum(low[at, feature], lower)
        nodes = np.where(real, above, 0)
    moved: Array = np.minimum(np.maximum(rows, low), high)
    return moved


def _float_above(values: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.nextafter(values.astype(np.float32), np.float32(np.inf)).astype(np.float64)


def _parents(tree: Nodes) -> tuple[Array, Array]:
    parent = np.full(len(tree.left), -1)
    is_left = np.zeros(len(tree.left), bool)
    branches = np.flatnonzero(tree.left >= 0)
    parent[tree.right[branches]] = branches
    parent[tree.left[branches]] = branches
    is_left[tree.left[branches]] = True
    return parent, is_left
