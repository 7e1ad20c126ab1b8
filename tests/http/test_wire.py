"""The cases of bad bodies, and what good ones mean."""

import gc
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.domain import InputColumn, Signature
from modeld.errors import (
    BadJson,
    ConflictingFields,
    EmptyBatch,
    EmptyBody,
    MissingField,
    ModeldError,
    OutOfRange,
    RequestError,
    TooManyRows,
    UnknownField,
    WrongShape,
    WrongType,
)
from modeld.http.wire import Predictions, Rows, decode, encode

MAX_ROWS = 10
PLAIN = Signature(width=2)
UNKNOWN = Signature()
NAMED = Signature(width=2, columns=(InputColumn("age"), InputColumn("size")))
NULLABLE = replace(NAMED, nullable=(False, True))
NARROW = replace(PLAIN, precision=32)
TEXT = Signature(rank=0)
IMAGE = Signature(rank=2)
TRUTHS = Signature(width=2, takes_truths=True)
TRUTH_IMAGE = Signature(rank=2, takes_truths=True)


def rows_of(content: Any, signature: Signature = PLAIN) -> Rows:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return decode(body, signature, MAX_ROWS)


def plain(rows: Rows) -> Any:
    return rows.values if isinstance(rows.values, list) else rows.values.tolist()


@pytest.mark.parametrize("row", [b"[]", b"{}", b"[1, 2]", b"]"])
def test_rows_without_end_are_refused_before_they_are_made(row: bytes) -> None:
    """Bad JSON among them is not noticed: nothing has been read."""
    body = b'{"features": [' + b",".join([row] * 40_000) + b"]}"

    with pytest.raises(TooManyRows, match="rows are more than the 10"):
        rows_of(body)


def test_brackets_in_names_are_no_rows() -> None:
    signature = Signature(width=1, columns=(InputColumn("[" * 100),))
    body = orjson.dumps({"features": [{"[" * 100: 1}] * 1000})

    assert decode(body, signature, 1000).length == 1000


@pytest.mark.parametrize("size", [1, 1 << 17])
def test_collecting_garbage_goes_on_after_a_body(size: int) -> None:
    with pytest.raises(BadJson):
        rows_of(b"{" + b" " * size)

    assert gc.isenabled()


# What bodies mean


@pytest.mark.parametrize(
    ("content", "signature", "values", "is_single"),
    [
        ({"features": [1, 2]}, PLAIN, [[1.0, 2.0]], True),
        ({"features": [1.5, -0.0]}, PLAIN, [[1.5, -0.0]], True),
        ({"features": [[1, 2]]}, PLAIN, [[1.0, 2.0]], False),
        ({"features": [[1, 2], [3, 4]]}, PLAIN, [[1.0, 2.0], [3.0, 4.0]], False),
        ({"instances": [[1, 2]]}, PLAIN, [[1.0, 2.0]], False),
        ({"features": [1, 2, 3]}, UNKNOWN, [[1.0, 2.0, 3.0]], True),
        ({"features": [1]}, UNKNOWN, [[1.0]], True),
        ({"features": {"size": 2, "age": 1}}, NAMED, [[1.0, 2.0]], True),
        ({"features": [{"size": 2, "age": 1}]}, NAMED, [[1.0, 2.0]], False),
        ({"instances": [{"size": 2, "age": 1}, [3, 4]]}, NAMED, [[1.0, 2.0], [3.0, 4.0]], False),
        ({"features": "hello"}, TEXT, ["hello"], True),
        ({"features": ["a", "b"]}, TEXT, ["a", "b"], False),
        ({"instances": ["a\0b", "😀"]}, TEXT, ["a\0b", "😀"], False),
        ({"features": [[1, 2], [3, 4]]}, IMAGE, [[[1.0, 2.0], [3.0, 4.0]]], True),
        ({"features": [[[1, 2]], [[3, 4]]]}, IMAGE, [[[1.0, 2.0]], [[3.0, 4.0]]], False),
        ({"instances": [[[1, 2]]]}, IMAGE, [[[1.0, 2.0]]], False),
        ({"features": [True, 0]}, TRUTHS, [[1.0, 0.0]], True),
        ({"instances": [[1, 0], [False, True]]}, TRUTHS, [[1.0, 0.0], [0.0, 1.0]], False),
        ({"features": [[True, 0], [False, True]]}, TRUTH_IMAGE, [[[1.0, 0.0], [0.0, 1.0]]], True),
        (b'{"features": [9, 9], "features": [1, 2]}', PLAIN, [[1.0, 2.0]], True),
        (b' \n{"features"\t: [1, 2]}\r\n', PLAIN, [[1.0, 2.0]], True),
    ],
)
def test_rows_are_read_by_their_nesting(
    content: Any, signature: Signature, values: Any, is_single: bool
) -> None:
    rows = rows_of(content, signature)

    assert plain(rows) == values
    assert rows.length == len(values)
    assert rows.is_single is is_single


