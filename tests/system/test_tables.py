"""Rows of texts and numbers, as data frames have them, through a real server."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.support.server import Server, eventually
from tests.support.versions import write_pickle, write_samples

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "age": RANDOM.normal(40, 10, 300),
        "city": RANDOM.choice(["Oslo", "Paris", "Rome"], 300),
        "fare": RANDOM.exponential(30, 300),
    }
)
LABELS = np.where((FRAME.age > 40) & (FRAME.city == "Rome"), "yes", "no")
NUMBERS = make_pipeline(SimpleImputer(), StandardScaler())
MODEL = make_pipeline(
    ColumnTransformer(
        [
            ("numbers", NUMBERS, ["age", "fare"]),
            ("city", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    ),
    LogisticRegression(),
).fit(FRAME, LABELS)
ROW = {"age": 60, "city": "Rome", "fare": 3.5}


@pytest.fixture
def tables(repository: Server) -> Server:
    write_pickle(repository.models / "v3", MODEL)
    repository.write_state("active: v3\n")
    repository.start()
    repository.wait_until_live("v3")
    return repository


def test_a_row_is_an_object_or_a_list(tables: Server) -> None:
    by_name = tables.predict({"features": ROW}, "?proba=true")
    by_place = tables.predict({"features": list(ROW.values())}, "?proba=true")

    assert by_name.json["prediction"] == MODEL.predict(pd.DataFrame([ROW]))[0]
    assert by_name.json == by_place.json
    assert by_name.json["classes"] == ["no", "yes"]


def test_many_rows_are_answered_in_their_order(tables: Server) -> None:
    rows = FRAME.head(50).to_dict("records")

    answer = tables.predict({"instances": rows})

    assert answer.json["predictions"] == MODEL.predict(FRAME.head(50)).tolist()


def test_what_the_model_takes_may_be_missing_or_new(tables: Server) -> None:
    row = {"age": None, "city": "Nowhere", "fare": 1}

    answer = tables.predict({"features": row})

    expected = MODEL.predict(pd.DataFrame([row]).astype({"age": float}))
    assert answer.json["prediction"] == expected[0]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({**ROW, "city": 3}, 'column 2 ("city"): expected a text, found a number'),
        ({**ROW, "age": "60"}, 'column 1 ("age"): expected a number, found a text'),
        ({"age": 60, "fare": 3}, 'column "city" is missing'),
        ({**ROW, "citty": "Rome"}, 'unknown column "citty" (did you mean "city"?)'),
    ],
)
def test_a_wrong_cell_is_named(tables: Server, row: object, says: str) -> None:
    answer = tables.predict({"features": row})

    assert answer.status == 422
    assert says in answer.json["error"]


def test_why_it_is_not_compiled_is_said_in_words(repository: Server) -> None:
    write_pickle(repository.models / "v3", MODEL)
    repository.write_state("active: v3\n")
    repository.start(MODELD_COMPILE="auto")
    repository.wait_until_live("v3")

    (loaded,) = repository.status()["models"]["default"]["loaded"]

    assert loaded["why_native"].endswith("this one chooses columns by name")


def test_the_greeting_shows_a_row_that_works(tables: Server) -> None:
    # It is printed once something serves, which other processes may see first.
    row = '{"age": 0.0, "city": "Oslo", "fare": 0.0}'
    eventually(lambda: row in tables.log.read_text(), "the greeting with a row")


def test_golden_samples_may_hold_texts(tables: Server) -> None:
    write_pickle(tables.models / "good", MODEL)
    write_samples(tables.models / "good", [ROW], ["yes"])
    write_pickle(tables.models / "bad", MODEL)
    write_samples(tables.models / "bad", [ROW], ["no"])

    good = tables.admin("set-active-version", {"version": "good"})
    bad = tables.admin("set-active-version", {"version": "bad"})

    assert good.status == 200
    assert bad.json["code"] == "samples_differ"
