"""What other tools' files say that cannot be taken, or makes no sense, is said in a line."""

from pathlib import Path

import pytest

from modeld.errors import VersionError
from modeld.repository.foreign import read_foreign


def refused(folder: Path) -> str:
    with pytest.raises(VersionError) as caught:
        read_foreign(folder)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("text", ["format: pickle\n", "module: other\n", "[]"])
def test_a_folder_of_ours_is_no_other_tools(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.yaml").write_text(text)

    assert read_foreign(tmp_path) is None


def test_bentoml_says_what_does_not_come_along(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(
        "module: bentoml.sklearn\nsignatures: {predict: {batchable: true}, predict_proba: {}}\n"
    )
    (tmp_path / "saved_model.pkl").touch()

    found = read_foreign(tmp_path)

    assert found is not None
    assert found.model == tmp_path / "saved_model.pkl"
    assert found.notes == ("BentoML's predict_proba are no routes of modeld, predict is",)


def test_a_flavour_that_is_not_taken_is_named(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {pytorch: {model_data: data}}\n")

    assert "flavours pytorch; sklearn and onnx are taken" in refused(tmp_path)


def test_a_model_elsewhere_is_to_be_fetched(tmp_path: Path) -> None:
    (tmp_path / "model-settings.json").write_text(
        '{"name": "houses", "parameters": {"uri": "s3://bucket/model.joblib"}}'
    )

    assert "its model is at s3://bucket/model.joblib" in refused(tmp_path)


def test_another_backend_of_triton_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text('backend: "pytorch"\n')

    assert "a Triton model for pytorch; onnxruntime is taken" in refused(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("MLmodel", "flavors: {sklearn: {pickled_model: ../m.pkl}}", "../m.pkl is named"),
        ("MLmodel", "flavors: {sklearn: {pickled_model: m.pkl}}", "m.pkl is named and not there"),
        ("MLmodel", "a: [", "is not YAML"),
        ("MLmodel", "!!python/object/apply:os.getcwd []", "is not YAML"),
        ("model-settings.json", "{", "is not JSON"),
        ("model-settings.json", "[]", "names no file, and none is there"),
        ("config.pbtxt", "", "without a version, such as 1/model.onnx"),
    ],
)
def test_a_file_that_makes_no_sense_is_named(
    tmp_path: Path, name: str, content: str, says: str
) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / name).write_text(content)

    assert says in refused(tmp_path / "saved")