def test_null_is_a_missing_value_where_that_column_takes_one() -> None:
    rows = rows_of({"features": [[1, None], [2, 3]]}, NULLABLE)

    assert math.isnan(rows.values[0, 1])
    assert rows.values[1].tolist() == [2.0, 3.0]


@pytest.mark.parametrize("number", [2**53 + 1, 2**64, -(2**63), 2**200, 1e300, 5e-324])
def test_large_numbers_are_rounded_as_doubles_are(number: float) -> None:
    """H07: documented rounding, never an error inside."""
    assert rows_of({"features": [number, 0]}).values[0, 0] == float(number)


# H01 to H10: what is no JSON


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(b"", EmptyBody, id="H01 empty"),
        pytest.param(b'{"instances": [[1,2', BadJson, id="H02 cut off"),
        pytest.param(b"{} {}", BadJson, id="H03 two documents"),
        pytest.param(b'{"features": [1, 2]}x', BadJson, id="H03 trailing garbage"),
        pytest.param(b'{"features": [NaN, 2]}', BadJson, id="H04 NaN"),
        pytest.param(b'{"features": [Infinity, 2]}', BadJson, id="H04 Infinity"),
        pytest.param(b'{"features": [-Infinity, 2]}', BadJson, id="H04 -Infinity"),
        pytest.param(b'{"features": [1e999, 2]}', BadJson, id="H05 1e999"),
        pytest.param(b'{"features": [' + b"1" * 5000 + b", 2]}", BadJson, id="H06 5000 digits"),
        pytest.param(b'{"features": [' + b"1" * 10**6 + b", 2]}", BadJson, id="H06 10^6 digits"),
        pytest.param(b'{"features": [' + b"1" * 401 + b", 2]}", BadJson, id="H07 10^400"),
        pytest.param(b"[" * 100_000, BadJson, id="H08 nested without end"),
        pytest.param(b'{"features": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", BadJson, id="H08"),
        pytest.param(b'{"features": "\xff"}', BadJson, id="H10 no UTF-8"),
        pytest.param(b'{"features": "\\ud800"}', BadJson, id="H10 half a character"),
        pytest.param(b'{"features": "a\0b"}', BadJson, id="H10 NUL"),
        pytest.param(b'\xef\xbb\xbf{"features": [1, 2]}', BadJson, id="H10 BOM"),
        pytest.param('{"features": [1, 2]}'.encode("utf-16"), BadJson, id="H10 UTF-16"),
        pytest.param(b"{'features': [1, 2]}", BadJson, id="Python"),
        pytest.param(b"features=1", BadJson, id="a form"),
        pytest.param(b'{"features": [1, 2,]}', BadJson, id="a comma too many"),
        pytest.param(b'{"features": [01, 2]}', BadJson, id="a leading zero"),
        pytest.param(b"\x1f\x8b\x08\0", BadJson, id="gzip"),
    ],
)
@pytest.mark.parametrize("signature", [PLAIN, TEXT, IMAGE], ids=["table", "text", "image"])
def test_what_is_no_json_is_refused(
    body: bytes, error: type[ModeldError], signature: Signature
) -> None:
    with pytest.raises(error) as caught:
        decode(body, signature, MAX_ROWS)
    assert len(str(caught.value)) < 300


def test_a_body_that_is_cut_off_says_where() -> None:
    with pytest.raises(BadJson, match=r"char 19"):
        rows_of(b'{"instances": [[1,2')


# H15 to H23: what is JSON and no rows


