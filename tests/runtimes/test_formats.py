import bz2
import gzip
import lzma
import pickle
import zlib
from pathlib import Path

import pytest

from modeld.domain import Artifact, ModelVersion
from modeld.errors import LoadFailed, UnknownFormat
from modeld.runtimes.formats import SUFFIXES, detect, executes_code, open_model
from modeld.runtimes.native import NativeModel
from modeld.runtimes.onnx import OnnxModel
from tests.runtimes import onnx_files

PICKLE = pickle.dumps([1, 2, 3])
ONNX = onnx_files.regression().SerializeToString()


def found(folder: Path, content: bytes, name: str, wanted: str | None = None) -> str:
    (folder / name).write_bytes(content)
    format_name, path = detect(folder, [name], wanted)
    assert path == folder / name
    return format_name


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("model.pkl", PICKLE, "pickle"),
        ("model.pickle", PICKLE, "pickle"),
        ("model.joblib", PICKLE, "joblib"),
        ("model.pkl", pickle.dumps(1, 2), "pickle"),
        ("model.onnx", ONNX, "onnx"),
        ("model.pkl", gzip.compress(PICKLE, mtime=0), "joblib"),
        ("model.joblib", gzip.compress(PICKLE, mtime=0), "joblib"),
        ("model.joblib", bz2.compress(PICKLE), "joblib"),
        ("model.joblib", lzma.compress(PICKLE), "joblib"),
        ("model.joblib", lzma.compress(PICKLE, lzma.FORMAT_ALONE), "joblib"),
        ("model.joblib", zlib.compress(PICKLE), "joblib"),
    ],
)
def test_the_first_bytes_tell_the_format(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    assert found(tmp_path, content, name) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("model.onnx", PICKLE, id="a pickle named onnx"),
        pytest.param("model.pkl", ONNX, id="onnx named pickle"),
        pytest.param("model.joblib", b"\x89PNG\r\n\x1a\n", id="a picture"),
        pytest.param("model.pkl", b"version https://git-lfs.github.com/spec/v1", id="a pointer"),
        pytest.param("model.pkl", b"", id="an empty pickle"),
        pytest.param("model.onnx", b"", id="an empty onnx"),
        pytest.param("model.onnx", b"\x08", id="one byte of onnx"),
        pytest.param("model.pkl", pickle.dumps(1, 0), id="a pickle of protocol 0"),
        pytest.param("model.pkl", b"\x80\x63N.", id="a pickle of protocol 99"),
        pytest.param("model.pkl", b"\x80", id="one byte of a pickle"),
        pytest.param("model.pkl", b"PK\x03\x04", id="a zip archive"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    with pytest.raises(UnknownFormat, match=name):
        found(tmp_path, content, name)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "no files"),
        (["README.md", "samples.json"], r"README.md, samples.json"),
        (["compiled.onnx"], "compiled.onnx"),
        (["a.pkl", "b.onnx"], "several models: a.pkl, b.onnx"),
        (["MODEL.PKL"], "MODEL.PKL"),
    ],
)
def test_there_must_be_one_model(tmp_path: Path, names: list[str], says: str) -> None:
    with pytest.raises(UnknownFormat, match=says):
        detect(tmp_path, names)


def test_the_compiled_model_beside_a_native_one_is_no_second_model(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(PICKLE)

    assert detect(tmp_path, ["compiled.onnx", "model.pkl"])[0] == "pickle"


@pytest.mark.parametrize(("wanted", "is_right"), [
    ("pickle", True), ("joblib", True), (None, True), ("onnx", False), ("skops", False),
])  # fmt: skip
def test_the_manifest_may_not_say_otherwise(
    tmp_path: Path, wanted: str | None, is_right: bool
) -> None:
    if is_right:
        assert found(tmp_path, PICKLE, "model.pkl", wanted) == "pickle"
    else:
        with pytest.raises(UnknownFormat, match=f"model.yaml says {wanted}"):
            found(tmp_path, PICKLE, "model.pkl", wanted)


def test_pickles_alone_run_code() -> None:
    runs = {name for name in SUFFIXES.values() if executes_code(name)}

    assert runs == {"pickle", "joblib"}


def test_a_skops_file_may_run_what_its_manifest_trusts() -> None:
    assert not executes_code("skops", ["sklearn.tree._tree.Tree"])
    assert executes_code("skops", ["sklearn.tree._tree.Tree", "os.system"])


def artifact(path: Path, format_name: str) -> Artifact:
    return Artifact(ModelVersion("default", "v1"), format_name, str(path), "sha256:0", 1, False)


def test_each_format_has_its_runtime(tmp_path: Path) -> None:
    pickled, onnx = tmp_path / "model.pkl", tmp_path / "model.onnx"
    pickled.write_bytes(pickle.dumps(Constant()))
    onnx.write_bytes(ONNX)

    assert isinstance(open_model(artifact(pickled, "pickle")), NativeModel)
    assert isinstance(open_model(artifact(pickled, "joblib")), NativeModel)
    assert isinstance(open_model(artifact(onnx, "onnx")), OnnxModel)


@pytest.mark.parametrize("format_name", ["pickle", "onnx"])
def test_no_other_loader_is_tried(tmp_path: Path, format_name: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(ONNX if format_name == "pickle" else pickle.dumps(Constant()))

    with pytest.raises((LoadFailed, pickle.UnpicklingError, KeyError)):
        open_model(artifact(path, format_name))


class Constant:
    def predict(self, rows: list[object]) -> list[int]:
        return [7] * len(rows)


SAFE = (8).to_bytes(8, "little") + b"{      }"


def test_a_folder_of_hugging_face_is_recognised(tmp_path: Path) -> None:
    for name in ("model-1.safetensors", "model-2.safetensors"):
        (tmp_path / name).write_bytes(SAFE)
    names = ["config.json", "model-1.safetensors", "model-2.safetensors", "tokenizer.json"]

    assert detect(tmp_path, names) == ("transformers", tmp_path)
    assert detect(tmp_path, [*names, "onnx/model.onnx"], "transformers")[0] == "transformers"


@pytest.mark.parametrize(
    ("names", "wanted", "says"),
    [
        (["m.safetensors"], None, "without a config.json beside it"),
        (["m.safetensors", "config.json"], "onnx", "model.yaml says onnx"),
        (["m.safetensors", "config.json", "m.onnx"], None, "several models"),
        (["pickled.safetensors", "config.json"], None, "is not a safetensors file"),
        (["pytorch_model.bin", "config.json"], None, r"weights are pickles \(\.bin\)"),
        (["pytorch_model.bin", "config.json"], "transformers", r"weights are pickles \(\.bin\)"),
    ],
)
def test_a_folder_that_is_none_of_hugging_face_is_refused(
    tmp_path: Path, names: list[str], wanted: str | None, says: str
) -> None:
    (tmp_path / "m.safetensors").write_bytes(SAFE)
    (tmp_path / "pickled.safetensors").write_bytes(PICKLE * 4)

    with pytest.raises(UnknownFormat, match=says):
        detect(tmp_path, names, wanted)
