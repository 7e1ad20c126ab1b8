"""Compile real models, and refuse what does not answer the same."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modeld.compiler.compile import Compiled, compile_model
from modeld.compiler.convert import convert
from modeld.compiler.graph import finish
from modeld.compiler.probes import probe
from modeld.compiler.proof import expect, prove
from modeld.errors import CompileFailed
from modeld.runtimes.golden import Samples
from modeld.runtimes.onnx import OnnxModel
from tests.compiler.opened import opened

RANDOM = np.random.default_rng(0)
GRID = RANDOM.integers(0, 30, (600, 4)) * 0.1
SMOOTH = RANDOM.normal(size=(600, 4))
GREAT = SMOOTH * 1e8
HOLES = np.where(RANDOM.random((600, 4)) < 0.1, np.nan, SMOOTH)


def halves(rows: Any) -> Any:
    rows = np.nan_to_num(rows)
    return (rows[:, 0] * rows[:, 1] > np.median(rows[:, 0] * rows[:, 1])).astype(int)


def thirds(rows: Any) -> Any:
    return np.digitize(rows[:, 0] + rows[:, 1], np.quantile(rows[:, 0] + rows[:, 1], [0.3, 0.6]))


def forest(trees: int = 30) -> RandomForestClassifier:
    return RandomForestClassifier(trees, random_state=0)


def held_out(compiled: Compiled, native: Any, rows: Any) -> None:
    """Compare on rows that the proof did not choose."""
    ours = OnnxModel(compiled.model)

    assert ours.predict(rows).ravel().tolist() == native.predict(rows).tolist()
    if native.signature.has_probabilities:
        np.testing.assert_allclose(
            ours.probabilities(rows), native.probabilities(rows), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize(
    ("estimator", "rows", "labels"),
    [
        pytest.param(DecisionTreeClassifier(random_state=0), GRID, halves, id="tree on a grid"),
        pytest.param(forest(), GRID, halves, id="forest on a grid"),
        pytest.param(forest(), SMOOTH, thirds, id="forest of three classes"),
        pytest.param(make_pipeline(StandardScaler(), forest()), GRID, halves, id="scaler, forest"),
        pytest.param(
            make_pipeline(StandardScaler(), GradientBoostingClassifier(random_state=0)),
            GREAT, halves, id="boosting far from zero",
        ),
        pytest.param(ExtraTreesClassifier(20, random_state=0), GRID, halves, id="extra trees"),
        pytest.param(GradientBoostingClassifier(random_state=0), SMOOTH, thirds, id="boosting"),
        pytest.param(AdaBoostClassifier(random_state=0), GRID, halves, id="ada boost"),
        pytest.param(BaggingClassifier(random_state=0), GRID, halves, id="bagging"),
        pytest.param(HistGradientBoostingClassifier(), GRID, halves, id="histograms"),
        pytest.param(HistGradientBoostingClassifier(), SMOOTH, thirds, id="histograms, three"),
        pytest.param(HistGradientBoostingClassifier(), HOLES, halves, id="histograms with holes"),
        pytest.param(LogisticRegression(), SMOOTH, thirds, id="regression"),
        pytest.param(
            CalibratedClassifierCV(LogisticRegression()), SMOOTH, halves, id="calibrated"
        ),
        pytest.param(
            VotingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier())],
                             voting="soft"),
            SMOOTH, halves, id="votes",
        ),
        pytest.param(SVC(), SMOOTH, halves, id="support vectors"),
    ],
)  # fmt: skip
def test_classifiers_answer_the_same(
    tmp_path: Path, estimator: Any, rows: Any, labels: Any
) -> None:
    native = opened(tmp_path, estimator.fit(rows, labels(rows)))

    compiled = compile_model(native, None)

    assert compiled.rows >= 1000
    held_out(compiled, native, rows)


@pytest.mark.parametrize(
    "estimator",
    [
        LinearRegression(),
        DecisionTreeRegressor(random_state=0),
        RandomForestRegressor(20, random_state=0),
        GradientBoostingRegressor(random_state=0),
        HistGradientBoostingRegressor(),
        make_pipeline(StandardScaler(), RandomForestRegressor(10, random_state=0)),
    ],
    ids=lambda estimator: str(type(estimator).__name__),
)
def test_regressors_answer_the_same(tmp_path: Path, estimator: Any) -> None:
    native = opened(tmp_path, estimator.fit(SMOOTH, SMOOTH[:, 0] * 7 + SMOOTH[:, 1]))

    compiled = compile_model(native, None)

    ours = OnnxModel(compiled.model).predict(SMOOTH).ravel()
    np.testing.assert_allclose(ours, native.predict(SMOOTH), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "classes",
    [
        pytest.param([False, True], id="bool"),
        pytest.param([1.0, 2.0], id="float"),
        pytest.param(np.array([3, 7], np.int8), id="int8"),
        pytest.param(["no", 'é, "'], id="text"),
    ],
)
@pytest.mark.parametrize(
    "estimator",
    [forest(5), LogisticRegression(), HistGradientBoostingClassifier()],
    ids=["forest", "regression", "histograms"],
)
def test_labels_keep_their_type(tmp_path: Path, classes: Any, estimator: Any) -> None:
    labels = np.asarray(classes)[halves(SMOOTH)]
    native = opened(tmp_path, estimator.fit(SMOOTH, labels))

    ours = OnnxModel(compile_model(native, None).model).predict(SMOOTH)

    assert json.dumps(ours.ravel().tolist()) == json.dumps(native.predict(SMOOTH).tolist())


def test_a_plain_conversion_of_a_forest_on_a_grid_is_refused(tmp_path: Path) -> None:
    """Without the casts many labels are wrong: what scikit-learn compares are floats."""
    native = opened(tmp_path, forest(100).fit(GRID, halves(GRID)))
    signature = native.signature
    expected = expect(native, probe(native, None), lambda: False)
    graph = convert(native.estimator, signature, "double")
    written = finish(graph, expected.answers.predictions, signature.classes, has_probabilities=True)

    with pytest.raises(CompileFailed, match="differ"):
        prove(OnnxModel(written), expected, has_labels=True)


def _tampered(model: bytes, change: Any) -> bytes:
    """Change a number of the first ensemble of trees; the attribute is a tensor of doubles."""
    graph = onnx.load_from_string(model)
    node = next(n for n in graph.graph.node if n.op_type.startswith("TreeEnsemble"))
    attribute = next(a for a in node.attribute if a.name == change[0])
    values = onnx.numpy_helper.to_array(attribute.t).copy()
    values[: len(values) // 2] = change[1](values[: len(values) // 2])
    attribute.t.CopyFrom(onnx.numpy_helper.from_array(values, attribute.t.name))
    written: bytes = graph.SerializeToString()
    return written


@pytest.mark.parametrize(
    ("attribute", "change"),
    [
        pytest.param(
            "nodes_splits",
            lambda v: np.nextafter(v.astype(np.float32), np.float32(9e9)).astype(np.float64),
            id="thresholds by the last digit of a float",
        ),
        pytest.param("leaf_weights", lambda v: v + 1e-3, id="leaves by a thousandth"),
    ],
)
def test_the_proof_notices(tmp_path: Path, attribute: str, change: Any) -> None:
    native = opened(tmp_path, forest(10).fit(GRID, halves(GRID)))
    compiled = compile_model(native, None)
    expected = expect(native, probe(native, None), lambda: False)
    prove(OnnxModel(compiled.model), expected, has_labels=True)

    wrong = _tampered(compiled.model, (attribute, change))

    with pytest.raises(CompileFailed, match="differ"):
        prove(OnnxModel(wrong), expected, has_labels=True)


def test_what_no_converter_knows_is_named_in_one_line(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(np.square), LogisticRegression())
    native = opened(tmp_path, model.fit(SMOOTH, halves(SMOOTH)))

    with pytest.raises(CompileFailed) as caught:
        compile_model(native, None)

    assert "FunctionTransformer" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_golden_samples_are_among_the_rows(tmp_path: Path) -> None:
    """They come first, where no bound on the rows cuts them off."""
    native = opened(tmp_path, forest(5).fit(GRID, halves(GRID)))
    golden = np.array([[1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3, 0.4]])

    rows = probe(native, golden)

    assert rows[:2].tolist() == golden.tolist()
    assert compile_model(native, Samples(golden.tolist(), [0, 0])).rows >= 1000


def test_the_same_model_is_compiled_the_same(tmp_path: Path) -> None:
    native = opened(tmp_path, forest(5).fit(GRID, halves(GRID)))

    assert compile_model(native, None) == compile_model(native, None)


def test_a_model_of_texts_is_not_compiled(tmp_path: Path) -> None:
    native = opened(tmp_path, LinearRegression().fit(SMOOTH, SMOOTH[:, 0]))
    native.signature = replace(native.signature, rank=0)

    with pytest.raises(CompileFailed, match="rows of numbers and texts"):
        compile_model(native, None)
