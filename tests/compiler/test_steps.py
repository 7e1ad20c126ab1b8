"""Steps that cut a column at values of their own are compiled exactly, and cut at in the proof."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import BernoulliNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier

from modeld.compiler.compile import compile_model
from modeld.compiler.cuts import neighbours
from modeld.compiler.probes import probe
from modeld.compiler.proof import expect, prove
from modeld.errors import CompileFailed, ModelError
from modeld.runtimes.onnx import OnnxModel
from tests.compiler.opened import opened

RANDOM = np.random.default_rng(3)
TENTHS = RANDOM.integers(0, 11, (300, 3)) * 0.1
CODES = RANDOM.choice([1.0, 2.0, 7.0, 30.0, 2.0**24], (300, 3))
# 0.7 is no double that 7 * 0.1 gives, and the same float.
CUT = 0.7


def labels(rows: Any) -> Any:
    return (rows[:, 0] > np.median(rows[:, 0])).astype(int)


def beside(rows: Any) -> Any:
    """These rows, and others with values that no step has seen."""
    moved = [rows, rows + 0.5, rows - 0.5, rows + 1.0, -rows]
    return np.concatenate([*moved, *np.moveaxis(neighbours(rows), 1, 0)])


@pytest.mark.parametrize(
    ("steps", "rows"),
    [
        pytest.param([Binarizer(threshold=CUT)], TENTHS, id="binarizer"),
        pytest.param([Binarizer()], TENTHS, id="binarizer at zero"),
        pytest.param([StandardScaler(), Binarizer(threshold=0.1)], TENTHS, id="behind a scaler"),
        pytest.param(
            [ColumnTransformer([("b", Binarizer(threshold=CUT), [0, 2])], remainder="passthrough")],
            TENTHS, id="binarizer of columns",
        ),
        pytest.param([OneHotEncoder(handle_unknown="ignore")], CODES, id="one hot"),
        pytest.param(
            [OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)],
            CODES, id="ordinal",
        ),
        pytest.param([TargetEncoder(cv=StratifiedKFold(3))], CODES, id="target"),
        pytest.param([SimpleImputer(missing_values=7.0)], CODES, id="imputer"),
        pytest.param([MinMaxScaler()], TENTHS, id="scaler by extremes"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("last", [LogisticRegression(), DecisionTreeClassifier(random_state=0)])
def test_what_a_step_has_not_seen_is_answered_the_same(
    tmp_path: Path, steps: Any, rows: Any, last: Any
) -> None:
    estimator = make_pipeline(*steps, last).fit(rows, labels(rows))

    compiled = OnnxModel(compile_model(opened(tmp_path, estimator), None).model)

    others = beside(rows)
    assert compiled.predict(others).ravel().tolist() == estimator.predict(others).tolist()
    np.testing.assert_allclose(
        compiled.probabilities(others), estimator.predict_proba(others), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()])
@pytest.mark.parametrize("last", [LogisticRegression(), DecisionTreeClassifier(random_state=0)])
def test_numbers_that_an_encoder_refuses_are_refused(
    tmp_path: Path, encoder: Any, last: Any
) -> None:
    estimator = make_pipeline(encoder, last).fit(CODES, labels(CODES))

    native = opened(tmp_path, estimator, CODES[0].tolist())
    compiled = OnnxModel(compile_model(native, None).model)

    assert compiled.predict(CODES).ravel().tolist() == estimator.predict(CODES).tolist()
    for row in neighbours(CODES[0]).T[:, np.newaxis]:
        if np.isin(row, [1.0, 2.0, 7.0, 30.0, 2.0**24]).all():
            assert compiled.predict(row).ravel().tolist() == estimator.predict(row).tolist()
        else:
            with pytest.raises(ModelError, match="Found an unknown category in column"):
                compiled.predict(row)


@pytest.mark.parametrize(
    "model",
    [
        BernoulliNB(binarize=CUT),
        make_pipeline(MinMaxScaler(), MLPClassifier((4,), max_iter=2000, random_state=0)),
    ],
)
def test_models_with_such_steps_inside_answer_the_same(tmp_path: Path, model: Any) -> None:
    model.fit(TENTHS, labels(TENTHS))

    compiled = OnnxModel(compile_model(opened(tmp_path, model), None).model)

    others = beside(TENTHS)
    assert compiled.predict(others).tolist() == model.predict(others).tolist()


def test_the_proof_notices_a_rounded_threshold(tmp_path: Path) -> None:
    native = opened(
        tmp_path,
        make_pipeline(Binarizer(threshold=CUT), LogisticRegression()).fit(TENTHS, labels(TENTHS)),
    )
    expected = expect(native, probe(native, None), lambda: False)
    model = onnx.load_from_string(compile_model(native, None).model)
    (threshold,) = (
        each
        for each in model.graph.initializer
        if onnx.numpy_helper.to_array(each).ravel().tolist() == [CUT]
    )
    rounded = np.array(np.float64(np.float32(CUT)))
    threshold.CopyFrom(onnx.numpy_helper.from_array(rounded, threshold.name))

    with pytest.raises(CompileFailed, match="differ"):
        prove(OnnxModel(model.SerializeToString()), expected, has_labels=True)


def test_trees_are_not_given_narrow_numbers(tmp_path: Path) -> None:
    """skl2onnx multiplies columns in 32 bits alone."""
    model = make_pipeline(PolynomialFeatures(2), DecisionTreeClassifier(random_state=0))
    native = opened(tmp_path, model.fit(TENTHS, labels(TENTHS)))

    with pytest.raises(CompileFailed):
        compile_model(native, None)


def test_bins_that_are_cut_otherwise_are_refused(tmp_path: Path) -> None:
    """skl2onnx rounds their edges."""
    bins = KBinsDiscretizer(5, encode="onehot-dense", strategy="uniform")
    model = make_pipeline(bins, DecisionTreeClassifier(random_state=0))
    native = opened(tmp_path, model.fit(TENTHS, labels(TENTHS)))

    with pytest.raises(CompileFailed, match="labels differ"):
        compile_model(native, None)
