from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modeld.errors import LoadFailed
from modeld.runtimes.onnx_graph import check_external, inspect
from tests.runtimes import onnx_files


@pytest.mark.parametrize(
    "build",
    [
        onnx_files.regression,
        onnx_files.classifier,
        onnx_files.with_zip_map,
        onnx_files.columns,
        onnx_files.whole_numbers,
    ],
)
def test_plain_models_meet_no_obstacle(tmp_path: Path, build: Callable[[], Any]) -> None:
    assert inspect(onnx_files.save(tmp_path / "m.onnx", build())).obstacle == ""


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (onnx_files.huge_constant, "ConstantOfShape"),
        (onnx_files.endless_loop, "Loop"),
        (onnx_files.external_weights, "another file"),
        (onnx_files.external_constant, "another file"),
        (onnx_files.own_function, "functions of its own"),
    ],
)
def test_evil_models_are_kept_out_of_the_workers(
    tmp_path: Path, build: Callable[[], Any], says: str
) -> None:
    assert says in inspect(onnx_files.save(tmp_path / "m.onnx", build())).obstacle


@pytest.mark.parametrize(
    "name",
    ["If", "Scan", "Range", "Expand", "Tile", "Resize", "NonZero", "RandomNormal", "EyeLike"],
)
def test_operators_whose_cost_depends_on_values_are_named(tmp_path: Path, name: str) -> None:
    path = onnx_files.save(tmp_path / "m.onnx", onnx_files.operator(name))

    assert f"operator {name} " in inspect(path).obstacle


@pytest.mark.parametrize(
    ("name", "domain"),
    [("MatMul", "com.microsoft"), ("Add", "ai.onnx.ml"), ("Scaler", ""), ("Anything", "own")],
)
def test_an_operator_of_another_domain_is_another_operator(
    tmp_path: Path, name: str, domain: str
) -> None:
    path = onnx_files.save(tmp_path / "m.onnx", onnx_files.operator(name, domain))

    assert name in inspect(path).obstacle


@pytest.mark.parametrize(
    ("build", "classes"),
    [
        (onnx_files.classifier, (10, 20)),
        (lambda: onnx_files.classifier(labels=("no", "yes")), ("no", "yes")),
        (onnx_files.with_zip_map, (10, 20)),
        (onnx_files.regression, ()),
    ],
)
def test_classes_are_those_of_the_classifier(
    tmp_path: Path, build: Callable[[], Any], classes: tuple[int | str, ...]
) -> None:
    assert inspect(onnx_files.save(tmp_path / "m.onnx", build())).classes == classes


@pytest.mark.parametrize("content", [b"\xff" * 40, b"\x80\x05N.", b"\x08"])
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)

    with pytest.raises(LoadFailed):
        inspect(str(path))


def test_looking_into_a_file_reads_no_other(tmp_path: Path) -> None:
    path = onnx_files.save(tmp_path / "m.onnx", onnx_files.external_weights())

    assert not (tmp_path / "weights.bin").exists()
    assert inspect(path).obstacle


@pytest.mark.parametrize(
    ("location", "offset", "says"),
    [
        ("weights.bin", "0", ""),
        ("weights.bin", "8", "outside of weights.bin"),
        ("weights.bin", "-1", "outside of weights.bin"),
        ("weights.bin", "many", "outside of weights.bin"),
        ("other.bin", "0", "no file of this version"),
        ("../weights.bin", "0", "no file of this version"),
        ("/etc/passwd", "0", "no file of this version"),
        ("", "0", "no file of this version"),
    ],
)
@pytest.mark.parametrize("build", [onnx_files.regression, onnx_files.regression_in_a_branch])
def test_weights_elsewhere_must_be_the_version_s_own(
    tmp_path: Path, build: Callable[[], Any], location: str, offset: str, says: str
) -> None:
    (tmp_path / "v1").mkdir()
    for folder in (tmp_path, tmp_path / "v1"):
        (folder / "weights.bin").write_bytes(bytes(16))
    model = build()
    tensor = onnx_files.external(onnx_files.weights_of(model), location)
    for key, text in (("offset", offset), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    path = onnx_files.save(tmp_path / "v1" / "m.onnx", model)

    if says:
        with pytest.raises(LoadFailed, match=says):
            check_external(path)
    else:
        check_external(path)


def test_classes_are_in_the_order_of_the_probabilities(tmp_path: Path) -> None:
    """A map by class has its keys in order."""
    model = onnx_files.with_zip_map()
    model.graph.node[0].attribute[-1].ints[:] = [20, 10]

    assert inspect(onnx_files.save(tmp_path / "m.onnx", model)).classes == (10, 20)
