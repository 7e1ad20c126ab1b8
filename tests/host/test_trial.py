import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modeld.domain import Artifact, InputColumn
from modeld.errors import LoadFailed, ModeldError, ModelOutputInvalid, SamplesDiffer
from modeld.host.trial import try_out
from modeld.messages import Loaded
from tests.host.pickles import artifact_of
from tests.runtimes import onnx_files

LIMIT = 64 << 20
STARS = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [5.0, 50.0]])


class Sum:
    """The sum of two numbers; NaN is passed on, which no client can be told."""

    n_features_in_ = 2

    def predict(self, rows: Any) -> Any:
        return rows.sum(axis=1)


class Label(Sum):
    """A label, with probabilities; a missing second number is taken."""

    classes_ = ("no", "yes")

    def predict(self, rows: Any) -> Any:
        if np.isnan(rows[:, 0]).any():
            raise ValueError("Input X contains NaN.")
        return np.where(rows[:, 0] > 0, "yes", "no")

    def predict_proba(self, rows: Any) -> Any:
        return np.tile([0.25, 0.75], (len(rows), 1))


class Imputing(Sum):
    def predict(self, rows: Any) -> Any:
        return np.nan_to_num(rows).sum(axis=1)


class Unsure(Label):
    def predict_proba(self, rows: Any) -> Any:
        raise AttributeError("predict_proba is not available when probability=False")


class Single(Sum):
    """Reads its rows in single precision, as trees do."""

    def predict(self, rows: Any) -> Any:
        if (np.abs(rows) > np.finfo(np.float32).max).any():
            raise ValueError("Input X contains a value too large for dtype('float32').")
        return rows.astype(np.float32).sum(axis=1)


class Shouting:
    """Takes texts; that it does, only the manifest can tell."""

    def predict(self, rows: Any) -> Any:
        return [text.upper() for text in rows]


class Broken(Sum):
    def predict(self, rows: Any) -> Any:
        raise RuntimeError("out of order")


class Undefined(Sum):
    def predict(self, rows: Any) -> Any:
        return rows[:, 0] * np.nan


def pickled(folder: Path, model: Any, **more: Any) -> Artifact:
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps(model))
    return replace(artifact_of(path, "pickle"), **more)


def saved(folder: Path, model: Any, **more: Any) -> Artifact:
    path = folder / "model.onnx"
    onnx_files.save(path, model)
    return replace(artifact_of(path, "onnx"), **more)


def sampled(artifact: Artifact, inputs: list[Any], outputs: list[Any]) -> Artifact:
    path = Path(artifact.path).with_name("samples.json")
    path.write_text(json.dumps({"inputs": inputs, "outputs": outputs}))
    return replace(artifact, samples=str(path))


def tried(artifact: Artifact, limit: int = LIMIT) -> Loaded:
    return try_out(artifact, limit)[1]


# What only trying tells


@pytest.mark.parametrize(
    ("model", "nullable"),
    [(Sum(), (False, False)), (Label(), (False, True)), (Imputing(), (True, True))],
)
def test_which_columns_may_be_missing_is_tried(
    tmp_path: Path, model: Any, nullable: tuple[bool, ...]
) -> None:
    assert tried(pickled(tmp_path, model)).signature.nullable == nullable


@pytest.mark.parametrize(
    ("model", "has_them"), [(Sum(), False), (Label(), True), (Unsure(), False)]
)
def test_whether_there_are_probabilities_is_tried(
    tmp_path: Path, model: Any, has_them: bool
) -> None:
    assert tried(pickled(tmp_path, model)).signature.has_probabilities is has_them


@pytest.mark.parametrize(("model", "precision"), [(Label(), 64), (Single(), 32)])
def test_whether_large_numbers_fit_is_tried(tmp_path: Path, model: Any, precision: int) -> None:
    assert tried(pickled(tmp_path, model)).signature.precision == precision


@pytest.mark.parametrize(
    "model", [onnx_files.classifier(), onnx_files.regression(onnx_files.FLOAT)]
)
def test_an_input_in_single_precision_stays_one(tmp_path: Path, model: Any) -> None:
    """That a label comes out for infinity doesn't make 1e300 a number that it can read."""
    assert tried(saved(tmp_path, model)).signature.precision == 32


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("rows", [STARS, pd.DataFrame(STARS, columns=["stars", "price"])])
def test_a_model_that_knows_no_zero_is_tried_with_what_it_knows(tmp_path: Path, rows: Any) -> None:
    """An encoder fails on a number that it has not seen, as long as nobody says otherwise."""
    encode = make_column_transformer((OneHotEncoder(), [0]), remainder="passthrough")
    model = make_pipeline(encode, LogisticRegression()).fit(rows, STARS[:, 0] > 3)

    loaded = tried(pickled(tmp_path, model))

    assert loaded.signature.width == 2
    example = json.loads(loaded.example)
    assert (example["stars"] if isinstance(example, dict) else example[0]) in STARS[:, 0]


