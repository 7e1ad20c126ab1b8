"""Skops files: what they are made of, and what is refused before anything is made of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from modeld.domain import Artifact, ModelVersion
from modeld.errors import LoadFailed
from modeld.runtimes.skops import open_skops

ROWS, LABELS = np.array([[-1.0, 0.0], [1.0, 0.0]]), ["no", "yes"]
TREE = "sklearn.tree._tree.Tree"


def artifact_of(path: Path, **more: Any) -> Artifact:
    version = ModelVersion("default", "v1")
    artifact = Artifact(version, "skops", str(path), "sha256:0", path.stat().st_size, False)
    return replace(artifact, **more)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.skops"


def test_an_estimator_opens_and_says_what_it_takes(path: Path) -> None:
    skops.io.dump(LogisticRegression().fit(ROWS, LABELS), path, compression=ZIP_DEFLATED)

    model = open_skops(artifact_of(path))

    assert (model.signature.width, model.signature.classes) == (2, ("no", "yes"))
    assert list(model.predict(ROWS)) == LABELS


def test_types_are_trusted_by_the_manifest_alone(path: Path) -> None:
    skops.io.dump(RandomForestClassifier(3, random_state=0).fit(ROWS, LABELS), path)

    with pytest.raises(LoadFailed, match=rf"put into model.yaml: trusted: \[{TREE}\]$"):
        open_skops(artifact_of(path))
    assert open_skops(artifact_of(path, trusted=(TREE,))).signature.width == 2


def test_nothing_of_a_type_that_is_not_trusted_is_run(path: Path, tmp_path: Path) -> None:
    skops.io.dump(FunctionTransformer(np.save), path)
    with ZipFile(path) as archive:
        schema = archive.read("schema.json").decode()
    evil = json.loads(schema.replace('"numpy"', '"os"').replace('"save"', '"mkdir"'))
    write(path, {"schema.json": json.dumps(evil)})

    with pytest.raises(LoadFailed, match=r"nobody trusts yet.*os\.mkdir"):
        open_skops(artifact_of(path))


def write(path: Path, entries: dict[str, str | bytes]) -> None:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def array(name: str) -> dict[str, Any]:
    return {
        **{"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode"},
        **{"__id__": 1, "type": "numpy", "file": name},
    }


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"a.txt": "hello"}, "without schema.json is no skops file"),
        ({"schema.json": "{"}, "skops cannot open it"),
        ({"schema.json": "[]"}, "skops cannot open it"),
        ({"schema.json": "{}"}, "skops cannot open it"),
        ({"schema.json": DEEP}, "skops cannot open it: RecursionError"),
        (
            {"schema.json": json.dumps(array("../../etc/passwd") | {"protocol": 2})},
            "There is no item named '../../etc/passwd' in the archive",
        ),
        (
            {"schema.json": json.dumps([array("a.npy")] * 300), "a.npy": bytes(1 << 20)},
            "would become 31.,...,... in memory",
        ),
        ({"schema.json": json.dumps(array("a.npy")), "a.npy": bytes(257 << 20)}, "in memory"),
    ],
)
def test_a_file_that_is_no_model_or_too_much_is_refused(
    path: Path, entries: dict[str, str | bytes], says: str
) -> None:
    write(path, entries)

    with pytest.raises(LoadFailed, match=says):
        open_skops(artifact_of(path))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_file_that_was_cut_off_is_refused(path: Path, share: float) -> None:
    skops.io.dump(LogisticRegression().fit(ROWS, LABELS), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(LoadFailed, match="it is no whole skops file"):
        open_skops(artifact_of(path))


def test_what_cannot_predict_is_refused(path: Path) -> None:
    skops.io.dump({"a": 1}, path)

    with pytest.raises(LoadFailed, match="a dict has no predict method"):
        open_skops(artifact_of(path))
