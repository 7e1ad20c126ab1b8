import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from modeld.errors import TableInvalid
from modeld.runtimes.tables import Piece, read_table

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, float("nan"), 1.5], "c": ["NA", "x,y", "007"]})

Write = Callable[[Path], None]


def lines(path: Path) -> None:
    FRAME.to_json(path, orient="records", lines=True)


def records(path: Path) -> None:
    FRAME.to_json(path, orient="records", indent=1)


def rows_of(pieces: list[Piece]) -> list[dict[str, Any]]:
    names = pieces[0].columns
    return [
        {name: piece.columns[name][index] for name in names}
        for piece in pieces
        for index in range(len(piece))
    ]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("most_rows", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("name", "save", "gap"),
    [
        ("t.parquet", FRAME.to_parquet, None),
        ("t.jsonl", lines, None),
        ("t.ndjson", lines, None),
        ("t.json", lines, None),
        ("t.json", records, None),
    ],
)
def test_a_table_is_read_in_pieces(
    name: str, save: Write, gap: object, most_rows: int, tmp_path: Path
) -> None:
    save(tmp_path / name)

    pieces = list(read_table(tmp_path / name, most_rows))

    assert [len(piece) for piece in pieces] == [
        min(most_rows, 3 - at) for at in range(0, 3, most_rows)
    ]
    assert [piece.first for piece in pieces] == list(range(1, 4, most_rows))
    assert pieces[-1].share == 1.0
    found = rows_of(pieces)
    assert [row["a"] for row in found] == [1, 2, 3]
    assert [row["c"] for row in found] == ["NA", "x,y", "007"]
    assert found[1]["b"] is gap or found[1]["b"] != found[1]["b"]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv"])
@pytest.mark.parametrize("most_rows", [1, 2, 100])
def test_the_cells_of_a_csv_stay_as_they_are(name: str, most_rows: int, tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / name, index=False, sep="\t" if name == "t.tsv" else ",")

    pieces = list(read_table(tmp_path / name, most_rows))

    assert all(piece.is_text for piece in pieces)
    assert [tuple(row.values()) for row in rows_of(pieces)] == [
        ("1", "0.5", "NA"),
        ("2", "", "x,y"),
        ("3", "1.5", "007"),
    ]


def test_a_first_line_of_numbers_is_a_row(tmp_path: Path) -> None:
    [piece] = read_table(write(tmp_path, "t.csv", "5.1,3.5\n4.9,3.0\n"))

    assert piece.columns == {"0": ("5.1", "4.9"), "1": ("3.5", "3.0")}
    assert not piece.has_names


def test_the_names_that_pandas_counts_are_no_row(tmp_path: Path) -> None:
    [piece] = read_table(write(tmp_path, "t.csv", "0,1\n5.1,3.5\n"))

    assert piece.columns == {"0": ("5.1",), "1": ("3.5",)}


def test_lists_and_texts_are_rows_of_json(tmp_path: Path) -> None:
    [piece] = read_table(write(tmp_path, "t.json", "[[1, 2], [3, 4]]"))
    [texts] = read_table(write(tmp_path, "u.jsonl", '"so so"\n"good"\n'))

    assert piece.columns == {"0": (1, 3), "1": (2, 4)}
    assert not piece.has_names
    assert texts.columns == {"text": ["so so", "good"]}


def test_a_name_that_some_objects_lack_is_a_missing_value(tmp_path: Path) -> None:
    path = write(tmp_path, "t.jsonl", '{"a": 1}\n\n{"b": 2, "a": 3}\n{"a": 4}\n')

    pieces = list(read_table(path, 2))

    assert [piece.columns for piece in pieces] == [
        {"a": [1, 3], "b": [None, 2]},
        {"a": [4], "b": [None]},
    ]


def test_a_wide_table_comes_in_smaller_pieces(tmp_path: Path) -> None:
    names = ",".join(f"c{number}" for number in range(1 << 10))
    row = ",".join(["1"] * (1 << 10))

    first = next(read_table(write(tmp_path, "t.csv", f"{names}\n" + f"{row}\n" * 300)))

    assert len(first) == 256


def test_a_long_array_is_read_across_its_parts(tmp_path: Path) -> None:
    rows = [{"text": "é" * 700, "number": number} for number in range(500)]

    pieces = list(read_table(write(tmp_path, "t.json", json.dumps(rows, ensure_ascii=False)), 100))

    assert [row["number"] for row in rows_of(pieces)] == list(range(500))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "t.csv: it is empty; its first line must name the columns"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "t.csv: line 3: expected 2 cells, found 3"),
        ("t.csv", b"a,b\n1\n", "t.csv: line 2: expected 2 cells, found 1"),
        ("t.csv", b'a\n"1', "t.csv: line 2: unexpected end of data"),
        ("t.csv", b"a,a\n1,2\n", 't.csv: two columns are called "a"'),
        ("t.csv", b"a\n\xff\n", "t.csv: it is not UTF-8"),
        ("t.csv.gz", b"a\n1\n", "t.csv.gz: it is no whole gzip file"),
        ("t.csv.gz", gzip.compress(b"a\n1\n", mtime=0)[:-6], "t.csv.gz: it is no whole gzip file"),
        ("t.xlsx", b"", "t.xlsx: expected a name that ends in .csv, "),
        ("t.parquet", b"a\n1\n", "t.parquet: it is no Parquet file that can be read: "),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', "t.jsonl: line 2 is no JSON: "),
        ("t.jsonl", b'{"a": 1}\n[1]\n', "t.jsonl: expected rows that are all objects, "),
        ("t.jsonl", b"[1, 2]\n[1]\n", "t.jsonl: expected rows of 2 cells each"),
        ("t.jsonl", b"1\n2\n", "t.jsonl: expected rows that are objects, lists or texts"),
        ("t.json", b"[1, 2]", "t.json: expected rows that are objects, lists or texts, found '1'"),
        ("t.json", b'[{"a": 1}, ', "t.json: expected rows that are objects, lists or texts, and"),
        ("t.json", b'[{"a": 1}, {"a": ', "t.json: it is no JSON: "),
        ("t.json", b"hello", "t.json: expected rows that are objects, lists or texts, found 'h'"),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(TableInvalid) as refused:
        list(read_table(path))

    assert str(refused.value).startswith(message)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableInvalid, match=r"t\.csv: No such file or directory"):
        list(read_table(tmp_path / "t.csv"))


@pytest.mark.parametrize(("name", "text"), [("t.csv", "a,b\n"), ("t.json", "[]"), ("t.jsonl", "")])
def test_a_table_without_rows_has_no_pieces(name: str, text: str, tmp_path: Path) -> None:
    FRAME.iloc[:0].to_parquet(tmp_path / "t.parquet")

    assert list(read_table(write(tmp_path, name, text))) == []
    assert list(read_table(tmp_path / "t.parquet")) == []


def test_parquet_without_its_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    FRAME.to_parquet(tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(TableInvalid, match=r't.parquet: .* pip install "modeld\[parquet\]"'):
        list(read_table(tmp_path / "t.parquet"))