def test_a_model_of_texts_is_tried_with_its_samples(tmp_path: Path) -> None:
    artifact = sampled(pickled(tmp_path, Shouting(), rank=0), ["a", "b"], ["A", "B"])

    loaded = tried(artifact)

    assert loaded.signature.rank == 0
    assert loaded.example == '"a"'


def test_onnx_classes_are_read_from_the_graph(tmp_path: Path) -> None:
    loaded = tried(saved(tmp_path, onnx_files.classifier(labels=("no", "yes"))))

    assert loaded.signature.classes == ("no", "yes")
    assert loaded.signature.has_probabilities


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        (Broken(), LoadFailed, "RuntimeError: out of order"),
        (Undefined(), ModelOutputInvalid, "NaN"),
    ],
)
def test_a_model_that_cannot_answer_is_refused(
    tmp_path: Path, model: Any, error: type[ModeldError], says: str
) -> None:
    with pytest.raises(error, match=says):
        try_out(pickled(tmp_path, model), LIMIT)


# Golden samples


def test_samples_that_agree_are_accepted_and_the_first_is_the_example(tmp_path: Path) -> None:
    loaded = tried(sampled(pickled(tmp_path, Label()), [[1.5, None], [-1, 0]], ["yes", "no"]))

    assert loaded.example == "[1.5, null]"


@pytest.mark.parametrize(
    ("model", "outputs", "says"),
    [
        (Label(), ["yes", "yes"], r'sample 2 of 2: expected "yes", the model answers "no"'),
        (Sum(), [3.0, 0.1], r"sample 2 of 2: expected 0.1, the model answers -1.0"),
        (Sum(), [True, -1.0], r"sample 1 of 2: expected true"),
        (Sum(), ["3", -1.0], r"sample 1 of 2"),
    ],
)
def test_samples_that_differ_are_named(
    tmp_path: Path, model: Any, outputs: list[Any], says: str
) -> None:
    artifact = sampled(pickled(tmp_path, model), [[1, 2], [-1, 0]], outputs)

    with pytest.raises(SamplesDiffer, match=says):
        try_out(artifact, LIMIT)


def test_samples_may_name_their_columns(tmp_path: Path) -> None:
    columns = (InputColumn("a"), InputColumn("b"))
    artifact = pickled(tmp_path, Sum(), columns=columns)

    loaded = tried(sampled(artifact, [{"b": 2, "a": 1}], [3.0]))

    assert loaded.example == '{"b": 2, "a": 1}'


# In place


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (onnx_files.regression(), ""),
        (onnx_files.classifier(), ""),
        (onnx_files.huge_constant(64), "ConstantOfShape"),
        (onnx_files.endless_loop(2), "Loop"),
    ],
)
def test_harmless_onnx_models_may_run_in_a_worker(tmp_path: Path, model: Any, says: str) -> None:
    loaded = tried(saved(tmp_path, model))

    assert says in loaded.why_not
    assert loaded.in_place is (says == "")


def test_native_models_may_not(tmp_path: Path) -> None:
    loaded = tried(pickled(tmp_path, Sum()))

    assert not loaded.in_place
    assert loaded.why_not == "only ONNX models run in a worker"


def test_a_model_that_takes_more_memory_may_not(tmp_path: Path) -> None:
    loaded = tried(saved(tmp_path, onnx_files.regression()), limit=-1)

    assert not loaded.in_place
    assert "MiB" in loaded.why_not


def test_a_loaded_version_says_what_it_was_opened_with(tmp_path: Path) -> None:
    native, onnx = tried(pickled(tmp_path, Sum())), tried(saved(tmp_path, onnx_files.regression()))

    assert native.libraries[0].startswith("scikit-learn ")
    assert onnx.libraries[0].startswith("onnxruntime ")
    assert 0 < native.row_seconds < native.seconds


def test_distances_beside_a_label_are_no_probabilities(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx_files.save(path, onnx_files.clusters())
    samples = tmp_path / "samples.json"
    samples.write_text(json.dumps({"inputs": [[3.0, 4.0]], "outputs": [0]}))
    artifact = replace(artifact_of(path, "onnx"), samples=str(samples))

    assert not try_out(artifact, LIMIT)[1].signature.has_probabilities
