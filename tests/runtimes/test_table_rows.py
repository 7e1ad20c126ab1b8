import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modeld.domain import InputColumn, Signature
from modeld.errors import TableInvalid
from modeld.runtimes.table_rows import to_rows, to_truths
from modeld.runtimes.tables import Piece, read_table

NAMED = Signature(width=2, columns=(InputColumn("a"), InputColumn("b")), nullable=(False, True))
PLAIN = Signature(width=2)
MIXED = Signature(
    width=2,
    columns=(InputColumn("age"), InputColumn("city", is_text=True)),
    nullable=(True, True),
    is_mixed=True,
)
TEXT = Signature(rank=0)
WHOLE = Signature(width=2, nullable=(True, False)).with_columns(
    (InputColumn("count", type="int8"), InputColumn("flag", type="bool"))
)


def piece(columns: Mapping[str, Any], first: int = 1) -> Piece:
    return Piece(first, columns, 1.0)


def csv_piece(columns: Mapping[str, Sequence[str]], first: int = 1) -> Piece:
    return Piece(first, columns, 1.0, is_text=True)


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (("1", "2.5"), [1.0, 2.5]),
        (("1", " 2.5e3 "), [1.0, 2500.0]),
        (("True", "false"), [1.0, 0.0]),
        (("1", ""), [1.0, math.nan]),
        (("NA", "null"), [math.nan, math.nan]),
        (("0.1", "nan"), [0.1, math.nan]),
    ],
)
def test_the_texts_of_a_csv_are_read_as_numbers(
    cells: tuple[str, ...], numbers: list[float]
) -> None:
    rows = to_rows(csv_piece({"b": cells, "a": ("1", "2")}), NAMED)

    np.testing.assert_array_equal(rows, [[1, numbers[0]], [2, numbers[1]]])


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        ([1, 2.5], [1.0, 2.5]),
        ([True, None], [1.0, math.nan]),
        ([Decimal("0.1"), math.nan], [0.1, math.nan]),
        (np.array([1, 2], dtype=np.int8), [1.0, 2.0]),
        ([2**70, np.float32(1)], [2.0**70, 1.0]),
    ],
)
def test_typed_cells_are_read_as_numbers(cells: Any, numbers: list[float]) -> None:
    rows = to_rows(piece({"a": [1, 2], "b": cells}), NAMED)

    np.testing.assert_array_equal(rows, [[1, numbers[0]], [2, numbers[1]]])


def test_columns_go_by_name_and_further_ones_are_left_aside() -> None:
    rows = to_rows(csv_piece({"id": ("x",), "b": ("2",), "y": ("0",), "a": ("1",)}), NAMED, "y")

    assert rows.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_columns_without_names_go_by_their_places(name: str) -> None:
    table = csv_piece({name: ("0",), "x": ("1",), "y": ("0",), "z": ("2",)})

    assert to_rows(table, PLAIN, "y").tolist() == [[1.0, 2.0]]
    assert to_rows(table, Signature(), "y").tolist() == [[1.0, 2.0]]


def test_texts_and_numbers_stand_side_by_side() -> None:
    rows = to_rows(csv_piece({"city": ("NA", "", "Rome"), "age": ("1", "", "2")}), MIXED)

    assert rows[:, 1].tolist() == ["NA", None, "Rome"]
    np.testing.assert_array_equal(rows[:, 0].astype(float), [1, math.nan, 2])


def test_whole_numbers_and_truth_values_are_taken_where_they_are_due() -> None:
    rows = to_rows(csv_piece({"count": ("-128", "", "1e1"), "flag": ("true", "0", "1")}), WHOLE)

    np.testing.assert_array_equal(rows, [[-128, 1], [math.nan, 0], [10, 1]])


def test_a_column_that_is_not_used_may_hold_anything_or_be_absent() -> None:
    signature = Signature(width=2).with_columns(
        (InputColumn("id", is_used=False), InputColumn("a"))
    )

    for table in (csv_piece({"id": ("x",), "a": ("1",)}), csv_piece({"a": ("1",)})):
        np.testing.assert_array_equal(to_rows(table, signature), [[math.nan, 1]])


@pytest.mark.parametrize(
    "columns",
    [
        {"text": ("good", ""), "id": ("1", "2")},
        {"note": ("good", ""), "y": ("1", "2")},
    ],
)
def test_a_model_of_texts_takes_one_column(columns: Mapping[str, Sequence[str]]) -> None:
    assert to_rows(csv_piece(columns), TEXT, "y") == ["good", ""]


