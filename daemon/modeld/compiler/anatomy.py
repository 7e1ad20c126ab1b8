"""Take a fitted scikit-learn model apart: its steps, members, columns and trees.

Nothing here knows every class; what looks like a part of the model and takes rows of the
same width is one.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from modeld.compiler import ensembles, histogram
from modeld.compiler.forest import EQUAL, Nodes
from modeld.runtimes.columns import places
from modeld.runtimes.model import Array


def steps_of(estimator: Any) -> list[Any]:
    """The steps of a pipeline that do something, in order, those of pipelines in it as well."""
    steps = getattr(estimator, "steps", None)
    if not isinstance(steps, list) or not hasattr(estimator, "named_steps"):
        return []
    found = []
    for _, step in steps:
        if step is not None and not isinstance(step, str):
            found += steps_of(step) or [step]
    return found


def columns_behind(estimator: Any, columns: Array) -> Array:
    """Say which column is given on as it is, for each that comes out; -1 where none is.

    `columns` says it of what goes in. Gaps may be filled.
    """
    for step in steps_of(estimator):
        columns = columns_behind(step, columns)
    if steps_of(estimator) or _gives_on(estimator, len(columns)):
        return columns
    outputs = getattr(estimator, "output_indices_", None)
    if outputs is None:
        return np.array([], np.int64)
    found = np.full(max((each.stop for each in outputs.values()), default=0), -1)
    names = list(getattr(estimator, "feature_names_in_", ()))
    for name, part, chosen in estimator.transformers_:
        at = np.array(places(chosen, len(columns), names), np.int64)
        made = columns_behind(part, columns[at])
        if len(made) == len(found[outputs.get(name, slice(0, 0))]):
            found[outputs[name]] = made
    return found


def _gives_on(estimator: Any, width: int) -> bool:
    if isinstance(estimator, str):
        return estimator == "passthrough"
    is_identity = getattr(estimator, "func", estimator) is None
    return is_identity or len(getattr(estimator, "statistics_", ())) == width


def columns_of(estimator: Any, width: int) -> Iterator[tuple[Any, Array]]:
    """The parts of a column transformer, with the columns that each takes."""
    if not hasattr(estimator, "output_indices_"):
        return
    names = list(getattr(estimator, "feature_names_in_", ()))
    for _, part, columns in estimator.transformers_:
        if not isinstance(part, str):
            yield part, np.array(places(columns, width, names), np.int64)


def members(estimator: Any, width: int) -> Iterator[tuple[Any, Array]]:
    """The models that an ensemble or a search holds, with the columns that each takes."""
    if trees_of(estimator) or hasattr(estimator, "output_indices_"):
        return
    chosen = getattr(estimator, "estimators_features_", None)
    if chosen is not None:
        yield from zip(estimator.estimators_, map(np.asarray, chosen), strict=True)
        return
    columns = np.arange(width)
    for member in _parts(estimator):
        if getattr(member, "n_features_in_", len(columns)) == len(columns):
            yield member, columns


def _parts(estimator: Any) -> Iterator[Any]:
    for name, value in getattr(estimator, "__dict__", {}).items():
        if name.endswith("_") or name == "transformer_list":
            yield from _models_in(value)
    if type(estimator).__name__ == "_CalibratedClassifier":
        yield estimator.estimator


def _models_in(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == object):
        for item in np.ravel(value).tolist() if isinstance(value, np.ndarray) else value:
            yield from _models_in(item)
    elif hasattr(value, "predict") or hasattr(value, "transform"):
        if hasattr(value, "__dict__") and not isinstance(value, type):
            yield value
    elif type(value).__name__ == "_CalibratedClassifier":
        yield value


def is_strict(encoder: Any) -> bool:
    """Tell whether an encoder fails on a category that it has not seen."""
    return getattr(encoder, "handle_unknown", "") == "error"


def edges_of(estimator: Any, width: int) -> Iterator[tuple[int, Array]]:
    """Where a step that is no tree changes its mind: a column, and values of it."""
    edges = list(getattr(estimator, "bin_edges_", ())) or _categories_of_numbers(estimator)
    for name in ("threshold", "binarize", "missing_values"):
        value = getattr(estimator, name, None)
        if isinstance(value, int | float) and np.isfinite(value):
            edges = [np.array([value])] * width
    for column, values in enumerate(edges[:width]):
        finite = np.asarray(values, dtype=np.float64)
        yield column, finite[np.isfinite(finite)]


def _categories_of_numbers(estimator: Any) -> list[Array]:
    found = []
    for values in getattr(estimator, "categories_", ()):
        try:
            found.append(np.asarray(values, dtype=np.float64))
        except (TypeError, ValueError):
            # Texts; the columns behind them still count.
            found.append(np.empty(0))
    return found


def trees_of(estimator: Any) -> list[Nodes]:
    """The trees of a model that is a tree, a forest or boosted trees."""
    if hasattr(estimator, "tree_"):
        return [ensembles.read_tree(estimator.tree_)]
    if hasattr(estimator, "_predictors") and hasattr(estimator, "is_categorical_"):
        categories = histogram.Categories(estimator)
        predictors = [each for stage in estimator._predictors for each in stage]
        return [histogram.read(predictor, categories) for predictor in predictors]
    found = getattr(estimator, "estimators_", None)
    flat = [] if found is None else np.ravel(np.array(found, dtype=object)).tolist()
    if flat and all(hasattr(each, "tree_") for each in flat):
        if getattr(estimator, "estimators_features_", None) is not None:
            return []
        return [ensembles.read_tree(each.tree_) for each in flat]
    return []


def thresholds(estimator: Any) -> Iterator[tuple[int, Array]]:
    """Each feature that the model's trees ask for, with the values that they compare with."""
    trees = trees_of(estimator)
    if not trees:
        return
    asked = [tree.left >= 0 for tree in trees]
    features = np.concatenate(
        [tree.features[mask] for tree, mask in zip(trees, asked, strict=True)]
    )
    values = np.concatenate([t.thresholds[mask] for t, mask in zip(trees, asked, strict=True)])
    finite = np.isfinite(values)
    for feature in np.unique(features[finite]):
        yield int(feature), values[finite & (features == feature)]


def is_question_of_equality(tree: Nodes, node: Array) -> Array:
    """Tell which of some nodes ask whether a value is equal."""
    equal: Array = tree.modes[node] == EQUAL
    return equal