@pytest.mark.parametrize(
    ("content", "signature", "error", "says"),
    [
        (None, PLAIN, WrongType, "must be an object like .*found null"),
        (3, PLAIN, WrongType, "found a number"),
        ("x", PLAIN, WrongType, "found a text"),
        ([1, 2], PLAIN, WrongType, "found a list"),
        (True, PLAIN, WrongType, "found a truth value"),
        ({}, PLAIN, MissingField, '"features" is missing'),
        ({"featurs": [1, 2]}, PLAIN, UnknownField, r'"featurs" \(did you mean "features"\?\)'),
        ({"features": [1, 2], "x": 1}, PLAIN, UnknownField, '"x"'),
        ({"features": [1, 2], "instances": [[1, 2]]}, PLAIN, ConflictingFields, "exclude"),
        ({"instances": []}, PLAIN, EmptyBatch, '"instances" holds no row'),
        ({"features": []}, PLAIN, EmptyBatch, '"features" holds no row'),
        ({"features": []}, UNKNOWN, EmptyBatch, '"features" holds no row'),
        ({"features": []}, replace(UNKNOWN, precision=32), EmptyBatch, "no row"),
        ({"features": []}, TEXT, EmptyBatch, "a text or a list of texts"),
        ({"features": []}, IMAGE, EmptyBatch, "no row"),
        ({"instances": {}}, PLAIN, WrongType, "found an object"),
        ({"instances": [1, 2]}, PLAIN, WrongType, "row 1: expected a list of numbers"),
        ({"features": "x"}, PLAIN, WrongType, "found a text"),
        ({"features": 3}, PLAIN, WrongType, "found a number"),
        ({"features": None}, PLAIN, WrongType, "found null"),
        ({"features": [[1, 2]] * 6 + [[1]]}, PLAIN, WrongShape, "row 7: expected 2 values, got 1"),
        ({"features": [1, 2, 3]}, PLAIN, WrongShape, "row 1: expected 2 values, got 3"),
        ({"features": [[1, 2], [3]]}, UNKNOWN, WrongShape, "same shape"),
        ({"features": [[]]}, UNKNOWN, WrongShape, "expected numbers, got none"),
        ({"features": [[1, 2], 3]}, PLAIN, WrongType, "row 2: expected a list"),
        ({"features": ["1.5", 2]}, PLAIN, WrongType, "row 1, column 1: .* found a text"),
        ({"features": [1, True]}, PLAIN, WrongType, "row 1, column 2: .* found a truth value"),
        ({"features": [[1, 2], [1, None]]}, PLAIN, WrongType, "row 2, column 2: .* found null"),
        ({"features": [None, 1]}, NULLABLE, WrongType, r'column 1 \("age"\): .* found null'),
        ({"features": [1, {}]}, PLAIN, WrongType, "column 2: .* found an object"),
        ({"features": [1, [2]]}, PLAIN, WrongType, "column 2: .* found a list"),
        ({"features": {"age": 1}}, NAMED, MissingField, '"size" is missing'),
        ({"features": {"age": 1, "sise": 1}}, NAMED, UnknownField, 'did you mean "size"'),
        ({"features": {"a": 1}}, PLAIN, WrongType, "knows no column names"),
        ({"features": [1e39, 0]}, NARROW, OutOfRange, "32-bit"),
        ({"features": [0, -1e300]}, NARROW, OutOfRange, "32-bit"),
        ({"features": [[0, 0], [2**200, 0]]}, NARROW, OutOfRange, "32-bit"),
        ({"features": [[1, 2]] * 11}, PLAIN, TooManyRows, "11 rows are more than the 10"),
        ({"instances": [1] * 11}, PLAIN, TooManyRows, "11 rows"),
        ({"features": ["a"] * 11}, TEXT, TooManyRows, "11 rows"),
        ({"features": ["a", 1]}, TEXT, WrongType, "row 2: expected a text, found a number"),
        ({"features": {"a": 1}}, TEXT, WrongType, "expected a text, found an object"),
        ({"features": [["a"]]}, TEXT, WrongType, "row 1: expected a text, found a list"),
        ({"features": [[1, 2], [3]]}, IMAGE, WrongShape, "same shape"),
        ({"features": [1, 2]}, IMAGE, WrongShape, "2 dimension"),
        ({"features": [[1, "a"]]}, IMAGE, WrongType, "expected numbers"),
        ({"features": [[1, None]]}, IMAGE, WrongType, "expected numbers"),
        ({"features": [[1, True]]}, IMAGE, WrongType, "expected numbers"),
        ({"features": [True, 2]}, TRUTHS, WrongType, "expected a truth value, or 0 or 1, found 2"),
        ({"features": [[True, "a"]]}, TRUTH_IMAGE, WrongType, "expected numbers"),
        ({"features": {"a": 1}}, IMAGE, WrongType, "expected numbers"),
        ({"instances": [[]]}, IMAGE, WrongShape, "dimension"),
    ],
)
def test_what_is_no_row_is_refused_and_named(
    content: Any, signature: Signature, error: type[ModeldError], says: str
) -> None:
    with pytest.raises(error, match=says):
        rows_of(content, signature)


