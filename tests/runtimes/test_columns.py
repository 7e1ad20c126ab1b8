from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from modeld.domain import InputColumn
from modeld.runtimes.columns import (
    as_categories,
    find_texts,
    find_unused,
    is_missing,
    missing_text,
    order_columns,
    places,
    takes_frames,
    takes_texts,
    to_frame,
    to_table,
)

FRAME = pd.DataFrame(
    {"age": [1.0, 2.0, 3.0], "city": ["Rome", "Oslo", "Rome"], "note": ["so so", "good", "bad"]}
)
NAMES = list(FRAME.columns)


def fitted(*transformers: Any) -> Any:
    model = make_pipeline(ColumnTransformer(list(transformers)), LogisticRegression())
    return model.fit(FRAME, [0, 1, 1])


@pytest.mark.parametrize(
    ("transformer", "texts"),
    [
        (("a", OneHotEncoder(), ["city"]), {"city": ("Oslo", "Rome")}),
        (("a", OneHotEncoder(), [1]), {"city": ("Oslo", "Rome")}),
        (("a", OneHotEncoder(), slice(1, 2)), {"city": ("Oslo", "Rome")}),
        (("a", OneHotEncoder(), [False, True, False]), {"city": ("Oslo", "Rome")}),
        (("a", OrdinalEncoder(), ["age", "city"]), {"city": ("Oslo", "Rome")}),
        (
            (
                "a",
                make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
                ["city"],
            ),
            {"city": ("Oslo", "Rome")},
        ),
        (("a", CountVectorizer(), "note"), {"note": ("so", "good", "bad")}),
        (("a", StandardScaler(), ["age"]), {}),
    ],
)
def test_columns_of_texts_are_found(transformer: Any, texts: Any) -> None:
    assert find_texts(fitted(transformer), NAMES) == texts


CATEGORIES = pd.DataFrame(
    {
        "age": [1.0, 2.0] * 20,
        "city": pd.Categorical(["Rome", "Oslo"] * 20),
        "size": pd.Categorical([38, 40] * 20),
        "same": pd.Categorical(["a"] * 40),
    }
)
BOOSTED = [
    LGBMClassifier(n_estimators=2, verbose=-1),
    HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype"),
]


@pytest.mark.parametrize("model", BOOSTED)
@pytest.mark.parametrize("wrap", [lambda model: model, make_pipeline])
def test_categories_of_texts_are_found(model: Any, wrap: Any) -> None:
    found = wrap(clone(model)).fit(CATEGORIES, [0, 1] * 20)

    assert find_texts(found, list(CATEGORIES.columns)) == {"city": ("Oslo", "Rome"), "same": ("a",)}
    assert find_texts(found, []) == {}


def test_categories_whose_places_are_not_known_are_not_found() -> None:
    """An ordered one is kept with the others, and split as a number."""
    frame = CATEGORIES.assign(grade=pd.Categorical(["a", "b"] * 20, ordered=True))
    model = LGBMClassifier(n_estimators=2, verbose=-1).fit(frame, [0, 1] * 20)

    assert find_texts(model, list(frame.columns)) == {}


@pytest.mark.parametrize("model", BOOSTED)
def test_boosting_on_numbers_has_no_texts(model: Any) -> None:
    found = clone(model).fit(CATEGORIES[["age"]], [0, 1] * 20)

    assert find_texts(found, ["age"]) == {}


def test_what_chooses_no_columns_has_no_texts() -> None:
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])

    assert find_texts(model, ["a"]) == {}
    assert not takes_frames(model)


WORDS = make_pipeline(CountVectorizer(), LogisticRegression())


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        (WORDS, True),
        (make_pipeline("passthrough", HashingVectorizer(), LogisticRegression()), True),
        (make_pipeline(make_pipeline(CountVectorizer(), TfidfTransformer()), Ridge()), True),
        (make_pipeline(FeatureUnion([("a", TfidfVectorizer()), ("b", WORDS[:1])]), Ridge()), True),
        (GridSearchCV(WORDS, {"logisticregression__C": [1, 2]}), True),
        (CalibratedClassifierCV(WORDS), True),
        (LogisticRegression(), False),
        (make_pipeline(StandardScaler(), LogisticRegression()), False),
        (make_pipeline(CountVectorizer(input="filename"), Ridge()), False),
        (make_pipeline(FeatureUnion([("a", TfidfVectorizer()), ("b", PCA())]), Ridge()), False),
    ],
)
def test_a_vectorizer_that_comes_first_takes_texts(model: Any, takes: bool) -> None:
    assert takes_texts(model) is takes