@pytest.mark.parametrize(
    ("signature", "table", "message"),
    [
        (
            NAMED,
            csv_piece({"A": ("1",), "b": ("2",)}),
            'the column "a" is missing; found A, b',
        ),
        (
            MIXED,
            csv_piece({"ages": ("1",), "city": ("x",)}),
            'the column "age" is missing (did you mean "ages"?)',
        ),
        (
            PLAIN,
            csv_piece({"a": ("1",), "b": ("2",), "c": ("3",)}),
            "this version takes 2 columns by their places, and there are 3: a, b, c; "
            "leave the others out, or name the inputs in model.yaml",
        ),
        (
            NAMED,
            csv_piece({"a": ("1", "1,5"), "b": ("1", "2")}, first=8),
            "row 9, column \"a\": expected a number, found '1,5'",
        ),
        (
            NAMED,
            piece({"a": [1, "2"], "b": [1, 2]}),
            "row 2, column \"a\": expected a number, found '2'",
        ),
        (
            NAMED,
            piece({"a": [1, {}], "b": [1, 2]}),
            'row 2, column "a": expected a number, found an object',
        ),
        (
            NAMED,
            csv_piece({"a": ("1", "", "NaN"), "b": ("1", "2", "3")}),
            'row 2, column "a": a value is missing, which this version does not take there',
        ),
        (
            Signature(width=1),
            Piece(1, {"0": [1.0, None]}, 1.0, has_names=False),
            "row 2, column 1: a value is missing, which this version does not take there",
        ),
        (
            MIXED,
            piece({"age": [1, 2], "city": ["Rome", 5]}),
            'row 2, column "city": expected a text, found 5',
        ),
        (
            Signature(width=1, precision=32, nullable=(True,)),
            piece({"a": [math.nan, math.inf, -1e39]}),
            'row 3, column "a": this version reads 32-bit numbers, at most 3.4e38',
        ),
        (
            WHOLE,
            csv_piece({"count": ("1", "2.5"), "flag": ("true", "0")}),
            'row 2, column "count": expected a whole number from -128 to 127, found 2.5',
        ),
        (
            WHOLE,
            piece({"count": [1, 128], "flag": [True, 0]}),
            'row 2, column "count": expected a whole number from -128 to 127, found 128',
        ),
        (
            WHOLE,
            csv_piece({"count": ("1",), "flag": ("2",)}),
            'row 1, column "flag": expected a truth value, or 0 or 1, found 2',
        ),
        (
            TEXT,
            csv_piece({"a": ("x",), "b": ("y",)}),
            'this version takes a text: call its column "text"; found a, b',
        ),
        (TEXT, piece({"text": ["x", None]}), 'row 2, column "text": the text is missing'),
        (
            Signature(rank=2),
            piece({"a": [1]}),
            "a row of this version has 2 dimensions, not columns",
        ),
    ],
)
def test_what_the_version_does_not_take_is_refused(
    signature: Signature, table: Piece, message: str
) -> None:
    with pytest.raises(TableInvalid) as refused:
        to_rows(table, signature)

    assert str(refused.value) == message


def test_the_target_is_read_as_texts_or_as_numbers() -> None:
    table = csv_piece({"y": ("1", "0")})

    assert to_truths(table, "y", is_text=True).tolist() == ["1", "0"]
    assert to_truths(table, "y", is_text=False).tolist() == [1.0, 0.0]
    assert to_truths(piece({"y": [True, 0]}), "y", is_text=False).tolist() == [1.0, 0.0]
    assert to_truths(piece({"y": np.array([5])}), "y", is_text=True).tolist() == ["5"]


@pytest.mark.parametrize("is_text", [True, False])
@pytest.mark.parametrize(
    "table", [csv_piece({"y": ("1", "")}), piece({"y": [1, None]}), piece({"y": [1, math.nan]})]
)
def test_a_target_that_is_missing_is_refused(table: Piece, is_text: bool) -> None:
    with pytest.raises(TableInvalid, match='row 2, column "y": the target is missing'):
        to_truths(table, "y", is_text=is_text)

    with pytest.raises(TableInvalid, match='the column "z" is missing'):
        to_truths(table, "z", is_text=is_text)


def test_a_table_gives_the_same_rows_in_every_format(tmp_path: Path) -> None:
    frame = pd.DataFrame({"city": ["Rome", None, "Oslo"], "age": [0.1, 1 / 3, math.nan]})
    frame.to_csv(tmp_path / "t.csv")
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True, double_precision=15)

    tables = [
        to_rows(next(read_table(tmp_path / name)), MIXED)
        for name in ("t.csv", "t.parquet", "t.jsonl")
    ]

    for table in tables:
        assert table[:, 1].tolist() == ["Rome", None, "Oslo"]
        np.testing.assert_allclose(table[:, 0].astype(float), [0.1, 1 / 3, math.nan], rtol=1e-14)
    assert tables[0][1, 0] == 1 / 3
