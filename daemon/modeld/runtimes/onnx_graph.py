"""Look into an ONNX file without running it: may a worker run this model itself?

A worker shares its event loop with everybody's requests, so it takes only operators
whose cost follows from the shapes of their inputs. A file of 181 bytes with a
`ConstantOfShape` takes gigabytes to open, one of 278 bytes with a `Loop` seconds a row.
Called in hosts only.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeld.domain import Scalar
from modeld.errors import LoadFailed
from modeld.runtimes.model import first_line

_PLAIN = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "ArgMax",
        "ArgMin",
        "BatchNormalization",
        "Cast",
        "Ceil",
        "Clip",
        "Concat",
        "Constant",
        "Conv",
        "Cos",
        "Div",
        "Dropout",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Flatten",
        "Floor",
        "Gather",
        "GatherElements",
        "GatherND",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "Identity",
        "IsInf",
        "IsNaN",
        "LayerNormalization",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "LogSoftmax",
        "MatMul",
        "Max",
        "MaxPool",
        "AveragePool",
        "Mean",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pow",
        "Reciprocal",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
        "Relu",
        "Reshape",
        "Round",
        "Selu",
        "Shape",
        "Sigmoid",
        "Sign",
        "Sin",
        "Slice",
        "Softmax",
        "Softplus",
        "Softsign",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tan",
        "Tanh",
        "TopK",
        "Transpose",
        "Unsqueeze",
        "Where",
        "Xor",
    ]
)
_PLAIN_ML = frozenset(
    [
        "ArrayFeatureExtractor",
        "Binarizer",
        "FeatureVectorizer",
        "Imputer",
        "LabelEncoder",
        "LinearClassifier",
        "LinearRegressor",
        "Normalizer",
        "OneHotEncoder",
        "SVMClassifier",
        "SVMRegressor",
        "Scaler",
        "TreeEnsemble",
        "TreeEnsembleClassifier",
        "TreeEnsembleRegressor",
        "ZipMap",
        "CategoryMapper",
    ]
)
_ALLOWED = {"": _PLAIN, "ai.onnx": _PLAIN, "ai.onnx.ml": _PLAIN_ML}


@dataclass(frozen=True, slots=True)
class Graph:
    """What the file says. `obstacle` is why a worker must not run it, or empty."""

    obstacle: str
    classes: tuple[Scalar, ...]


def inspect(path: str) -> Graph:
    """Read the graph of an ONNX file; raises `LoadFailed`."""
    model = _load(path)
    return Graph(_obstacle(model), _classes(model.graph))


def check_external(path: str) -> None:
    """Raise `LoadFailed` unless all weights are in the file or in others of the version."""
    model = _load(path)
    for tensor in (*_tensors(model.graph), *_attributes(model.functions)):
        if tensor.data_location == 1:
            _check_place(Path(path).parent, {e.key: e.value for e in tensor.external_data})


def _check_place(folder: Path, place: dict[str, str]) -> None:
    location = place.get("location", "")
    parts = location.split("/")
    if "" in parts or ".." in parts or not (folder / location).is_file():
        raise LoadFailed(
            f"it has weights in {location[:80]!r}, which is no file of this version: put it "
            "beside the model, and among files: where model.yaml lists them"
        )
    try:
        start, length = int(place.get("offset", 0)), int(place.get("length", 0))
    except ValueError:
        start = length = -1
    if min(start, length) < 0 or start + length > (folder / location).stat().st_size:
        raise LoadFailed(f"it has weights outside of {location}: the file is not whole")


def _load(path: str) -> Any:
    import onnx

    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:
        raise LoadFailed(f"it is no whole ONNX model: {first_line(error)}") from error


def _obstacle(model: Any) -> str:
    if len(model.functions):
        return "it defines functions of its own"
    if any(tensor.data_location == 1 for tensor in _tensors(model.graph)):
        return "its weights are in another file"
    for node in model.graph.node:
        if node.op_type not in _ALLOWED.get(node.domain, frozenset()):
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            return f"the cost of its operator {name} does not follow from shapes"
    return ""


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _attributes([graph])


def _attributes(holders: Iterable[Any]) -> Iterator[Any]:
    """Give the tensors among what graphs or functions say of their nodes."""
    for node in (node for holder in holders for node in holder.node):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                if inner.ByteSize():
                    yield from _tensors(inner)


def _classes(graph: Any) -> tuple[Scalar, ...]:
    """Give the classes in the order of the probabilities: a `ZipMap` sorts them."""
    classes = _labels(graph)
    has_maps = any(node.op_type == "ZipMap" for node in graph.node)
    return tuple(sorted(classes)) if has_maps else classes


def _labels(graph: Any) -> tuple[Any, ...]:
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("classlabels_ints", "classlabels_int64s") and attribute.ints:
                return tuple(attribute.ints)
            if attribute.name == "classlabels_strings" and attribute.strings:
                return tuple(s.decode() for s in attribute.strings)
    return ()
