"""Read the trees of histogram gradient boosting.

They compare in doubles. A categorical split asks whether the value is in a set; it becomes
a chain of branches that each ask for one value of the input, so that the encoder in front
of scikit-learn's trees is needed no more. What is in no set goes where missing values go.
"""

from typing import Any

import numpy as np

from modeld.compiler.forest import EQUAL, LESS_OR_EQUAL, Nodes
from modeld.runtimes.model import Array


class Categories:
    """Which value of the input each code of a categorical feature stands for.

    A text is no number, so that no number goes where it does.
    """

    def __init__(self, model: Any) -> None:
        is_categorical = model.is_categorical_
        self._values: list[Array] = []
        self._known: Array = np.zeros((0, 8), np.uint32)
        self._inputs = np.arange(model.n_features_in_)
        if is_categorical is None:
            return
        # The native encoder moves categorical columns to the front.
        self._inputs = np.concatenate(
            [np.flatnonzero(is_categorical), np.flatnonzero(~is_categorical)]
        )
        encoder = model._preprocessor.named_transformers_["encoder"]
        self._values = [_numbers(values) for values in encoder.categories_]
        self._known, _ = model._bin_mapper.make_known_categories_bitsets()

    def column(self, feature: int) -> int:
        """The column of the input that a feature is."""
        return int(self._inputs[feature])

    def sides(self, feature: int, left_bits: Array) -> tuple[Array, Array]:
        """The values that go left and those that go right."""
        codes = np.arange(len(self._values[feature]))
        known = _is_in(self._known[feature], codes) & ~np.isnan(self._values[feature])
        left = _is_in(left_bits, codes)
        return self._values[feature][known & left], self._values[feature][known & ~left]


def _numbers(values: Any) -> Array:
    return np.array([np.nan if isinstance(v, str) else v for v in values], dtype=np.float64)


def _is_in(bits: Array, codes: Array) -> Array:
    found: Array = (bits[codes // 32] >> (codes % 32).astype(np.uint32)) & 1 == 1
    return found


def read(predictor: Any, categories: Categories) -> Nodes:
    """Read one native tree, its categorical splits as chains."""
    native = predictor.nodes
    is_leaf = native["is_leaf"].astype(bool)
    nodes = Nodes(
        left=np.where(is_leaf, -1, native["left"].astype(np.int64)),
        right=np.where(is_leaf, -1, native["right"].astype(np.int64)),
        features=np.array([categories.column(f) for f in native["feature_idx"]], np.int64),
        thresholds=np.array(native["num_threshold"], np.float64),
        modes=np.full(len(native), LESS_OR_EQUAL, np.uint8),
        missing_left=native["missing_go_to_left"].astype(bool),
        values=np.array(native["value"], np.float64)[:, None],
    )
    for index in np.flatnonzero(native["is_categorical"].astype(bool) & ~is_leaf):
        sides = categories.sides(
            int(native["feature_idx"][index]),
            predictor.raw_left_cat_bitsets[native["bitset_idx"][index]],
        )
        nodes = _with_chain(nodes, int(index), *sides)
    return nodes


def _with_chain(nodes: Nodes, index: int, go_left: Array, go_right: Array) -> Nodes:
    """Ask for the values of the side where missing ones do not go, one after another."""
    missing_left = bool(nodes.missing_left[index])
    asked = go_right if missing_left else go_left
    found = int((nodes.right if missing_left else nodes.left)[index])
    rest = int((nodes.left if missing_left else nodes.right)[index])
    if not len(asked):
        # Nothing is asked for: a question that no value answers, missing or not.
        asked = np.array([np.inf])
    links = np.concatenate([[index], len(nodes.left) + np.arange(len(asked) - 1)]).astype(np.int64)
    grown = Nodes(*(_grown(column, len(asked) - 1) for column in _columns(nodes)))
    grown.left[links] = found
    grown.right[links] = np.append(links[1:], rest)
    grown.features[links] = nodes.features[index]
    grown.thresholds[links] = asked
    grown.modes[links] = EQUAL
    grown.missing_left[links] = False
    return grown


def _columns(nodes: Nodes) -> tuple[Array, ...]:
    return (
        nodes.left,
        nodes.right,
        nodes.features,
        nodes.thresholds,
        nodes.modes,
        nodes.missing_left,
        nodes.values,
    )


def _grown(column: Array, count: int) -> Array:
    return np.concatenate([column, np.zeros((count, *column.shape[1:]), column.dtype)])
