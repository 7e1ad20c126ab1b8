"""ONNX models that are harmless and too heavy for a worker: a host runs them."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.server import Server

_COLUMNS = 1500


def _write(folder: Path, nodes: list[Any], weights: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    rows = helper.make_tensor_value_info("rows", TensorProto.DOUBLE, [None, 1])
    answer = helper.make_tensor_value_info("answer", TensorProto.DOUBLE, None)
    constants = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "heavy", [rows], [answer], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "model.onnx")


def write_slow(folder: Path) -> None:
    """Some 20 ms a row: one matrix of 18 MB, over and over."""
    square = np.eye(_COLUMNS)
    names = ["wide", *(f"wide{turn}" for turn in range(12))]
    nodes = [helper.make_node("MatMul", ["rows", "first"], ["wide"])]
    nodes += [
        helper.make_node("MatMul", [before, "square"], [after]) for before, after in pairwise(names)
    ]
    nodes.append(helper.make_node("MatMul", [names[-1], "last"], ["answer"]))
    first, last = np.ones((1, _COLUMNS)), np.full((_COLUMNS, 1), 1 / _COLUMNS)
    _write(folder, nodes, {"first": first, "square": square, "last": last})


def write_large(folder: Path) -> None:
    """100 MB, and quick: a table that is looked up."""
    nodes = [
        helper.make_node("Cast", ["rows"], ["places"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "places"], ["answer"]),
    ]
    _write(folder, nodes, {"table": np.arange(12_500_000, dtype=np.float64)})


@pytest.mark.parametrize(
    ("write", "why"),
    [
        pytest.param(write_slow, "a row takes", id="slow"),
        pytest.param(write_large, "MiB, more than 64 MiB", id="large"),
    ],
)
def test_a_heavy_model_gets_a_host(repository: Server, write: Any, why: str) -> None:
    write(repository.models / "v3")
    repository.write_state("active: v3\n")
    repository.start()
    repository.wait_until_live("v3")

    answer = repository.predict({"features": [7]})
    (loaded,) = repository.status()["models"]["default"]["loaded"]

    assert answer.json["prediction"] == pytest.approx(7.0)
    assert answer.headers["X-Model-Runtime"] == "onnx"
    assert loaded["runs"] == "in a host"
    assert why in loaded["why_not_in_the_workers"]
