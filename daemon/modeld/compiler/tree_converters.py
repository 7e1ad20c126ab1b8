"""Convert scikit-learn's trees in place of skl2onnx's own converters.

Those round thresholds to what a float or a shifted double can say and add up in floats;
labels then differ near thresholds and ties. These keep every number (see `forest`).
skl2onnx finds them by the model's type, wherever in a pipeline or another ensemble it stands.

Trees and forests compare the float32 of a value with a double, hence the two casts in front;
histogram gradient boosting compares doubles.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx.common.data_types import DoubleTensorType
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from skl2onnx.common.utils_classifier import get_label_classes
from sklearn import ensemble, tree

from modeld.compiler import ensembles
from modeld.compiler.forest import Tree, attributes
from modeld.compiler.writer import Writer
from modeld.runtimes.model import Array


class _Writer(Writer):
    """Writes the trees of a model."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        super().__init__(scope, operator, container)
        self.input = self.inputs[0]
        if container.get_options(self.model, {}, fail=False).get("raw_scores"):
            raise NotImplementedError("raw scores of trees are asked for")

    def sums(self, trees: Sequence[Tree], targets: int, *, as_float: bool) -> str:
        """Add the trees up; one column per target."""
        rows = self.input
        if as_float:
            rows = self.node("Cast", rows, to=TensorProto.FLOAT)
        rows = self.node("Cast", rows, to=TensorProto.DOUBLE)
        found = attributes(trees, targets)
        # skl2onnx refuses to name version 5, in which `TreeEnsemble` came; `graph` names it after.
        return self.ml_node("TreeEnsemble", rows, **found)

    def averages(self) -> str:
        """The mean over the trees, one column per output and class."""
        members = getattr(self.model, "estimators_", None)
        values = (members or [self.model])[0].tree_.value
        sums = self.sums(ensembles.averaged_trees(self.model), values[0].size, as_float=True)
        return self.node("Div", sums, self.constant(np.float64(len(members)))) if members else sums

    def label(self, scores: str) -> None:
        """Answer the class with the first highest score."""
        best = self.node("ArgMax", scores, axis=1, keepdims=0)
        self.pick(best)

    def pick(self, index: str) -> None:
        """Answer the class of each index."""
        classes = _as_labels(get_label_classes(self._scope, self.model))
        self.node("Gather", self.constant(classes), index, output=self.outputs[0])


def _as_labels(classes: Any) -> Array:
    """Classes as skl2onnx gives them: whole numbers or texts."""
    array = np.asarray(classes)
    return array if array.dtype.kind in "UO" else array.astype(np.int64)


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    writer = _Writer(scope, operator, container)
    averages = writer.averages()
    if writer.model.n_outputs_ > 1:
        _label_each_output(writer, averages)
        return
    writer.label(averages)
    writer.node("Identity", averages, output=writer.outputs[1])


def _label_each_output(writer: _Writer, averages: str) -> None:
    classes = [_as_labels(each) for each in writer.model.classes_]
    outputs, most = len(classes), max(map(len, classes))
    shape = writer.constant(np.array([-1, outputs, most]))
    scores = writer.node("Reshape", averages, shape)
    writer.node("Transpose", scores, output=writer.outputs[1], perm=[1, 0, 2])
    best = writer.node("ArgMax", scores, axis=2, keepdims=0)
    table = np.concatenate([np.resize(each, most) for each in classes])
    place = writer.node("Add", best, writer.constant(np.arange(outputs) * most))
    writer.node("Gather", writer.constant(table), place, output=writer.outputs[0])


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    writer = _Writer(scope, operator, container)
    writer.node("Identity", writer.averages(), output=writer.outputs[0])


def _convert_boosted_classifier(scope: Any, operator: Any, container: Any) -> None:
    writer = _Writer(scope, operator, container)
    model = writer.model
    targets = model.n_trees_per_iteration_
    scores = writer.sums(ensembles.boosted_trees(model), targets, as_float=True)
    scale = 2.0 if model.loss == "exponential" else 1.0
    _label_boosted(writer, scores, targets, scale=scale, question="GreaterOrEqual")


def _convert_histogram_classifier(scope: Any, operator: Any, container: Any) -> None:
    writer = _Writer(scope, operator, container)
    targets = writer.model.n_trees_per_iteration_
    scores = writer.sums(ensembles.histogram_trees(writer.model), targets, as_float=False)
    _label_boosted(writer, scores, targets, scale=1.0, question="Greater")


def _label_boosted(
    writer: _Writer, scores: str, targets: int, *, scale: float, question: str
) -> None:
    if targets > 1:
        writer.label(scores)
        writer.node("Softmax", scores, output=writer.outputs[1], axis=1)
        return
    is_second = writer.node(question, scores, writer.constant(np.float64(0)))
    index = writer.node("Cast", is_second, to=TensorProto.INT64)
    writer.pick(writer.node("Reshape", index, writer.constant(np.array([-1]))))
    if scale != 1:
        scores = writer.node("Mul", scores, writer.constant(np.float64(scale)))
    second = writer.node("Sigmoid", scores)
    first = writer.node("Sub", writer.constant(np.float64(1)), second)
    writer.node("Concat", first, second, output=writer.outputs[1], axis=1)


def _convert_boosted_regressor(scope: Any, operator: Any, container: Any) -> None:
    writer = _Writer(scope, operator, container)
    sums = writer.sums(ensembles.boosted_trees(writer.model), 1, as_float=True)
    writer.node("Identity", sums, output=writer.outputs[0])


def _convert_histogram_regressor(scope: Any, operator: Any, container: Any) -> None:
    writer = _Writer(scope, operator, container)
    sums = writer.sums(ensembles.histogram_trees(writer.model), 1, as_float=False)
    has_log_link = type(writer.model._loss.link).__name__ == "LogLink"
    writer.node("Exp" if has_log_link else "Identity", sums, output=writer.outputs[0])


def _shape_classifier(operator: Any) -> None:
    operator.outputs[1].set_type(DoubleTensorType())
    calculate_linear_classifier_output_shapes(operator)


def _shape_regressor(operator: Any) -> None:
    calculate_linear_regressor_output_shapes(operator)
    operator.outputs[0].set_type(DoubleTensorType(operator.outputs[0].type.shape))


Step = Callable[[Any, Any, Any], None]

CONVERTERS: dict[type, Step] = {
    tree.DecisionTreeClassifier: _convert_classifier,
    tree.ExtraTreeClassifier: _convert_classifier,
    ensemble.RandomForestClassifier: _convert_classifier,
    ensemble.ExtraTreesClassifier: _convert_classifier,
    ensemble.GradientBoostingClassifier: _convert_boosted_classifier,
    ensemble.HistGradientBoostingClassifier: _convert_histogram_classifier,
    tree.DecisionTreeRegressor: _convert_regressor,
    tree.ExtraTreeRegressor: _convert_regressor,
    ensemble.RandomForestRegressor: _convert_regressor,
    ensemble.ExtraTreesRegressor: _convert_regressor,
    ensemble.GradientBoostingRegressor: _convert_boosted_regressor,
    ensemble.HistGradientBoostingRegressor: _convert_histogram_regressor,
}

SHAPES: dict[type, Callable[[Any], None]] = {
    kind: _shape_classifier if kind.__name__.endswith("Classifier") else _shape_regressor
    for kind in CONVERTERS
}
