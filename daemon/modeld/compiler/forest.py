"""Write decision trees as the attributes of ONNX's `TreeEnsemble`, without loss.

`TreeEnsemble` (ai.onnx.ml 5) keeps thresholds and leaf values as doubles and adds in
doubles, tree after tree, as scikit-learn does: the sums come out bit for bit. One leaf adds
to one target, so a tree with several values per leaf becomes one tree per target. Where both
sides of a branch give a target the same value, that branch is left out: a fully grown
forest's trees stay about as large as they were, however many classes there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modeld.runtimes.model import Array

LESS_OR_EQUAL, EQUAL = 0, 4

_SUM, _NO_TRANSFORM = 1, 0


@dataclass(frozen=True, slots=True)
class Nodes:
    """A native tree: one entry per node, children by index, -1 in leaves.

    `values` has one column per target. A row goes left when its feature is at most the
    threshold (or equal to it, by the mode); a missing value goes left where `missing_left`.
    """

    left: Array
    right: Array
    features: Array
    thresholds: Array
    modes: Array
    missing_left: Array
    values: Array


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree that adds to one target: its branches and leaves. A child below 0 is leaf `~child`."""

    target: int
    left: Array
    right: Array
    features: Array
    thresholds: Array
    modes: Array
    missing_left: Array
    leaves: Array


def split(nodes: Nodes) -> Iterator[Tree]:
    """Make one tree per target, without branches that make no difference to it."""
    same, values = _fold(nodes)
    for target in range(values.shape[1]):
        yield _pick(nodes, target, same[:, target], values[:, target])


def constant(target: int, value: float) -> Tree:
    """A tree that adds the same to every row: one branch with two equal leaves."""
    return Tree(
        target=target,
        left=np.array([~0]),
        right=np.array([~1]),
        features=np.zeros(1, np.int64),
        thresholds=np.zeros(1),
        modes=np.zeros(1, np.uint8),
        missing_left=np.zeros(1, bool),
        leaves=np.array([value, value]),
    )


def scaled(tree: Tree, factor: float) -> Tree:
    """The same tree with every leaf multiplied."""
    return replace(tree, leaves=tree.leaves * factor)


def attributes(trees: Sequence[Tree], targets: int) -> dict[str, Any]:
    """Give the attributes of the `TreeEnsemble` that adds up these trees."""
    from onnx import numpy_helper

    branch_starts = _starts([len(tree.left) for tree in trees])
    leaf_starts = _starts([len(tree.leaves) for tree in trees])
    left, left_is_leaf = _children([t.left for t in trees], branch_starts, leaf_starts)
    right, right_is_leaf = _children([t.right for t in trees], branch_starts, leaf_starts)
    missing_left = np.concatenate([tree.missing_left for tree in trees])
    found = {
        "n_targets": targets,
        "aggregate_function": _SUM,
        "post_transform": _NO_TRANSFORM,
        "tree_roots": branch_starts.tolist(),
        "nodes_featureids": _joined([tree.features for tree in trees], np.int64).tolist(),
        "nodes_splits": numpy_helper.from_array(_joined([t.thresholds for t in trees], np.float64)),
        "nodes_modes": numpy_helper.from_array(_joined([tree.modes for tree in trees], np.uint8)),
        "nodes_truenodeids": left.tolist(),
        "nodes_trueleafs": left_is_leaf.tolist(),
        "nodes_falsenodeids": right.tolist(),
        "nodes_falseleafs": right_is_leaf.tolist(),
        "leaf_weights": numpy_helper.from_array(_joined([t.leaves for t in trees], np.float64)),
        "leaf_targetids": np.repeat(
            [tree.target for tree in trees], [len(tree.leaves) for tree in trees]
        ).tolist(),
    }
    if missing_left.any():
        found["nodes_missing_value_tracks_true"] = missing_left.astype(np.int64).tolist()
    return found


def _fold(nodes: Nodes) -> tuple[Array, Array]:
    """Find from the leaves up where a whole subtree has one value, and which."""
    same = np.repeat((nodes.left < 0)[:, None], nodes.values.shape[1], axis=1)
    values = np.array(nodes.values, dtype=np.float64)
    for level in reversed(_levels(nodes)):
        left, right = nodes.left[level], nodes.right[level]
        alike = same[left] & same[right] & (values[left] == values[right])
        same[level] = alike
        values[level] = np.where(alike, values[left], values[level])
    return same, values


def _levels(nodes: Nodes) -> list[Array]:
    """The branches, level by level from the root."""
    levels = []
    level = np.array([0])
    while len(level := level[nodes.left[level] >= 0]):
        levels.append(level)
        level = np.concatenate([nodes.left[level], nodes.right[level]])
    return levels


def _pick(nodes: Nodes, target: int, same: Array, values: Array) -> Tree:
    if same[0]:
        return constant(target, float(values[0]))
    branches = np.flatnonzero(~same)
    numbers = np.empty(len(same), np.int64)
    numbers[branches] = np.arange(len(branches))
    children = np.concatenate([nodes.left[branches], nodes.right[branches]])
    leaves = children[same[children]]
    named = numbers[children]
    named[same[children]] = ~np.arange(len(leaves))
    left, right = np.split(named, 2)
    return Tree(
        target=target,
        left=left,
        right=right,
        features=nodes.features[branches],
        thresholds=nodes.thresholds[branches],
        modes=nodes.modes[branches],
        missing_left=nodes.missing_left[branches],
        leaves=values[leaves],
    )


def _starts(lengths: Sequence[int]) -> Array:
    return np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)


def _children(
    children: Sequence[Array], branch_starts: Array, leaf_starts: Array
) -> tuple[Array, Array]:
    lengths = [len(each) for each in children]
    joined = np.concatenate(children)
    is_leaf = joined < 0
    starts = np.where(is_leaf, np.repeat(leaf_starts, lengths), np.repeat(branch_starts, lengths))
    return np.where(is_leaf, ~joined, joined) + starts, is_leaf.astype(np.int64)


def _joined(parts: Sequence[Array], dtype: Any) -> Array:
    return np.concatenate(parts).astype(dtype)