def test_what_a_32_bit_number_can_hold_is_taken() -> None:
    largest = float(np.finfo(np.float32).max)

    assert rows_of({"features": [largest, -largest]}, NARROW).length == 1


@pytest.mark.parametrize("signature", [PLAIN, TEXT, IMAGE], ids=["table", "text", "image"])
@pytest.mark.parametrize("levels", [33, 65, 900, 1020])
def test_deep_nesting_is_a_mistake_of_the_caller(signature: Signature, levels: int) -> None:
    """H08: neither Python's recursion nor numpy's 64 dimensions may fail inside."""
    body = b'{"features": ' + b"[" * levels + b"1" + b"]" * levels + b"}"

    with pytest.raises(RequestError):
        rows_of(body, signature)


def test_a_message_quotes_little_of_a_body() -> None:
    with pytest.raises(UnknownField) as caught:
        rows_of({"x" * 5000: 1})

    assert len(str(caught.value)) < 200


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["age", "size", "features", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(
    content=st.one_of(
        NESTED,
        st.builds(lambda v: {"features": v}, NESTED),
        st.builds(lambda v: {"instances": v}, NESTED),
    ),
    signature=st.sampled_from([PLAIN, UNKNOWN, NAMED, NULLABLE, NARROW, TEXT, IMAGE]),
)
def test_every_body_is_rows_or_a_mistake_of_the_caller(content: Any, signature: Signature) -> None:
    body = json.dumps(content).encode(errors="replace")

    try:
        rows = decode(body, signature, MAX_ROWS)
    except RequestError:
        with pytest.raises(RequestError):
            decode(body, signature, MAX_ROWS, keeps_lone=True)
        return

    kept = decode(body, signature, MAX_ROWS, keeps_lone=True)
    assert (kept.length, kept.is_single) == (rows.length, rows.is_single)
    assert rows.length == len(rows.values) <= MAX_ROWS
    if signature.rank:
        assert rows.values.dtype == np.float64
        assert rows.values.ndim == signature.rank + 1
        assert not np.isinf(rows.values).any()
        assert np.array_equal(np.array(kept.values, float), rows.values, equal_nan=True)


@settings(max_examples=100)
@given(st.binary(max_size=40))
def test_random_bytes_are_a_mistake_of_the_caller(body: bytes) -> None:
    with pytest.raises(RequestError):
        decode(body, PLAIN, MAX_ROWS)


# Answers

ONE = Rows(np.zeros((1, 2)), 1, is_single=True)
TWO = Rows(np.zeros((2, 2)), 2, is_single=False)
CLASSES = Signature(classes=("no", "yes"))


@pytest.mark.parametrize(
    ("predictions", "rows", "signature", "expected"),
    [
        (Predictions([0]), ONE, PLAIN, {"prediction": 0}),
        (Predictions(["ü"]), ONE, CLASSES, {"prediction": "ü"}),
        (Predictions([[1, 2]]), ONE, PLAIN, {"prediction": [1, 2]}),
        (Predictions([None]), ONE, PLAIN, {"prediction": None}),
        (Predictions([0.1, 2.0]), TWO, PLAIN, {"predictions": [0.1, 2.0]}),
        (Predictions([0, 1]), Rows(TWO.values, 2, is_single=True), PLAIN, {"prediction": 0}),
        (
            Predictions(["no"], [[0.75, 0.25]]),
            ONE,
            CLASSES,
            {"prediction": "no", "probabilities": [0.75, 0.25], "classes": ["no", "yes"]},
        ),
        (
            Predictions([0, 1], [[1.0, 0.0], [0.0, 1.0]]),
            TWO,
            PLAIN,
            {"predictions": [0, 1], "probabilities": [[1.0, 0.0], [0.0, 1.0]]},
        ),
    ],
)
def test_answers_have_the_form_of_their_question(
    predictions: Predictions, rows: Rows, signature: Signature, expected: Any
) -> None:
    body = encode(predictions, rows, "v1", signature)

    assert orjson.loads(body) == expected | {"model_version": "v1"}


def test_one_row_in_a_list_is_answered_by_a_list() -> None:
    rows = rows_of({"features": [[1, 2]]})

    assert b'"predictions":[7]' in encode(Predictions([7]), rows, "v1", PLAIN)


# Texts beside numbers

MIXED = Signature(width=2, nullable=(True, True), precision=32).with_columns(
    (InputColumn("age"), InputColumn("city", is_text=True))
)


@pytest.mark.parametrize(
    ("content", "rows", "is_single"),
    [
        ({"features": [40, "Rome"]}, [[40.0, "Rome"]], True),
        ({"features": {"city": "Rome", "age": 40}}, [[40.0, "Rome"]], True),
        ({"features": [[40, "Rome"], [1.5, "Oslo"]]}, [[40.0, "Rome"], [1.5, "Oslo"]], False),
        ({"instances": [{"city": "", "age": 0}]}, [[0.0, ""]], False),
        ({"features": [40, None]}, [[40.0, None]], True),
    ],
)
def test_rows_may_hold_texts(content: Any, rows: list[Any], is_single: bool) -> None:
    found = decode(json.dumps(content).encode(), MIXED, 10)

    assert found.values.tolist() == rows
    assert [type(cell) for cell in found.values[0]] == [type(cell) for cell in rows[0]]
    assert found.is_single is is_single


def test_a_missing_number_is_nan() -> None:
    found = decode(b'{"features": [null, "Rome"]}', MIXED, 10)

    assert math.isnan(found.values[0, 0])


@pytest.mark.parametrize(
    ("features", "error", "says"),
    [
        ([40, 1], WrongType, 'column 2 ("city"): expected a text, found a number'),
        (["40", "Rome"], WrongType, 'column 1 ("age"): expected a number, found a text'),
        ([40, True], WrongType, "expected a text, found a truth value"),
        ([40, ["Rome"]], WrongType, "expected a text, found a list"),
        ([40, 41], WrongType, "expected a text"),
        ([40], WrongShape, "expected 2 values, got 1"),
        ([1e300, "Rome"], OutOfRange, "3.4e38"),
        ("Rome", WrongType, "must be one row (a list of 2 values)"),
    ],
)
def test_a_text_or_a_number_in_the_wrong_place_is_refused(
    features: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as caught:
        decode(json.dumps({"features": features}).encode(), MIXED, 10)

    assert says in str(caught.value)


# What is known of each column

TYPED = Signature(width=3, nullable=(False, False, True)).with_columns(
    (
        InputColumn("age", type="uint8"),
        InputColumn("id", is_used=False),
        InputColumn("member", type="bool"),
    )
)


@pytest.mark.parametrize(
    ("features", "cells"),
    [
        ([40, 1, True], [40.0, None, 1.0]),
        ([40.0, "a7", 0], [40.0, None, 0.0]),
        ({"member": False, "age": 255}, [255.0, None, 0.0]),
        ({"member": None, "age": 0, "id": [1]}, [0.0, None, None]),
    ],
)
def test_columns_take_their_type_and_what_is_not_used_takes_anything(
    features: Any, cells: list[float | None]
) -> None:
    row = plain(rows_of({"features": features}, TYPED))[0]

    assert [None if math.isnan(cell) else cell for cell in row] == cells


@pytest.mark.parametrize(
    ("features", "error", "says"),
    [
        ([1.5, 1, 1], WrongType, '("age"): expected a whole number from 0 to 255, found 1.5'),
        ([256, 1, 1], WrongType, "expected a whole number from 0 to 255, found 256"),
        ([-1, 1, 1], WrongType, "found -1"),
        ([True, 1, 1], WrongType, "found a truth value"),
        ([1, 1, 2], WrongType, '("member"): expected a truth value, or 0 or 1, found 2'),
        ({"age": 1, "id": 1}, MissingField, 'column "member" is missing'),
        ({"age": 1, "member": 1, "idd": 1}, UnknownField, 'unknown column "idd" (did you mean'),
    ],
)
def test_what_is_not_of_the_type_of_its_column_is_refused(
    features: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as caught:
        rows_of({"features": features}, TYPED)

    assert says in str(caught.value)


def test_whole_numbers_that_a_float_cannot_tell_apart_are_refused() -> None:
    signature = Signature(width=1).with_columns((InputColumn("id", type="int64"),))

    assert plain(rows_of({"features": [2**53 - 1]}, signature)) == [[2.0**53 - 1]]
    with pytest.raises(WrongType, match="to 9,007,199,254,740,991, found"):
        rows_of({"features": [2**53]}, signature)


def test_further_keys_are_ignored_where_the_manifest_says_so() -> None:
    row = {"age": 1, "size": 2, "id": "a7"}

    assert plain(rows_of({"features": row}, replace(NAMED, ignores_extra=True))) == [[1.0, 2.0]]
    with pytest.raises(UnknownField, match='unknown column "id"'):
        rows_of({"features": row}, NAMED)
