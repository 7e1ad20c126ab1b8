from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from modeld.domain import Artifact, InputColumn, ModelVersion
from modeld.errors import LoadFailed, ModelOutputInvalid, OutOfRange
from modeld.runtimes.columns import to_table
from modeld.runtimes.onnx import OnnxModel, open_onnx
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


def test_what_comes_after_a_label_and_its_probabilities_is_not_asked_for(opened: Opened) -> None:
    made = onnx_files.classifier()
    made.graph.node.append(helper.make_node("Identity", ["scores"], ["more"]))
    made.graph.output.append(value("more", FLOAT, ["n", 2]))

    assert opened(made).predict(np.array([[3.0, 0.0]])).tolist() == [20]


def test_an_output_that_is_not_about_rows_is_named(opened: Opened) -> None:
    made = onnx_files.detector()
    made.graph.node.append(helper.make_node("ReduceSum", ["x"], ["all"], keepdims=0))
    made.graph.output.append(value("all", FLOAT, []))

    with pytest.raises(ModelOutputInvalid, match=r"output 'all': .*keep only the others"):
        opened(made).predict(np.array([[1.0, 2.0]]))


def test_one_input_per_column_has_names(opened: Opened) -> None:
    model = opened(onnx_files.columns())

    assert model.signature.columns == (
        InputColumn("age", type="int64"),
        InputColumn("size", type="float32"),
    )
    assert model.signature.width == 2
    assert model.predict(np.array([[40.0, 0.5], [1.0, 2.0]])).tolist() == [[40.5], [3.0]]


@pytest.mark.parametrize("wrong", [0.5, float("nan"), float("inf"), 1e30, -1e30, 2.0**63])
def test_an_input_of_whole_numbers_takes_no_others(opened: Opened, wrong: float) -> None:
    """numpy would turn them into some whole number without a word."""
    model = opened(onnx_files.whole_numbers())

    assert model.predict(np.array([[2.0**53 - 1, 1 - 2.0**53]])).tolist() == [
        [2**53 - 1, 1 - 2**53]
    ]
    with pytest.raises(OutOfRange, match="row 1, column 2: expected a whole number"):
        model.predict(np.array([[1.0, wrong]]))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("INT8", [-128, 127], 128),
        ("INT16", [-32768, 32767], 32768),
        ("INT32", [-(2**31), 2**31 - 1], 2**31),
        ("UINT8", [0, 255], -1),
        ("UINT16", [0, 65535], 65536),
        ("UINT32", [0, 2**32 - 1], 2**32),
        ("UINT64", [0, 2**53 - 1], 2**53),
        ("BOOL", [0, 1], 2),
        ("FLOAT16", [0.5, -65504], 65505),
    ],
)
def test_numbers_of_any_type_are_taken_where_they_fit(
    opened: Opened, kind: str, good: list[float], bad: float
) -> None:
    model = opened(onnx_files.identity(getattr(TensorProto, kind), ["n", 2]))

    assert model.predict(np.array([good], np.float64)).tolist() == [good]
    with pytest.raises(OutOfRange, match=r"row 2, column 1: expected .*, found"):
        model.predict(np.array([good, [bad, 0]], np.float64))


def test_one_text_a_row_is_a_text_model(opened: Opened) -> None:
    model = opened(onnx_files.identity(STRING, ["n", 1]))

    assert model.signature.rank == 0
    assert model.predict(["a", "ü"]).tolist() == [["a"], ["ü"]]


def test_several_texts_a_row_are_columns(opened: Opened) -> None:
    model = opened(onnx_files.identity(STRING, ["n", 2]))

    assert [column.name for column in model.signature.columns] == ["x_1", "x_2"]
    assert model.signature.is_mixed
    assert model.predict(to_table([["a", "b"]])).tolist() == [["a", "b"]]


def test_columns_may_be_texts_and_numbers(opened: Opened) -> None:
    """With and without a second axis."""
    model = opened(onnx_files.mixed_columns())

    assert [column.is_text for column in model.signature.columns] == [True, False]
    assert model.predict(to_table([["a", 1.0], ["b", 2.5]])).tolist() == [0.5, 2.5]


@pytest.mark.parametrize("shape", [["n", "m"], ["n", 2, 2]])
def test_texts_of_an_unknown_number_are_refused(opened: Opened, shape: list[int | str]) -> None:
    with pytest.raises(LoadFailed, match="input 'x' has texts of the shape"):
        opened(onnx_files.identity(STRING, shape))


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_model_of_so_many_rows_takes_any_number(opened: Opened, size: int) -> None:
    model = opened(onnx_files.identity(FLOAT, [size, 2]))
    rows = np.arange(6.0).reshape(3, 2)

    assert model.predict(rows).tolist() == rows.tolist()


def test_images_have_a_shape(opened: Opened) -> None:
    model = opened(onnx_files.identity(FLOAT, [1, 3, "h", 2]))
    images = np.ones((2, 3, 4, 2))

    assert (model.signature.rank, model.signature.shape) == (3, (3, 0, 2))
    assert model.predict(images).tolist() == images.tolist()


def test_the_manifest_names_the_columns_of_a_tensor(tmp_path: Path) -> None:
    path = onnx_files.save(tmp_path / "m.onnx", onnx_files.regression())

    def named(*names: str) -> OnnxModel:
        version, columns = ModelVersion("default", "v1"), tuple(map(InputColumn, names))
        return open_onnx(Artifact(version, "onnx", path, "sha256:0", 1, False, columns=columns))

    assert [column.name for column in named("a", "b").signature.columns] == ["a", "b"]
    with pytest.raises(LoadFailed, match="names 3 inputs, the model takes 2"):
        named("a", "b", "c")


@pytest.mark.parametrize(("names", "fits"), [("size age", True), ("size", False), ("a b", False)])
def test_the_manifest_may_name_the_model_s_own_inputs(
    tmp_path: Path, names: str, fits: bool
) -> None:
    path = onnx_files.save(tmp_path / "m.onnx", onnx_files.columns())
    columns = tuple(map(InputColumn, names.split()))
    version = ModelVersion("default", "v1")
    artifact = Artifact(version, "onnx", path, "sha256:0", 1, False, columns=columns)

    if fits:
        assert [c.name for c in open_onnx(artifact).signature.columns] == ["age", "size"]
    else:
        with pytest.raises(LoadFailed, match="must name the inputs as the model does: age, size"):
            open_onnx(artifact)


def test_rows_may_be_read_only(opened: Opened) -> None:
    rows = np.frombuffer(np.array([1.0, 2.0]).tobytes()).reshape(1, 2)

    assert opened(onnx_files.regression()).predict(rows).tolist() == [[3.0]]


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
