"""Read scikit-learn's tree ensembles: which trees they add up, in which order.

The order and the factors are scikit-learn's own, so that sums are rounded as they are there.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from modeld.compiler import histogram
from modeld.compiler.forest import LESS_OR_EQUAL, Nodes, Tree, constant, scaled, split
from modeld.runtimes.model import Array


def read_tree(tree: Any) -> Nodes:
    """Read a `tree_`: one target per output and class."""
    is_leaf = tree.children_left < 0
    missing = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count))
    return Nodes(
        left=np.array(tree.children_left, np.int64),
        right=np.array(tree.children_right, np.int64),
        features=np.where(is_leaf, 0, tree.feature),
        thresholds=np.where(is_leaf, 0.0, tree.threshold),
        modes=np.full(tree.node_count, LESS_OR_EQUAL, np.uint8),
        missing_left=np.asarray(missing).astype(bool) & ~is_leaf,
        values=tree.value.reshape(tree.node_count, -1),
    )


def averaged_trees(model: Any) -> list[Tree]:
    """A single tree, or the trees of a forest, whose sum is then divided by their number."""
    members = getattr(model, "estimators_", [model])
    return [tree for member in members for tree in split(read_tree(member.tree_))]


def boosted_trees(model: Any) -> list[Tree]:
    """The trees of gradient boosting, behind the constants that it begins with."""
    stages = model.estimators_
    start = model._raw_predict_init(np.zeros((1, model.n_features_in_)))
    found = list(_constants(start.ravel()))
    for stage in stages:
        for target, member in enumerate(stage):
            found += [
                scaled(_moved(tree, target), model.learning_rate)
                for tree in split(read_tree(member.tree_))
            ]
    return found


def histogram_trees(model: Any) -> list[Tree]:
    """The trees of histogram gradient boosting, behind its baseline."""
    categories = histogram.Categories(model)
    found = list(_constants(np.ravel(model._baseline_prediction)))
    for stage in model._predictors:
        for target, predictor in enumerate(stage):
            nodes = histogram.read(predictor, categories)
            found += [_moved(tree, target) for tree in split(nodes)]
    return found


def _constants(values: Array) -> Iterator[Tree]:
    for target, value in enumerate(values):
        yield constant(target, float(value))


def _moved(tree: Tree, target: int) -> Tree:
    return replace(tree, target=target)
