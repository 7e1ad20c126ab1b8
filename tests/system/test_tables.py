"""Rows of texts and numbers, as data frames have them, through a real server."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.support.server import Answer, Server, eventually
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
    gaps = [("gaps", SimpleImputer(add_indicator=True), ["age", "fare"])]
    model = make_pipeline(ColumnTransformer(gaps), LogisticRegression()).fit(FRAME, LABELS)
    write_pickle(repository.models / "v3", model)
    repository.write_state("active: v3\n")
    repository.start(MODELD_COMPILE="auto")
    repository.wait_until_live("v3")

    reason = eventually(lambda: loaded(repository)["why_native"], "a reason")

    assert reason.endswith("or one with an indicator, is not compiled")


def loaded(server: Server) -> Any:
    (found,) = server.status()["models"]["default"]["loaded"]
    return found


def compiled(server: Server, row: Any = ROW) -> Answer:
    """Ask until the answer comes from the compiled model."""

    def ask() -> Answer | None:
        answer = server.predict({"features": row})
        return answer if answer.headers["X-Model-Runtime"] == "compiled" else None

    return eventually(ask, "a compiled answer")


# What both are asked. Of the last row, `0.1` is no float and `1e300` no 32-bit number.
CELLS: list[dict[str, Any]] = [
    {},
    *({"city": city} for city in ("Oslo", "oslo", " Oslo", "Oslo\0", "", "Ålesund", "\0null")),
    *({"city": city} for city in (None, 3, True, ["Oslo"], "null")),
    *({"age": age} for age in (None, 40, 0.1, -1e300, 1e300, "40", True, [40])),
    {"age": None, "city": None, "fare": None},
    {"more": 1},
]
REQUESTS: list[Any] = [
    *({"features": {**ROW, **cells}} for cells in CELLS),
    *({"features": list({**ROW, **cells}.values())[:3]} for cells in CELLS),
    {"instances": FRAME.head(200).to_dict("records")},
    {"instances": [ROW, {**ROW, "city": None}, {**ROW, "age": 0.1}]},
    {"instances": [ROW, {**ROW, "city": 7}]},
    {"features": {"age": 1, "fare": 2}},
    {"features": [1, "Oslo"]},
    {"features": "Oslo"},
    {"features": []},
]


def told(server: Server, body: Any) -> Any:
    """Give what a client sees, without what differs from request to request."""
    answer = server.predict(body, "?proba=true")
    return answer.status, {key: v for key, v in answer.json.items() if key != "request_id"}


def same(ours: Any, native: Any) -> None:
    """Compare two answers: numbers as the proof does, anything else to the letter."""
    assert ours[0] == native[0]
    scores = (ours[1].pop("probabilities", []), native[1].pop("probabilities", []))
    assert ours[1] == native[1]
    np.testing.assert_allclose(*scores, rtol=1e-5, atol=1e-6)


def asked_both_ways(server: Server, model: Any) -> tuple[list[Any], list[Any]]:
    """Ask all of it natively and then of the compiled model."""
    write_pickle(server.models / "v3", model)
    server.write_state("active: v3\n")
    server.start(MODELD_COMPILE="never").wait_until_live("v3")
    native = [told(server, body) for body in REQUESTS]
    server.stop()
    server.log.write_text("")  # a host writes where the native model failed
    server.start(MODELD_COMPILE="auto").wait_until_live("v3")
    compiled(server)
    assert loaded(server)["runs"] == "in the workers"
    return native, [told(server, body) for body in REQUESTS]


def test_native_and_compiled_answer_the_same(repository: Server) -> None:
    native, ours = asked_both_ways(repository, MODEL)

    assert {status for status, _ in native} == {200, 422}
    for found, expected in zip(ours, native, strict=True):
        same(found, expected)


STRICT = make_pipeline(
    ColumnTransformer([("city", OneHotEncoder(), ["city"]), ("age", "passthrough", ["age"])]),
    LogisticRegression(),
).fit(FRAME, LABELS)


def test_a_compiled_model_fails_on_the_unknown_where_the_native_one_does(
    repository: Server,
) -> None:
    native, ours = asked_both_ways(repository, STRICT)

    assert {status for status, _ in native} == {200, 422, 500}
    for found, (status, answer) in zip(ours, native, strict=True):
        if status == 500:
            assert "Found unknown categories" in answer["error"]
            assert found[1]["error"] == "ValueError: Found an unknown category in column city"
            answer["error"] = found[1]["error"]
        same(found, (status, answer))


def test_rows_of_others_do_not_mind_one_that_fails(repository: Server) -> None:
    """Rows that arrive together are answered in one call of the model."""
    write_pickle(repository.models / "v3", STRICT)
    repository.write_state("active: v3\n")
    repository.start(MODELD_COMPILE="auto")
    repository.wait_until_live("v3")
    compiled(repository)
    cities = [("Oslo", "Nowhere", "Rome")[number % 3] for number in range(60)]

    with ThreadPoolExecutor(20) as pool:
        asked = [{"features": {**ROW, "city": city}} for city in cities]
        answers = list(pool.map(repository.predict, asked))

    due = [500 if city == "Nowhere" else 200 for city in cities]
    assert [answer.status for answer in answers] == due


def test_a_committed_compiled_file_serves_without_the_native_one(repository: Server) -> None:
    """A pickle is never opened then: all that is known of the columns is in the file."""
    write_pickle(repository.models / "v3", MODEL)
    made = repository.command("compile", "v3")
    repository.write_state("active: v3\n")

    repository.start(MODELD_TRUST="safe", MODELD_COMPILE="auto")
    repository.wait_until_live("v3")

    assert made.returncode == 0, made.stderr
    assert compiled(repository).json["prediction"] == "yes"
    assert compiled(repository, {**ROW, "city": None}).status == 200
    refused = repository.predict({"features": {**ROW, "citty": "Rome"}})
    assert refused.json["error"].endswith('(did you mean "city"?)')
    eventually(lambda: '"city": "Oslo"' in repository.log.read_text(), "the greeting with a row")


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
