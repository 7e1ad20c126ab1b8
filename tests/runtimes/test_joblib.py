import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from modeld.domain import Artifact, InputColumn, ModelVersion, Signature
from modeld.errors import LoadFailed
from modeld.runtimes.joblib import open_pickle


class Model:
    """Any object with a `predict` will do."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def predict(self, rows: Any) -> Any:
        return rows[:, 0]


class WithProbabilities(Model):
    def predict_proba(self, rows: Any) -> Any:
        return rows


class Unsure(Model):
    @property
    def predict_proba(self) -> Any:
        """As scikit-learn's SVC(probability=False), but with an error of its own."""
        raise RuntimeError("not fitted with probabilities")


def artifact_of(folder: Path, model: Any, **more: Any) -> Artifact:
    path = folder / "model.joblib"
    path.write_bytes(pickle.dumps(model))
    version = ModelVersion("default", "v1")
    return replace(Artifact(version, "joblib", str(path), "sha256:0", 1, False), **more)


def signature(folder: Path, model: Any, **more: Any) -> Signature:
    return open_pickle(artifact_of(folder, model, **more)).signature


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Model(), Signature()),
        (Model(n_features_in_=4), Signature(width=4)),
        (Model(n_features_in_=np.int64(4)), Signature(width=4)),
        (Model(n_features_in_="many"), Signature()),
        (
            Model(feature_names_in_=np.array(["a", "b"], object)),
            Signature(width=2, columns=(InputColumn("a"), InputColumn("b"))),
        ),
        (Model(classes_=np.array(["no", "yes"])), Signature(classes=("no", "yes"))),
        (Model(classes_=[np.array([0, 1]), np.array([0])]), Signature()),
        (WithProbabilities(), Signature(has_probabilities=True)),
        (Unsure(), Signature()),
    ],
)
def test_an_estimator_says_what_it_takes_and_gives(
    tmp_path: Path, model: Model, expected: Signature
) -> None:
    assert signature(tmp_path, model) == expected


def test_the_manifest_counts_more_than_the_estimator(tmp_path: Path) -> None:
    model = Model(feature_names_in_=["a", "b"], classes_=[0, 1])
    columns = (InputColumn("x"), InputColumn("y", nullable=True))

    found = signature(tmp_path, model, columns=columns, classes=("no", "yes"), rank=2)

    assert found == Signature(rank=2, width=2, columns=columns, classes=("no", "yes"))


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)])
def test_joblib_files_open_compressed_or_not(tmp_path: Path, compress: Any) -> None:
    artifact = artifact_of(tmp_path, None)
    joblib.dump(Model(n_features_in_=2), artifact.path, compress=compress)

    model = open_pickle(artifact)

    assert model.predict(np.array([[1.0, 2.0]])).tolist() == [1.0]


def test_a_real_estimator_works(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit([[-1.0, 0.0], [1.0, 0.0]], ["no", "yes"])

    model = open_pickle(artifact_of(tmp_path, fitted))

    assert model.signature.classes == ("no", "yes")
    assert model.signature.has_probabilities
    assert list(model.predict(np.array([[-1.0, 0.0], [1.0, 0.0]]))) == ["no", "yes"]
    assert model.probabilities(np.array([[1.0, 0.0]])).shape == (1, 2)


@pytest.mark.parametrize("model", [{"a": 1}, [1], 7, None, Model, Model(predict=3), object()])
def test_what_cannot_predict_is_refused(tmp_path: Path, model: Any) -> None:
    with pytest.raises(LoadFailed, match="has no predict method"):
        open_pickle(artifact_of(tmp_path, model))


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    artifact = artifact_of(tmp_path, None)
    Path(artifact.path).write_bytes(b"cno_such_package.models\nModel\n.")

    with pytest.raises(LoadFailed, match="needs the package 'no_such_package'"):
        open_pickle(artifact)


def test_a_class_from_a_notebook_is_explained(tmp_path: Path) -> None:
    artifact = artifact_of(tmp_path, None)
    Path(artifact.path).write_bytes(b"c__main__\nMyModel\n.")

    with pytest.raises(LoadFailed, match="notebook or script must be importable"):
        open_pickle(artifact)


def test_a_host_predicts_with_one_thread(tmp_path: Path) -> None:
    """Whatever the training was told: threads make a lone row slower."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline

    forest = RandomForestClassifier(2, n_jobs=-1).fit([[0.0], [1.0]], [0, 1])

    model = open_pickle(artifact_of(tmp_path, make_pipeline(forest)))

    assert model.estimator[0].n_jobs == 1


def test_the_manifest_names_as_many_columns_as_there_are(tmp_path: Path) -> None:
    columns = (InputColumn("a"), InputColumn("b"))

    with pytest.raises(LoadFailed, match=r"model.yaml names 2 inputs, the model takes 3"):
        signature(tmp_path, Model(n_features_in_=3), columns=columns)


def test_columns_that_the_manifest_types_are_put_in_the_model_s_order(tmp_path: Path) -> None:
    columns = (InputColumn("b", type="int8"), InputColumn("a"))

    found = signature(tmp_path, Model(feature_names_in_=["a", "b"]), columns=columns)

    assert [column.name for column in found.columns] == ["a", "b"]
    assert not found.is_plain
