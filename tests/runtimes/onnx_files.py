"""Write small ONNX models, harmless and otherwise."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSET, ML_OPSET, IR = 17, 3, 8
FLOAT, DOUBLE, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64
STRING = TensorProto.STRING


def value(name: str, kind: int, shape: Sequence[int | str]) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def build(
    nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], weights: Sequence[Any] = ()
) -> Any:
    """Make a model of nodes."""
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(weights))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR)


def save(path: Path, model: Any) -> str:
    path.write_bytes(model.SerializeToString())
    return str(path)


def regression(kind: int = DOUBLE, width: int = 2) -> Any:
    """The sum of a row's numbers."""
    dtype = np.float32 if kind == FLOAT else np.float64
    weights = numpy_helper.from_array(np.ones((width, 1), dtype), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    shapes = [value("x", kind, ["n", width])], [value("y", kind, ["n", 1])]
    return build([node], *shapes, [weights])


def classifier(kind: int = FLOAT, labels: Sequence[int | str] = (10, 20)) -> Any:
    """The second class where the first number is positive, with probabilities."""
    is_text = isinstance(labels[0], str)
    key = "classlabels_strings" if is_text else "classlabels_ints"
    node = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        coefficients=[-1.0, 0.0, 1.0, 0.0],
        intercepts=[0.0, 0.0],
        post_transform="SOFTMAX",
        multi_class=1,
    )
    node.attribute.append(helper.make_attribute(key, list(labels)))
    outputs = [
        value("label", STRING if is_text else INT64, ["n"]),
        value("scores", FLOAT, ["n", 2]),
    ]
    return build([node], [value("x", kind, ["n", 2])], outputs)


def with_zip_map() -> Any:
    """A classifier whose probabilities are a list of dictionaries, as skl2onnx writes them."""
    model = classifier()
    model.graph.output.pop()
    node = helper.make_node(
        "ZipMap", ["scores"], ["zipped"], domain="ai.onnx.ml", classlabels_int64s=[10, 20]
    )
    model.graph.node.append(node)
    kind = helper.make_sequence_type_proto(
        helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, None))
    )
    model.graph.output.append(helper.make_value_info("zipped", kind))
    return model


def columns() -> Any:
    """Two inputs of one column each, one of whole numbers."""
    nodes = [
        helper.make_node("Cast", ["age"], ["a"], to=FLOAT),
        helper.make_node("Add", ["a", "size"], ["y"]),
    ]
    inputs = [value("age", INT64, ["n", 1]), value("size", FLOAT, ["n", 1])]
    return build(nodes, inputs, [value("y", FLOAT, ["n", 1])])


def whole_numbers() -> Any:
    """Takes whole numbers and gives them back."""
    node = helper.make_node("Identity", ["x"], ["y"])
    return build([node], [value("x", INT64, ["n", 2])], [value("y", INT64, ["n", 2])])


def clusters() -> Any:
    """A number for each row, and how far it is from everything."""
    nodes = [
        helper.make_node("ArgMin", ["x"], ["label"], axis=1, keepdims=0),
        helper.make_node("Abs", ["x"], ["distances"]),
    ]
    outputs = [value("label", INT64, ["n"]), value("distances", FLOAT, ["n", 2])]
    return build(nodes, [value("x", FLOAT, ["n", 2])], outputs)


def detector() -> Any:
    """Two boxes of whole numbers for each row, their scores, and how many are good."""
    nodes = [
        helper.make_node("Cast", ["x"], ["whole"], to=INT64),
        helper.make_node("Unsqueeze", ["whole", "axis"], ["box"]),
        helper.make_node("Concat", ["box", "box"], ["boxes"], axis=1),
        helper.make_node("Sigmoid", ["x"], ["scores"]),
        helper.make_node("ReduceMax", ["whole"], ["count"], axes=[1], keepdims=1),
    ]
    outputs = [
        value("boxes", INT64, ["n", 2, 2]),
        value("scores", FLOAT, ["n", 2]),
        value("count", INT64, ["n", 1]),
    ]
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    return build(nodes, [value("x", FLOAT, ["n", 2])], outputs, [axis])


