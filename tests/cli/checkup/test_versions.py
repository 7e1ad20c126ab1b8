"""What the doctor says of the versions that the wish names."""

from importlib import metadata
from pathlib import Path

import pytest

from modeld.cli.checkup.finding import Finding
from modeld.cli.checkup.versions import check_versions
from tests.support.versions import write_onnx

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
HERE = metadata.version("scikit-learn")


def findings(folder: Path, wish: str = "active: v1\n") -> list[Finding]:
    state = folder / "active.yaml"
    state.write_text(wish)
    return list(check_versions(state, folder / "models"))


def version(folder: Path, name: str = "v1", manifest: str = "", model: str = "a model") -> None:
    path = folder / "models" / name
    path.mkdir(parents=True)
    (path / "model.pkl").write_text(model)
    if manifest:
        (path / "model.yaml").write_text(manifest)


def test_files_that_are_there_are_fine(tmp_path: Path) -> None:
    version(tmp_path)

    assert [each.level for each in findings(tmp_path)] == ["ok"]


def test_a_pointer_where_a_model_should_be_is_a_problem(tmp_path: Path) -> None:
    version(tmp_path)
    version(tmp_path, "v2", model=POINTER)
    version(tmp_path, "v3", model=POINTER)

    found = findings(tmp_path, "active: v1\nalso: [v2]\n")

    assert [each.level for each in found] == ["ok", "problem"]
    assert found[1].cure == "git lfs pull"


def test_a_version_that_is_not_there_or_promises_nonsense_is_a_problem(tmp_path: Path) -> None:
    version(tmp_path, manifest="fles: {}\n")

    assert [each.level for each in findings(tmp_path)] == ["problem"]
    (missing,) = findings(tmp_path, "active: v9\n")
    assert (missing.level, missing.cure) == ("problem", "modeld versions")


@pytest.mark.parametrize("wish", ["", "active: [\n", "active: a;b\n"])
def test_a_wish_without_a_meaning_is_a_problem(tmp_path: Path, wish: str) -> None:
    assert [each.level for each in findings(tmp_path, wish)] == ["problem"]


@pytest.mark.parametrize(
    ("wanted", "level"), [(HERE, "ok"), ("0.1.0", "warning"), ("1; rm -rf /", "warning")]
)
def test_a_library_of_another_version_is_told(tmp_path: Path, wanted: str, level: str) -> None:
    version(tmp_path, manifest=f"trained: {{libraries: {{scikit-learn: '{wanted}'}}}}\n")

    _, found = findings(tmp_path)

    assert found.level == level
    assert found.cure == ("pip install scikit-learn==0.1.0" if wanted == "0.1.0" else "")


def test_an_onnx_model_needs_no_library(tmp_path: Path) -> None:
    folder = write_onnx(tmp_path / "models" / "v1")
    (folder / "model.yaml").write_text(
        "format: onnx\ntrained: {libraries: {scikit-learn: '0.1.0'}}\n"
    )

    assert [each.level for each in findings(tmp_path)] == ["ok"]
