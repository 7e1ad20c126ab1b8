"""Read a table in pieces of bounded size: CSV, Parquet, JSON and JSON lines.

Nothing is guessed from the cells. What a CSV holds stays text until a model asks for it as
numbers, so that `007` is written back as it was, the country `NA` is no missing value, and
no piece is understood otherwise than the one before. `table_rows` turns a piece into what a
model takes.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from modeld.errors import TableInvalid

MOST_ROWS = 8192
"""The rows of a piece, at most."""

TEXT = "text"
"""The name of the one column of a table whose rows are texts."""

_MOST_CELLS = 1 << 18
_LONGEST_ROW = 64 << 20
_READ_AT_ONCE = 1 << 16
_BLANKS = " \t\r\n"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_LINES = (".jsonl", ".ndjson")
_SUFFIXES = (*_DELIMITERS, ".parquet", ".json", *_LINES)


Cells: TypeAlias = "Sequence[Any] | np.ndarray[Any, Any]"
"""One column of a piece."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a table, column by column.

    `first` is the number of its first row, counted from 1, and `share` the part of the file
    that has been read. `is_text` tells that every cell is a text as a CSV has it, and
    `has_names` that the columns' names are those of the file, not counted from 0. `schema` is
    Arrow's, of a Parquet file.
    """

    first: int
    columns: Mapping[str, Cells]
    share: float
    is_text: bool = False
    has_names: bool = True
    schema: Any = None

    def __len__(self) -> int:
        """Count the rows."""
        return len(next(iter(self.columns.values()), ()))

    def until(self, rows: int) -> "Piece":
        """Give its first rows."""
        if len(self) <= rows:
            return self
        return replace(self, columns={name: c[:rows] for name, c in self.columns.items()})


def read_table(path: Path, most_rows: int = MOST_ROWS) -> Iterator[Piece]:
    """Read a file piece by piece, none of them empty.

    Raises `TableInvalid`, which names the file and says what is wrong with it.
    """
    try:
        yield from _pieces(path, most_rows)
    except TableInvalid as error:
        raise TableInvalid(f"{path.name}: {error}") from error
    except UnicodeDecodeError as error:
        raise TableInvalid(f"{path.name}: it is not UTF-8") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TableInvalid(f"{path.name}: it is no whole gzip file") from error
    except OSError as error:
        raise TableInvalid(f"{path.name}: {error.strerror or error}") from error


def _pieces(path: Path, most_rows: int) -> Iterator[Piece]:
    is_packed = path.suffix == ".gz"
    suffix = Path(path.stem).suffix if is_packed else path.suffix
    if suffix not in _SUFFIXES or (is_packed and suffix == ".parquet"):
        raise TableInvalid(f"expected a name that ends in {', '.join(_SUFFIXES)} (or .csv.gz)")
    if suffix == ".parquet":
        yield from _parquet(path, most_rows)
        return
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        size = max(path.stat().st_size, 1)
        plain: Any = stack.enter_context(gzip.GzipFile(fileobj=raw)) if is_packed else raw
        file = stack.enter_context(TextIOWrapper(plain, encoding="utf-8-sig", newline=""))
        source = (
            _csv(file, _DELIMITERS[suffix], most_rows)
            if suffix in _DELIMITERS
            else _json(file, most_rows, is_lines=suffix in _LINES)
        )
        first = 1
        for columns, has_names in source:
            is_text = suffix in _DELIMITERS
            piece = Piece(first, columns, min(raw.tell() / size, 1.0), is_text, has_names)
            yield piece
            first += len(piece)


_Columns = tuple[Mapping[str, Cells], bool]
"""Cells by column, and whether the file names the columns."""


def _csv(file: IO[str], delimiter: str, most_rows: int) -> Iterator[_Columns]:
    csv.field_size_limit(_LONGEST_ROW)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise TableInvalid("it is empty; its first line must name the columns")
        counted = [str(number) for number in range(len(header))]
        # A table without names; the ones that pandas counts are names.
        is_row = header != counted and all(map(_is_number, header))
        names, has_names = (counted, False) if is_row else (header, header != counted)
        _check_unique(names)
        rows = _whole_rows(reader, len(names), header if is_row else None)
        while cells := list(islice(rows, _rows_at_once(len(names), most_rows))):
            yield dict(zip(names, zip(*cells, strict=True), strict=True)), has_names
    except csv.Error as error:
        raise TableInvalid(f"line {reader.line_num}: {error}") from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _check_unique(names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TableInvalid(f'two columns are called "{twice}"')


def _whole_rows(reader: Any, width: int, first: list[str] | None) -> Iterator[list[str]]:
    """Leave out blank lines, and refuse a row that has not as many cells as there are names."""
    if first is not None:
        yield first
    for row in reader:
        if len(row) == width:
            yield row
        elif row:
            raise TableInvalid(f"line {reader.line_num}: expected {width} cells, found {len(row)}")


def _rows_at_once(width: int, most_rows: int) -> int:
    return max(1, min(most_rows, _MOST_CELLS // max(width, 1)))


def _json(file: IO[str], most_rows: int, *, is_lines: bool) -> Iterator[_Columns]:
    """Read rows as `/predict` takes them: objects, lists or texts."""
    rows = _lines(file) if is_lines else _items(file)
    seen: dict[str, None] = {}
    count = most_rows
    while found := list(islice(rows, count)):
        first = found[0]
        kind = type(first)
        if kind not in (dict, list, str) or not first:
            raise TableInvalid("expected rows that are objects, lists or texts")
        if not all(isinstance(row, kind) for row in found):
            raise TableInvalid("expected rows that are all objects, all lists or all texts")
        yield _by_column(found, seen), kind is dict
        count = _rows_at_once(len(seen), most_rows)


def _by_column(rows: list[Any], seen: dict[str, None]) -> Mapping[str, Cells]:
    """Sort cells by column. A name that a row lacks is a missing value, once it was seen."""
    if isinstance(rows[0], str):
        seen[TEXT] = None
        return {TEXT: rows}
    if isinstance(rows[0], dict):
        seen.update(dict.fromkeys(name for row in rows for name in row))
        return {name: [row.get(name) for row in rows] for name in seen}
    width = len(seen) or len(rows[0])
    if any(len(row) != width for row in rows):
        raise TableInvalid(f"expected rows of {width} cells each")
    seen.update(dict.fromkeys(map(str, range(width))))
    return dict(zip(seen, zip(*rows, strict=True), strict=True))


def _lines(file: IO[str]) -> Iterator[Any]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise TableInvalid(f"line {number} is no JSON: {error}") from error


def _items(file: IO[str]) -> Iterator[Any]:
    """Give the items of an array, or values one after another, holding little of the file."""
    text = _Text(file)
    is_array = text.skip(_BLANKS) == "["
    if is_array:
        text.at += 1
    filler = _BLANKS + "," if is_array else _BLANKS
    while (found := text.skip(filler)) in ("{", "[", '"'):
        yield text.item()
    if found != ("]" if is_array else ""):
        problem = f"found {found!r}" if found else "and it ends in the middle"
        raise TableInvalid(f"expected rows that are objects, lists or texts, {problem}")


class _Text:
    """What of a file was read and not used yet."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""
        self.at = 0

    def skip(self, filler: str) -> str:
        """Pass over filler; gives the character that comes then, none at the end."""
        while True:
            while self.at < len(self._text) and self._text[self.at] in filler:
                self.at += 1
            if self.at < len(self._text) or not self._grow():
                return self._text[self.at : self.at + 1]

    def item(self) -> Any:
        """Give a value that ends by itself, in a bracket or quote."""
        while True:
            try:
                item, self.at = self._decode(self._text, self.at)
            except (ValueError, RecursionError) as error:
                if len(self._text) - self.at > _LONGEST_ROW or not self._grow():
                    raise TableInvalid(f"it is no JSON: {error}") from error
            else:
                return item

    def _grow(self) -> bool:
        """Read on, as much again as is waiting, so that a long row is not tried too often."""
        waiting = self._text[self.at :]
        more = self._file.read(max(len(waiting), _READ_AT_ONCE))
        self._text, self.at = waiting + more, 0
        return bool(more)


def _parquet(path: Path, most_rows: int) -> Iterator[Piece]:
    try:
        from pyarrow import ArrowException  # type: ignore[import-untyped]  # it ships no types
        from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]  # the same
    except ModuleNotFoundError as error:
        raise TableInvalid('Parquet needs pyarrow: pip install "modeld[parquet]"') from error
    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_unique(names)
            total, first = file.metadata.num_rows, 1
            rows = _rows_at_once(len(names), most_rows)
            for batch in file.iter_batches(rows, use_threads=False):
                columns = dict(zip(names, map(_cells, batch.columns), strict=True))
                share = (first + len(batch) - 1) / max(total, 1)
                yield Piece(first, columns, share, schema=file.schema_arrow)
                first += len(batch)
    except (ArrowException, ValueError) as error:
        raise TableInvalid(f"it is no Parquet file that can be read: {error}") from error


def _cells(column: Any) -> Cells:
    """Give an array where it holds whole numbers or floats, and Python's values otherwise."""
    from pyarrow import types

    kind = column.type
    is_plain = types.is_floating(kind) or (types.is_integer(kind) and not column.null_count)
    cells: Cells = column.to_numpy(zero_copy_only=False) if is_plain else column.to_pylist()
    return cells