def identity(kind: int, shape: Sequence[int | str]) -> Any:
    """Gives back what it is given."""
    node = helper.make_node("Identity", ["x"], ["y"])
    return build([node], [value("x", kind, shape)], [value("y", kind, shape)])


def mixed_columns() -> Any:
    """Half of the number where the text is `a`, the number itself for other texts."""
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["word"],
            ["factor"],
            domain="ai.onnx.ml",
            keys_strings=["a"],
            values_floats=[0.5],
            default_float=1.0,
        ),
        helper.make_node("Squeeze", ["size"], ["flat"]),
        helper.make_node("Mul", ["factor", "flat"], ["y"]),
    ]
    inputs = [value("word", STRING, ["n"]), value("size", FLOAT, ["n", 1])]
    return build(nodes, inputs, [value("y", FLOAT, ["n"])])


def huge_constant(size: int = 1 << 29) -> Any:
    """A few bytes that become 2 GB."""
    shape = numpy_helper.from_array(np.array([size], np.int64), "shape")
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["s"], keepdims=0),
        helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    return build(nodes, [value("x", FLOAT, ["n", 2])], [value("y", FLOAT, ["n", 2])], [shape])


def endless_loop(turns: int = 1 << 40) -> Any:
    """A few bytes that take for ever."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["v", "v"], ["w"]),
        ],
        "body",
        [value("i", INT64, []), value("go", TensorProto.BOOL, []), value("v", FLOAT, ["n", 2])],
        [value("on", TensorProto.BOOL, []), value("w", FLOAT, ["n", 2])],
    )
    limit = numpy_helper.from_array(np.array(turns, np.int64), "turns")
    always = numpy_helper.from_array(np.array(True), "always")
    node = helper.make_node("Loop", ["turns", "always", "x"], ["y"], body=body)
    shapes = [value("x", FLOAT, ["n", 2])], [value("y", FLOAT, ["n", 2])]
    return build([node], *shapes, [limit, always])


def regression_in_a_branch() -> Any:
    """The sum of a row's numbers, whose weights are inside of an `If`."""
    model = regression()
    weights = model.graph.initializer.pop()
    branch = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["out"])], "branch", [], [value("out", DOUBLE, [2, 1])]
    )
    branch.initializer.append(weights)
    always = numpy_helper.from_array(np.array(True), "always")
    model.graph.initializer.append(always)
    node = helper.make_node("If", ["always"], ["w"], then_branch=branch, else_branch=branch)
    model.graph.node.insert(0, node)
    return model


def weights_of(model: Any) -> Any:
    """Give the tensor that `regression` multiplies with, wherever it is."""
    node = model.graph.node[0]
    return (node.attribute[0].g if node.op_type == "If" else model.graph).initializer[0]


def external(tensor: Any, location: str = "weights.bin") -> Any:
    """Say that a tensor's bytes are in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def external_weights() -> Any:
    model = regression()
    external(model.graph.initializer[0])
    return model


def external_constant() -> Any:
    """The same, by an operator's attribute rather than by an initializer."""
    model = regression()
    tensor = external(model.graph.initializer.pop())
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=tensor))
    return model


def own_function() -> Any:
    """A model that hides its operators in a function."""
    model = regression()
    inner = helper.make_node("MatMul", ["a", "b"], ["c"])
    function = helper.make_function(
        "own", "F", ["a", "b"], ["c"], [inner], [helper.make_opsetid("", OPSET)]
    )
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node[0].op_type, model.graph.node[0].domain = "F", "own"
    return model


def operator(name: str, domain: str = "") -> Any:
    """A model with one operator of this name, whether it works or not."""
    node = helper.make_node(name, ["x"], ["y"], domain=domain)
    return build([node], [value("x", FLOAT, ["n", 2])], [value("y", FLOAT, ["n", 2])])
