"""Compile models of tables with texts and numbers, and refuse what cannot be proven equal."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.base import clone, is_regressor
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier

from modeld.compiler.compile import compile_model
from modeld.compiler.probes import probe, unseen
from modeld.compiler.proof import expect, prove
from modeld.errors import CompileFailed, ModelError
from modeld.runtimes.golden import to_rows
from modeld.runtimes.onnx import OnnxModel
from modeld.runtimes.onnx_inputs import NULL
from tests.compiler.opened import opened

RANDOM = np.random.default_rng(0)
COUNT = 300
AGES = np.where(RANDOM.random(COUNT) < 0.2, np.nan, RANDOM.integers(0, 700, COUNT) * 0.1)
FRAME = pd.DataFrame(
    {
        "rank": RANDOM.integers(1, 4, COUNT),
        "sex": RANDOM.choice(["male", "female"], COUNT),
        "age": AGES,
        "fare": RANDOM.exponential(30, COUNT).round(4),
        "port": RANDOM.choice(
            np.array(["S", "C", "s", None], object), COUNT, p=[0.6, 0.2, 0.1, 0.1]
        ),
        "code": RANDOM.choice(["1", "01", "1.0", "é", "e\u0301"], COUNT),
        "note": [f"note {i}" for i in range(COUNT)],
    }
)
SURVIVED = np.where((FRAME.sex == "female") & (FRAME.fare > 20) | (FRAME.age < 20), "yes", "no")
PRICE = FRAME.fare * 2 + (FRAME.sex == "male") * 10 + FRAME.age.fillna(30)

NUMBERS = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
NEW = {"handle_unknown": "ignore"}
TEXTS = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(**NEW))
FOREST = RandomForestClassifier(5, random_state=0)
LINEAR = LogisticRegression(max_iter=1000)
BOOSTING = HistGradientBoostingClassifier(max_iter=10)
CODED = {"handle_unknown": "use_encoded_value"}


def usual(last: Any, **options: Any) -> Any:
    columns = ColumnTransformer(
        [
            ("numbers", NUMBERS, ["age", "fare"]),
            ("texts", TEXTS, ["sex", "port", "code"]),
            ("rank", OneHotEncoder(**NEW), ["rank"]),
        ],
        **options,
    )
    return make_pipeline(columns, last)


def chosen(*parts: Any, last: Any = FOREST, **options: Any) -> Any:
    return make_pipeline(make_column_transformer(*parts, **options), last)


COMPILED = [
    pytest.param(usual(LINEAR), id="imputers, scaler, one-hot, regression"),
    pytest.param(usual(FOREST), id="the same before a forest"),
    pytest.param(usual(BOOSTING, sparse_threshold=0), id="the same before histograms"),
    pytest.param(usual(Ridge()), id="the same before a ridge"),
    pytest.param(usual(GradientBoostingRegressor(n_estimators=10)), id="and before boosting"),
    pytest.param(
        chosen((OneHotEncoder(**NEW), ["port", "sex"]), ("passthrough", ["fare", "age"]),
               last=DecisionTreeClassifier(random_state=0)),
        id="trees behind a column as it is",
    ),
    pytest.param(
        chosen((OrdinalEncoder(**CODED, unknown_value=-1), ["sex", "port", "rank"]),
               ("passthrough", ["age"]), last=BOOSTING),
        id="ordinals",
    ),
    pytest.param(
        chosen((OrdinalEncoder(**CODED, unknown_value=np.nan, encoded_missing_value=-7),
                ["port", "code"]), ("passthrough", ["age"]), last=BOOSTING),
        id="ordinals where the unknown is missing",
    ),
    pytest.param(
        chosen((TargetEncoder(random_state=0), ["sex", "port"]), (SimpleImputer(), ["age"])),
        id="targets",
    ),
    pytest.param(
        chosen((OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=60,
                              drop="first"), ["port", "code", "rank"]), (NUMBERS, ["age"])),
        id="infrequent and dropped categories",
    ),
    pytest.param(
        chosen((make_pipeline(SimpleImputer(strategy="constant", fill_value="?"),
                              OneHotEncoder(**NEW)), ["port"]), (NUMBERS, ["age"])),
        id="a text that fills gaps",
    ),
    pytest.param(
        chosen((TEXTS, make_column_selector(pattern="sex|port")),
               (NUMBERS, make_column_selector(dtype_include="number"))),
        id="columns by selectors",
    ),
    pytest.param(chosen((OneHotEncoder(**NEW), [4, 1]), (NUMBERS, [3, 2, 0])), id="by position"),
    pytest.param(chosen((OneHotEncoder(**NEW), slice("port", "code")), (NUMBERS, slice(2, 4))),
                 id="by slices"),
    pytest.param(chosen((NUMBERS, ["fare", "age"])), id="numbers by name"),
    pytest.param(
        make_pipeline(usual(StandardScaler(with_mean=False)), LINEAR), id="a pipeline in another"
    ),
    pytest.param(
        chosen((OneHotEncoder(**NEW), ["sex"]), ("drop", ["note", "code", "port"]),
               remainder="passthrough", last=BOOSTING),
        id="the rest as it is",
    ),
    pytest.param(
        chosen((OneHotEncoder(), ["port", "rank"]), (NUMBERS, ["age"])), id="the unknown fails"
    ),
    pytest.param(
        chosen((make_pipeline(SimpleImputer(strategy="most_frequent"),
                              OneHotEncoder(drop="if_binary")), ["sex", "port"]),
               ("passthrough", ["fare"]), last=LINEAR),
        id="the unknown fails behind an imputer",
    ),
    pytest.param(
        chosen((make_pipeline(SimpleImputer(missing_values="NA", strategy="constant",
                                            fill_value="01"), OneHotEncoder()), ["code"])),
        id="the unknown fails, but for what stands for a gap",
    ),
    pytest.param(
        chosen((OrdinalEncoder(), ["sex", "rank"]), (OneHotEncoder(min_frequency=60), ["code"]),
               (NUMBERS, ["age"]), last=BOOSTING, sparse_threshold=0),
        id="the unknown fails, ordinals and infrequent ones",
    ),
    pytest.param(
        GridSearchCV(usual(LINEAR), {"logisticregression__C": [0.1, 1.0]}, cv=2), id="a search"
    ),
]  # fmt: skip


def rows_of(native: Any, frame: Any) -> Any:
    rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    return to_rows(native.signature, rows)


def trained(folder: Path, model: Any) -> Any:
    model.fit(FRAME, PRICE if is_regressor(model) else SURVIVED)
    return opened(folder, model, [1, "male", 20.0, 10.0, "S", "1", "note 1"])


@pytest.mark.filterwarnings("ignore:Found unknown categories:UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning:sklearn.preprocessing._target_encoder")
@pytest.mark.parametrize("model", COMPILED)
def test_tables_answer_the_same(tmp_path: Path, model: Any) -> None:
    native = trained(tmp_path, model)

    compiled = compile_model(native, None)

    ours, rows = OnnxModel(compiled.model), rows_of(native, FRAME)
    assert compiled.rows >= 1000
    if native.signature.classes:
        found = ours.predict(rows).ravel().tolist()
        assert json.dumps(found) == json.dumps(native.predict(rows).tolist())
    else:
        np.testing.assert_allclose(ours.predict(rows).ravel(), native.predict(rows), rtol=1e-5)


REFUSED = [
    pytest.param(
        chosen((OneHotEncoder(**NEW), ["sex"]), (CountVectorizer(), "note")),
        'the texts of "note" go through CountVectorizer',
        id="words",
    ),
    pytest.param(
        chosen((OneHotEncoder(**NEW), ["sex"]), (FunctionTransformer(np.sign), ["fare"])),
        "FunctionTransformer",
        id="a function of one's own",
    ),
    pytest.param(
        chosen((OneHotEncoder(**NEW), ["sex"]),
               (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["age"])),
        "or one with an indicator, is not compiled",
        id="an imputer with an indicator",
    ),
    pytest.param(
        VotingClassifier([("a", usual(LINEAR)), ("b", usual(FOREST))]),
        "a VotingClassifier around what chooses columns is not compiled",
        id="votes of pipelines",
    ),
    pytest.param(
        usual(LINEAR).set_params(columntransformer__transformer_weights={"rank": 2.0}),
        "a ColumnTransformer with weights is not compiled",
        id="weights",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("model", "says"), REFUSED)
def test_what_cannot_be_equal_stays_native_and_says_why(
    tmp_path: Path, model: Any, says: str
) -> None:
    native = trained(tmp_path, model)

    with pytest.raises(CompileFailed) as caught:
        compile_model(native, None)

    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


STRICT = chosen((OneHotEncoder(), ["port"]), (OrdinalEncoder(), ["rank"]), (NUMBERS, ["age"]))


@pytest.mark.parametrize(
    ("place", "value", "column"),
    [
        (4, "Q", "port"),
        (4, "s ", "port"),
        (4, "", "port"),
        (4, NULL, "port"),
        (0, 4, "rank"),
        (0, 0, "rank"),
    ],
)
def test_what_makes_the_native_model_fail_makes_the_compiled_one_fail(
    tmp_path: Path, place: int, value: Any, column: str
) -> None:
    native = trained(tmp_path, STRICT)
    ours = OnnxModel(compile_model(native, None).model)
    rows = rows_of(native, FRAME)
    rows[1, place] = value

    with pytest.raises(ValueError, match="Found unknown categories"):
        native.predict(rows)
    for ask in (ours.predict, ours.probabilities):
        with pytest.raises(ModelError) as caught:
            ask(rows)
        assert str(caught.value) == f"ValueError: Found an unknown category in column {column}"


@pytest.mark.parametrize(
    "name",
    ["it's", "a 'b' Status Message: c", "zwei\nZeilen", "Größe"],
)
def test_any_name_of_a_column_can_be_told(tmp_path: Path, name: str) -> None:
    frame = FRAME.rename(columns={"port": name})
    model = chosen((OneHotEncoder(), [name]), (SimpleImputer(), ["age"]))
    native = opened(tmp_path, model.fit(frame, SURVIVED))
    ours = OnnxModel(compile_model(native, None).model)
    rows = rows_of(native, frame)
    rows[0, 4] = "Q"

    with pytest.raises(ModelError) as caught:
        ours.predict(rows)

    assert str(caught.value) == f"ValueError: Found an unknown category in column {name}"


def test_the_proof_notices_a_compiled_model_that_answers_the_unknown(tmp_path: Path) -> None:
    lenient = clone(STRICT).set_params(columntransformer__onehotencoder__handle_unknown="ignore")
    answering = compile_model(trained(tmp_path, lenient), None)
    native = trained(tmp_path, STRICT)
    expected = expect(native, probe(native, None), lambda: False)
    expected = replace(expected, refused=unseen(native, None))
    prove(OnnxModel(compile_model(native, None).model), expected, has_labels=True)

    with pytest.raises(CompileFailed, match="answers what the native one fails on"):
        prove(OnnxModel(answering.model), expected, has_labels=True)


def test_a_column_of_which_nothing_is_left_cannot_fail(tmp_path: Path) -> None:
    frame = FRAME.assign(port="S")
    model = chosen((OneHotEncoder(drop="first"), ["port", "sex"])).fit(frame, SURVIVED)

    with pytest.raises(CompileFailed, match="a column of one category, which is dropped"):
        compile_model(opened(tmp_path, model), None)


@pytest.mark.parametrize("wrap", [lambda model: model, make_pipeline], ids=["alone", "a pipeline"])
def test_boosting_on_categories_of_texts_stays_native(tmp_path: Path, wrap: Any) -> None:
    frame = FRAME[["sex", "fare"]].astype({"sex": "category"})
    model = wrap(HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype"))
    native = opened(tmp_path, model.fit(frame, SURVIVED))

    with pytest.raises(CompileFailed, match=r"is not compiled|cannot convert it"):
        compile_model(native, None)


def test_the_rows_have_every_text_and_such_as_look_like_them(tmp_path: Path) -> None:
    native = trained(tmp_path, usual(FOREST))

    rows = probe(native, None)

    ports = set(rows[:, 4])
    assert {"S", "C", "s", None, "", "S ", " S", "unseen", "c"} <= ports
    assert {"e\u0301", "é", "1.0", "01"} <= set(rows[:, 5])
    ages = rows[:, 2].astype(float)
    assert np.isnan(ages).any()
    assert np.nanmax(ages) > 1e30


def test_the_rows_stand_at_thresholds_behind_a_scaler_and_beside_each_text(tmp_path: Path) -> None:
    """A tree asks for an age only of those with a certain text: both are in one row."""
    frame = pd.DataFrame({"sex": ["m", "f"] * 200, "age": np.arange(400) * 0.1})
    labels = ((frame.sex == "f") & (frame.age > 30.05)).astype(int)
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(**NEW), ["sex"]), (StandardScaler(), ["age"])),
        DecisionTreeClassifier(random_state=0),
    ).fit(frame, labels)
    native = opened(tmp_path, model)

    rows = probe(native, None)

    is_near = np.abs(rows[:, 1].astype(float) - 30.05) < 0.06
    assert is_near.sum() >= 8
    assert "f" in set(rows[is_near, 0])


def test_a_missing_text_is_the_same_alone_and_among_others(tmp_path: Path) -> None:
    native = trained(tmp_path, usual(LINEAR))
    rows = rows_of(native, FRAME)
    rows[0, 4] = None

    alone = native.probabilities(rows[:1])

    np.testing.assert_allclose(alone, native.probabilities(rows)[:1])


def changed_texts(model: bytes, change: Any) -> bytes:
    """Change the look-up of a text column that has a missing one among its categories."""
    graph = onnx.load_from_string(model)
    for node in graph.graph.node:
        keys, values = (_attribute(node, name) for name in ("keys_strings", "values_int64s"))
        if node.op_type == "LabelEncoder" and len(keys.strings) > 2:
            change(keys.strings, values.ints)
            break
    written: bytes = graph.SerializeToString()
    return written


def _attribute(node: Any, name: str) -> Any:
    return next((each for each in node.attribute if each.name == name), None)


def swapped(keys: Any, values: Any) -> None:
    keys[0], keys[1] = keys[1], keys[0]


def without_the_missing(keys: Any, values: Any) -> None:
    keys[list(keys).index(NULL.encode())] = b"nobody sends this"


def with_the_empty(keys: Any, values: Any) -> None:
    keys.append(b"")
    values.append(values[0])


@pytest.mark.parametrize("change", [swapped, without_the_missing, with_the_empty])
def test_the_proof_notices_a_text_that_is_taken_for_another(tmp_path: Path, change: Any) -> None:
    columns = ((OneHotEncoder(**NEW), ["port"]), (SimpleImputer(), ["fare"]))
    native = trained(tmp_path, chosen(*columns, last=LINEAR))
    compiled = compile_model(native, None)
    expected = expect(native, probe(native, None), lambda: False)
    prove(OnnxModel(compiled.model), expected, has_labels=True)

    wrong = changed_texts(compiled.model, change)

    with pytest.raises(CompileFailed, match="differ"):
        prove(OnnxModel(wrong), expected, has_labels=True)
