"""Make versions of every kind: small ones that work, and ones that fail in every way."""

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import skops.io
from onnx import TensorProto, helper
from sklearn.linear_model import LinearRegression

SUM = "lambda self, rows: rows.sum(axis=1)"
"""A `predict` that anybody can check in their head."""


class Evaluated:
    """Pickles as a call of `eval`, so that opening the pickle runs the code."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __reduce__(self) -> Any:
        return eval, (self._code,)


def write_code(folder: Path, code: str) -> Path:
    """Write a version that evaluates some code when it is opened."""
    return write_pickle(folder, Evaluated(code))


def write_model(folder: Path, predict: str = SUM, **attributes: object) -> Path:
    """Write a version whose `predict` is the given lambda."""
    members = "".join(f", {name!r}: {value!r}" for name, value in attributes.items())
    return write_code(folder, f"type('Model', (), {{'predict': {predict}{members}}})()")


def write_pickle(folder: Path, model: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    return folder


def write_samples(folder: Path, inputs: Sequence[object], outputs: Sequence[object]) -> None:
    (folder / "samples.json").write_text(json.dumps({"inputs": inputs, "outputs": outputs}))


def write_regression(folder: Path) -> Path:
    """Write a linear regression: twice the first number plus the second."""
    rows = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    return write_pickle(folder, LinearRegression().fit(rows, rows @ [2.0, 1.0]))


def write_named(folder: Path) -> Path:
    """Write a regression whose columns have names: twice `a` plus `b`."""
    write_regression(folder)
    (folder / "model.yaml").write_text(
        "format: pickle\ninputs: [{name: a, type: float64}, {name: b, type: float64}]\n"
    )
    return folder


def write_onnx(folder: Path, operator: str = "ReduceSum", *, producer: str = "") -> Path:
    """Write an ONNX model that sums a row of four numbers, or one with another operator.

    Another `producer` makes other bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = helper.make_tensor_value_info("rows", TensorProto.DOUBLE, [None, 4])
    answer = helper.make_tensor_value_info("answer", TensorProto.DOUBLE, [None])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    nodes = [helper.make_node("ReduceSum", ["rows", "axes"], ["sums"], keepdims=0)]
    if operator == "ReduceSum":
        nodes[0].output[0] = "answer"
        extra = [axes]
    else:
        repeats = helper.make_tensor("repeats", TensorProto.INT64, [1], [1])
        nodes.append(helper.make_node(operator, ["sums", "repeats"], ["answer"]))
        extra = [axes, repeats]
    graph = helper.make_graph(nodes, "sum", [rows], [answer], extra)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model.producer_name = producer
    onnx.save(model, folder / "model.onnx")
    return folder


def write_skops(folder: Path) -> Path:
    """Write a regression in a file that runs no code."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.random.default_rng(0).normal(size=(20, 4))
    skops.io.dump(LinearRegression().fit(rows, rows @ [1, 2, 4, 8]), folder / "model.skops")
    return folder


def write_slow(folder: Path, seconds: float) -> Path:
    """Write a version that takes its time to open."""
    model = f"type('Model', (), {{'predict': {SUM}}})()"
    return write_code(folder, f"__import__('time').sleep({seconds}) or {model}")
