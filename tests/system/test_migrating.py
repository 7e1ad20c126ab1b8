"""Models that other tools saved are added with what those tools say of them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.server import ROOT, Server, cared_for, make_server
from tests.support.versions import write_onnx, write_regression

SAVED = ROOT / "tests" / "support" / "migrating"
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
FLOWER = [5.1, 3.5, 1.4, 0.2]
FLOWER_BY_NAME = dict(zip(NAMES, FLOWER, strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Server]:
    with cared_for(make_server(tmp_path / "repository", versions=())) as server:
        server.state.unlink()
        yield server


def add(server: Server, path: Path, *arguments: str) -> Any:
    done = server.command("add", str(path), "--json", *arguments, MODELD_COMPILE="never")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("saved", "tool", "files", "row"),
    [
        ("mlflow-cloudpickle", "MLflow", {"model.pkl"}, FLOWER_BY_NAME),
        ("mlflow-code", "MLflow", {"model.pkl", "own_step.py"}, FLOWER_BY_NAME),
        ("mlflow-skops", "MLflow", {"model.skops"}, FLOWER_BY_NAME),
        ("mlflow-onnx", "MLflow", {"model.onnx"}, FLOWER),
        ("bentoml-sklearn", "BentoML", {"model.pkl"}, FLOWER_BY_NAME),
    ],
)
def test_what_a_tool_saved_is_served(
    folder: Server, saved: str, tool: str, files: set[str], row: Any
) -> None:
    told = add(folder, SAVED / saved)

    kept = json.loads((folder.models / "v1" / "samples.json").read_text())
    folder.start()
    folder.wait_until_live("v1")
    answer = folder.predict({"features": row})

    assert (told["tool"], set(told["files"])) == (tool, files)
    if tool == "MLflow":
        # It keeps examples; the others' golden rows are made up.
        assert kept["inputs"][0] == pytest.approx(row)
    assert answer.json["prediction"] == 0


def test_columns_come_from_the_signature_where_the_model_has_no_names(
    folder: Server, tmp_path: Path
) -> None:
    saved = shutil.copytree(SAVED / "mlflow-cloudpickle", tmp_path / "saved")
    shutil.copy(write_regression(tmp_path / "two") / "model.pkl", saved / "model.pkl")
    (saved / "input_example.json").unlink()
    text = (saved / "MLmodel").read_text()
    start, end = text.index("  inputs: "), text.index("  outputs: ")
    columns = [{"type": "long", "name": "a"}, {"type": "double", "name": "b", "required": True}]
    (saved / "MLmodel").write_text(f"{text[:start]}  inputs: '{json.dumps(columns)}'\n{text[end:]}")

    told = add(folder, saved)

    assert [each["name"] for each in told["inputs"]] == ["a", "b"]


def test_libraries_of_other_versions_are_named(folder: Server, tmp_path: Path) -> None:
    saved = shutil.copytree(SAVED / "mlflow-cloudpickle", tmp_path / "saved")
    (saved / "requirements.txt").write_text("mlflow==3.0\nscikit-learn==1.5.0\n")

    (note,) = add(folder, saved)["notes"]

    assert note.startswith("it was saved with scikit-learn 1.5.0 (here ")
    assert "--environment FILE" in note


def test_a_folder_of_mlserver_gives_the_file_that_it_names(folder: Server, tmp_path: Path) -> None:
    write_regression(tmp_path)
    settings = {
        "name": "houses",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.pkl", "version": "v0.1.0"},
    }
    (tmp_path / "model-settings.json").write_text(json.dumps(settings))

    told = add(folder, tmp_path)

    assert (told["tool"], set(told["files"])) == ("MLServer", {"model.pkl"})


def test_a_folder_of_triton_gives_its_newest_version(folder: Server, tmp_path: Path) -> None:
    write_onnx(tmp_path / "1", producer="one")
    write_onnx(tmp_path / "10", producer="ten")
    (tmp_path / "config.pbtxt").write_text(
        'name: "sums"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 8\n'
        'input [{ name: "rows" data_type: TYPE_FP64 dims: [4] }]\n'
    )

    told = add(folder, tmp_path)

    taken = (folder.models / "v1" / "model.onnx").read_bytes()
    assert taken == (tmp_path / "10" / "model.onnx").read_bytes()
    assert told["tool"] == "Triton"
    assert "of Triton's versions 10 is taken, the newest of 2" in told["notes"]


def test_a_version_of_modeld_itself_is_measured_anew(folder: Server, tmp_path: Path) -> None:
    """Its digests, samples and metrics may be wrong by now."""
    add(folder, write_regression(tmp_path / "two"))
    first = folder.models / "v1"
    manifest = yaml.safe_load((first / "model.yaml").read_text())
    manifest["files"]["model.pkl"]["sha256"] = "0" * 64
    manifest["samples"] = "golden.json"
    manifest["trained"]["metrics"] = {"r2": 0.5}
    (first / "model.yaml").write_text(yaml.safe_dump(manifest))
    (first / "samples.json").rename(first / "golden.json")

    told = add(folder, first)

    second = yaml.safe_load((folder.models / "v2" / "model.yaml").read_text())
    assert (told["version"], told["tool"]) == ("v2", "")
    assert set(told["files"]) == {"model.pkl"}
    assert second["files"]["model.pkl"]["sha256"] != "0" * 64
    assert second["samples"] == "samples.json"
    assert "metrics" not in second["trained"]