def test_what_wraps_a_fitted_text_model_is_looked_through() -> None:
    texts, labels = ["good film", "bad film"] * 5, [1, 0] * 5
    model = VotingClassifier([("a", CalibratedClassifierCV(WORDS, cv=2))]).fit(texts, labels)

    assert takes_texts(model)


@pytest.mark.parametrize(
    ("transformers", "unused"),
    [
        ([("a", StandardScaler(), ["age"])], {"city", "note"}),
        ([("a", StandardScaler(), [0]), ("b", "drop", [1, 2])], {"city", "note"}),
        ([("a", StandardScaler(), ["age"]), ("b", OneHotEncoder(), ["city"])], {"note"}),
        ([("a", StandardScaler(), ["age"]), ("b", "drop", ["age", "note"])], {"city", "note"}),
        ([("a", OneHotEncoder(), ["age", "city", "note"])], set()),
    ],
)
def test_columns_that_are_dropped_are_found(transformers: Any, unused: set[str]) -> None:
    assert find_unused(fitted(*transformers), NAMES) == unused


def test_columns_are_put_in_the_order_that_the_model_knows() -> None:
    a, b = InputColumn("a", type="int8"), InputColumn("b")

    assert order_columns((a, b), ["b", "a"]) == (b, a)
    assert order_columns((a, b), ["b", "c"]) == (a, b)
    assert order_columns((), ["b", "a"]) == ()


@pytest.mark.parametrize(
    ("columns", "takes"), [(["age"], True), ("note", True), ([0], False), (slice(0, 1), False)]
)
def test_columns_chosen_by_name_take_a_frame(columns: Any, takes: bool) -> None:
    step = CountVectorizer() if columns == "note" else StandardScaler()

    assert takes_frames(fitted(("a", step, columns))) is takes


def test_a_frame_has_numbers_and_texts() -> None:
    columns = (
        InputColumn("age"),
        InputColumn("city", is_text=True),
        InputColumn("rooms", type="int8"),
        InputColumn("stars", type="int8"),
    )

    frame = to_frame(to_table([[1, "Rome", 2.0, 3.0], [float("nan"), None, 1.0, None]]), columns)

    assert frame["age"].dtype == np.float64
    assert np.isnan(frame["age"][1])
    assert (frame["rooms"].dtype, frame["stars"].dtype) == (np.int8, np.float64)
    assert frame["city"][0] == "Rome"
    assert pd.isna(frame["city"][1])


def test_a_table_keeps_each_cell() -> None:
    table = to_table([[1.5, "a"], [None, "b"]])

    assert table.tolist() == [[1.5, "a"], [None, "b"]]


def test_texts_become_categories_for_those_who_want_them() -> None:
    frame = as_categories(pd.DataFrame({"age": [1.0], "is_new": [True], "city": ["Rome"]}))

    assert [str(kind) for kind in frame.dtypes] == ["float64", "bool", "category"]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ("b", [1]),
        (["c", "a"], [2, 0]),
        (slice("b", "c"), [1, 2]),
        (slice(0, -1), [0, 1]),
        ([-1, 0], [2, 0]),
        ([True, False, True], [0, 2]),
        (np.array(["b"]), [1]),
        ([], []),
    ],
)
def test_columns_are_counted_however_they_were_told(columns: Any, found: list[int]) -> None:
    assert places(columns, 3, ["a", "b", "c"]) == found


def test_a_transformer_of_an_array_names_no_columns() -> None:
    model = ColumnTransformer([("a", StandardScaler(), [0])]).fit(np.eye(2))

    assert find_texts(model, []) == {}


def test_a_missing_text_is_the_same_alone_and_among_others() -> None:
    columns = (InputColumn("city", is_text=True),)

    alone = to_frame(to_table([[None]]), columns)
    among = to_frame(to_table([["Rome"], [None]]), columns)

    assert alone["city"].dtype == among["city"].dtype
    assert is_missing(alone["city"][0])
    assert type(alone["city"][0]) is type(among["city"][1]) is type(missing_text())
