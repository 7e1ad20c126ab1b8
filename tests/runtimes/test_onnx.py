from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeld.domain import InputColumn
from modeld.errors import LoadFailed, OutOfRange
from modeld.runtimes.onnx import OnnxModel, first_line
from tests.runtimes import onnx_files
from tests.runtimes.onnx_files import DOUBLE, FLOAT, STRING, value


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Any], OnnxModel]:
    return lambda model: OnnxModel(onnx_files.save(tmp_path / "m.onnx", model))


Opened = Callable[[Any], OnnxModel]


@pytest.mark.parametrize(("kind", "precision"), [(DOUBLE, 64), (FLOAT, 32)])
def test_a_regression_answers_in_its_own_precision(
    opened: Opened, kind: int, precision: int
) -> None:
    model = opened(onnx_files.regression(kind))

    assert model.signature.precision == precision
    assert model.signature.width == 2
    assert not model.signature.has_probabilities
    assert model.predict(np.array([[1.0, 2.5], [3.0, 4.0]])).tolist() == [[3.5], [7.0]]


@pytest.mark.parametrize("labels", [(10, 20), ("no", "yes")])
def test_a_classifier_gives_labels_and_probabilities(
    opened: Opened, labels: tuple[int | str, ...]
) -> None:
    model = opened(onnx_files.classifier(labels=labels))
    rows = np.array([[-3.0, 0.0], [3.0, 0.0]])

    assert model.signature.has_probabilities
    assert list(model.predict(rows)) == list(labels)
    assert (model.probabilities(rows).argmax(axis=1) == [0, 1]).all()


def test_probabilities_by_class_become_a_matrix(opened: Opened) -> None:
    model = opened(onnx_files.with_zip_map())

    scores = model.probabilities(np.array([[-3.0, 0.0], [3.0, 0.0]]))

    assert scores.shape == (2, 2)
    assert (scores.argmax(axis=1) == [0, 1]).all()


def test_one_input_per_column_has_names(opened: Opened) -> None:
    model = opened(onnx_files.columns())

    assert model.signature.columns == (InputColumn("age"), InputColumn("size"))
    assert model.signature.width == 2
    assert model.predict(np.array([[40.0, 0.5], [1.0, 2.0]])).tolist() == [[40.5], [3.0]]


@pytest.mark.parametrize("wrong", [0.5, float("nan"), float("inf"), 1e30, -1e30, 2.0**63])
def test_an_input_of_whole_numbers_takes_no_others(opened: Opened, wrong: float) -> None:
    """numpy would turn them into some whole number without a word."""
    model = opened(onnx_files.whole_numbers())

    assert model.predict(np.array([[2.0**53, -(2.0**63)]])).tolist() == [[2**53, -(2**63)]]
    with pytest.raises(OutOfRange, match="whole numbers"):
        model.predict(np.array([[1.0, wrong]]))


def test_rows_may_be_read_only(opened: Opened) -> None:
    rows = np.frombuffer(np.array([1.0, 2.0]).tobytes()).reshape(1, 2)

    assert opened(onnx_files.regression()).predict(rows).tolist() == [[3.0]]


def test_a_text_input_is_refused(opened: Opened) -> None:
    node = onnx_files.operator("Identity")
    node.graph.input[0].CopyFrom(value("x", STRING, ["n", 1]))
    node.graph.output[0].CopyFrom(value("y", STRING, ["n", 1]))

    with pytest.raises(LoadFailed, match=r"'x' is a tensor\(string\)"):
        opened(node)


def test_several_wide_inputs_are_refused(opened: Opened) -> None:
    model = onnx_files.columns()
    for given, name in zip(model.graph.input, ("age", "size"), strict=True):
        given.CopyFrom(value(name, FLOAT if name == "size" else onnx_files.INT64, ["n", 3]))
    model.graph.output[0].CopyFrom(value("y", FLOAT, ["n", 3]))

    with pytest.raises(LoadFailed, match="one column"):
        opened(model)


@pytest.mark.parametrize("content", [b"", b"\x08\x08garbage", b"\x80\x05N."])
def test_what_is_no_onnx_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)

    with pytest.raises(LoadFailed, match="onnxruntime cannot open it") as caught:
        OnnxModel(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("location", ["weights.bin", "../secret", "/etc/passwd"])
def test_weights_in_a_file_that_is_not_there_are_refused(opened: Opened, location: str) -> None:
    model = onnx_files.regression()
    onnx_files.external(model.graph.initializer[0], location)

    with pytest.raises(LoadFailed):
        opened(model)


@pytest.mark.parametrize(
    ("text", "line"), [("one\ntwo", "one"), ("", "ValueError"), ("x" * 999, "x" * 200)]
)
def test_an_error_is_shortened_to_a_line(text: str, line: str) -> None:
    assert first_line(ValueError(text)) == line
