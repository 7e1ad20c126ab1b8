"""Finish a converted graph: what a client sees of it is what the native model answers.

One input, the label or prediction first, probabilities second. Converters turn truth values
and fractions among classes into whole numbers; here they are turned back. What no output
needs is dropped, so that an unused operator cannot keep a model out of a worker.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from modeld.errors import CompileFailed
from modeld.runtimes.model import COMPILED, Array

_TREE_VERSION = 5


def finish(model: Any, answers: Array, classes: Sequence[Any], *, has_probabilities: bool) -> bytes:
    """Give the bytes of the model that answers like `answers`; raises `CompileFailed`."""
    _set_versions(model)
    outputs = list(model.graph.output)
    if has_probabilities and len(outputs) < 2:
        raise CompileFailed("the converted model has no probabilities")
    label = _as_native(model.graph, outputs[0], answers.dtype, classes)
    kept = [label, *outputs[1:2]] if has_probabilities else [label]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    _drop_unused(model.graph)
    entry = model.metadata_props.add()
    entry.key, entry.value = COMPILED, "1"
    written: bytes = model.SerializeToString()
    return written


def has_exact_trees(model: Any) -> bool:
    """Tell whether the graph has trees that `forest` wrote."""
    return any(node.op_type == "TreeEnsemble" for node in model.graph.node)


def has_trees(model: Any) -> bool:
    """Tell whether the graph has trees, whoever wrote them."""
    return any(node.op_type.startswith("TreeEnsemble") for node in model.graph.node)


def has_endless_thresholds(model: Any) -> bool:
    """Tell whether such trees ask whether a value is missing, and nothing else of it."""
    from onnx import numpy_helper

    return any(
        np.isinf(numpy_helper.to_array(attribute.t)).any()
        for node in model.graph.node
        for attribute in node.attribute
        if attribute.name == "nodes_splits"
    )


def _set_versions(model: Any) -> None:
    """Name each domain once, with the version that the operators need."""
    versions: dict[str, int] = {}
    for opset in model.opset_import:
        versions[opset.domain] = max(opset.version, versions.get(opset.domain, 0))
    if has_exact_trees(model):
        versions["ai.onnx.ml"] = _TREE_VERSION
    del model.opset_import[:]
    for domain, version in versions.items():
        opset = model.opset_import.add()
        opset.domain, opset.version = domain, version


def _as_native(graph: Any, output: Any, dtype: Any, classes: Sequence[Any]) -> Any:
    """Turn the whole numbers of a label back into what the native model answers."""
    from onnx import TensorProto, helper

    kind = output.type.tensor_type.elem_type
    is_whole = kind in (TensorProto.INT64, TensorProto.INT32)
    if dtype.kind == "b" and kind != TensorProto.BOOL:
        wanted = TensorProto.BOOL
    elif dtype.kind == "f" and is_whole:
        wanted = TensorProto.DOUBLE
    elif dtype.kind in "iu" and kind in (TensorProto.FLOAT, TensorProto.DOUBLE):
        wanted = TensorProto.INT64
    else:
        return output
    fractions = [c for c in classes if isinstance(c, float) and not c.is_integer()]
    label = helper.make_tensor_value_info("native_label", wanted, None)
    if is_whole and fractions:
        graph.node.extend(_lookup(graph, output.name, classes))
    else:
        graph.node.append(helper.make_node("Cast", [output.name], ["native_label"], to=wanted))
    return label


def _lookup(graph: Any, label: str, classes: Sequence[Any]) -> list[Any]:
    """Find each class by the whole number that the converter cut it down to."""
    from onnx import helper, numpy_helper

    cut = np.array([int(c) for c in classes], np.int64)
    if len(set(cut.tolist())) < len(cut):
        raise CompileFailed("classes that differ only behind the decimal point")
    graph.initializer.extend(
        [
            numpy_helper.from_array(cut, "cut_classes"),
            numpy_helper.from_array(np.array(classes, np.float64), "native_classes"),
            numpy_helper.from_array(np.array([-1, 1], np.int64), "one_column"),
        ]
    )
    return [
        helper.make_node("Reshape", [label, "one_column"], ["label_column"]),
        helper.make_node("Equal", ["label_column", "cut_classes"], ["is_class"]),
        helper.make_node("Cast", ["is_class"], ["is_class_number"], to=7),
        helper.make_node("ArgMax", ["is_class_number"], ["class_index"], axis=1, keepdims=0),
        helper.make_node("Gather", ["native_classes", "class_index"], ["native_label"]),
    ]


def _drop_unused(graph: Any) -> None:
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:]
    graph.node.extend(reversed(kept))
    del graph.initializer[:]
    graph.initializer.extend(constants)
