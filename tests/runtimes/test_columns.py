from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from modeld.domain import InputColumn
from modeld.runtimes.columns import find_texts, takes_frames, to_frame, to_table

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


def test_what_chooses_no_columns_has_no_texts() -> None:
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])

    assert find_texts(model, ["a"]) == {}
    assert not takes_frames(model)


@pytest.mark.parametrize(
    ("columns", "takes"), [(["age"], True), ("note", True), ([0], False), (slice(0, 1), False)]
)
def test_columns_chosen_by_name_take_a_frame(columns: Any, takes: bool) -> None:
    step = CountVectorizer() if columns == "note" else StandardScaler()

    assert takes_frames(fitted(("a", step, columns))) is takes


def test_a_frame_has_numbers_and_texts() -> None:
    columns = (InputColumn("age"), InputColumn("city", is_text=True))

    frame = to_frame(to_table([[1, "Rome"], [float("nan"), None]]), columns)

    assert frame["age"].dtype == np.float64
    assert np.isnan(frame["age"][1])
    assert frame["city"][0] == "Rome"
    assert pd.isna(frame["city"][1])


def test_a_table_keeps_each_cell() -> None:
    table = to_table([[1.5, "a"], [None, "b"]])

    assert table.tolist() == [[1.5, "a"], [None, "b"]]
