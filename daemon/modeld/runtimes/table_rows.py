"""Turn a piece of a table into the rows that a version takes, and its target into truths.

Columns go by name, in whatever order they stand, and further ones are left aside; where a
model knows no names, they go by their places. A cell that cannot be what it has to be is
refused with its row's number, counted from 1, and its column.
"""

import difflib
from collections.abc import Sequence
from decimal import Decimal
from math import isnan
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from modeld.domain import InputColumn, Signature
from modeld.errors import TableInvalid
from modeld.runtimes.model import Array, Rows
from modeld.runtimes.number_types import wanted_in, whole_range
from modeld.runtimes.tables import TEXT, Cells, Piece

_MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "<na>"})
"""What stands in a CSV for a number that is not known."""

_TRUTH_VALUES = {"true": 1.0, "false": 0.0}
_NO_INPUTS = ("", "Unnamed: 0", "__index_level_0__")
"""What pandas calls the column of row names that it writes."""

_LARGEST_FLOAT32 = 3.4028235677973366e38
_MOST_NAMES = 12


def to_rows(piece: Piece, signature: Signature, target: str | None = None) -> Rows:
    """Give the rows as a runtime takes them; `target` is no input. Raises `TableInvalid`."""
    if signature.rank > 1:
        raise TableInvalid(f"a row of this version has {signature.rank} dimensions, not columns")
    if signature.rank == 0:
        return _whole_texts(_column(piece, _text_column(piece, signature, target)))
    names = inputs_of(piece, signature, target)
    rows = np.empty((len(piece), len(names)), dtype=object if signature.is_mixed else np.float64)
    for index, name in enumerate(names):
        rows[:, index] = _cells(piece, name, signature, index)
    return rows


def _cells(piece: Piece, name: str, signature: Signature, index: int) -> Any:
    known = signature.columns[index] if signature.columns else None
    if known is not None and not known.is_used:
        return np.nan
    column = _column(piece, name)
    if known is not None and known.is_text:
        return _input_texts(column, signature, index)
    return _input_numbers(column, signature, index)


def input_names(piece: Piece, target: str | None) -> list[str]:
    """Name the columns that may be inputs: all but the target and the names of rows."""
    return [name for name in piece.columns if name != target and name not in _NO_INPUTS]


def holds_numbers(piece: Piece, name: str) -> bool:
    """Tell whether each cell of a column is a number, or missing."""
    try:
        _numbers(_column(piece, name))
    except TableInvalid:
        return False
    return True


def holds_texts(piece: Piece, name: str) -> bool:
    """Tell whether each cell of a column is a text and no number, or missing; one is there."""
    if name not in piece.columns or holds_numbers(piece, name):
        return False
    column = _column(piece, name)
    return all(_is_missing(cell) or _is_text(cell, column) for cell in column.cells)


def _is_text(cell: Any, column: "_Column") -> bool:
    if not isinstance(cell, str) or not column.is_text:
        return isinstance(cell, str)
    try:
        return isnan(_number_of(cell.strip().lower()))
    except ValueError:
        return True


def to_truths(piece: Piece, target: str, *, is_text: bool) -> Array:
    """Give the target's column, as texts or as float64; none may be missing."""
    if target not in piece.columns:
        raise _absent(target, piece)
    column = _column(piece, target)
    if is_text:
        texts = [str(_plain(cell)) for cell in column.cells]
        gaps = [_is_missing(cell) for cell in column.cells]
        _refuse_first(column, gaps, "the target is missing")
        return np.array(texts)
    numbers = _numbers(column)
    _refuse_first(column, np.isnan(numbers), "the target is missing")
    return numbers


def inputs_of(piece: Piece, signature: Signature, target: str | None = None) -> list[str]:
    """Name the columns that hold the inputs, in the model's order. Raises `TableInvalid`."""
    wanted = signature.columns
    if wanted and piece.has_names:
        for column in wanted:
            if column.is_used and column.name not in piece.columns:
                raise _absent(column.name, piece)
        return [column.name for column in wanted]
    found = input_names(piece, target)
    if len(found) != (signature.width or len(found)) or not found:
        raise TableInvalid(
            f"this version takes {signature.width or 'its'} columns by their places, "
            f"and there are {len(found)}: {_listed(found)}; leave the others out, or name the "
            "inputs in model.yaml"
        )
    return found


def numbers_in(piece: Piece, name: str) -> Array:
    """Read a column as float64, NaN where a value is missing. Raises `TableInvalid`."""
    return _numbers(_column(piece, name))


class _Column(NamedTuple):
    """One column of a piece."""

    name: str
    cells: Cells
    first: int
    is_text: bool
    has_name: bool

    def refuse(self, index: int, problem: str) -> TableInvalid:
        """Name the row and the column."""
        name = f'"{self.name}"' if self.has_name else str(int(self.name) + 1)
        return TableInvalid(f"row {self.first + index}, column {name}: {problem}")


def _column(piece: Piece, name: str) -> _Column:
    return _Column(name, piece.columns[name], piece.first, piece.is_text, piece.has_names)


def _text_column(piece: Piece, signature: Signature, target: str | None) -> str:
    found = input_names(piece, target)
    named = [column.name for column in signature.columns]
    for name in (*named, TEXT):
        if name in found:
            return name
    if len(found) == 1:
        return found[0]
    raise TableInvalid(
        f'this version takes a text: call its column "{TEXT}"; found {_listed(found)}'
    )


def _absent(name: str, piece: Piece) -> TableInvalid:
    names = list(piece.columns)
    close = difflib.get_close_matches(name, names, 1)
    hint = f' (did you mean "{close[0]}"?)' if close else f"; found {_listed(names)}"
    return TableInvalid(f'the column "{name}" is missing{hint}')


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (", ".join(names[:_MOST_NAMES]) or "none") + more


def _input_numbers(column: _Column, signature: Signature, index: int) -> Array:
    numbers = _numbers(column)
    if not _may_be_missing(signature, index):
        _refuse_first(column, np.isnan(numbers), _NOT_MISSING)
    if signature.precision == 32:
        with np.errstate(invalid="ignore"):
            is_large = np.isfinite(numbers) & (np.abs(numbers) > _LARGEST_FLOAT32)
        _refuse_first(column, is_large, "this version reads 32-bit numbers, at most 3.4e38")
    if index < len(signature.columns):
        _check_whole(column, numbers, signature.columns[index])
    return numbers


def _check_whole(column: _Column, numbers: Array, known: InputColumn) -> None:
    """Refuse what is no whole number, or out of range, where its type asks for one."""
    if known.is_plain:
        return
    lowest, highest = whole_range(known.type)
    fits = (lowest <= numbers) & (numbers <= highest) & (numbers == np.floor(numbers))
    marks = ~(fits | np.isnan(numbers))
    found = numbers[np.argmax(marks)]
    _refuse_first(column, marks, f"expected {wanted_in(known)}, found {found:.15g}")


def _input_texts(column: _Column, signature: Signature, index: int) -> list[str | None]:
    texts = [_text(column, row, cell) for row, cell in enumerate(column.cells)]
    if not _may_be_missing(signature, index):
        _refuse_first(column, [text is None for text in texts], _NOT_MISSING)
    return texts


_NOT_MISSING = "a value is missing, which this version does not take there"


def _may_be_missing(signature: Signature, index: int) -> bool:
    return index < len(signature.nullable) and signature.nullable[index]


def _refuse_first(column: _Column, marks: Sequence[bool] | Array, problem: str) -> None:
    if any(marks) if isinstance(marks, list) else np.any(marks):
        raise column.refuse(int(np.argmax(marks)), problem)


def _whole_texts(column: _Column) -> list[str]:
    """Give a row's text each; an empty one is a text as well."""
    if column.is_text:
        return list(column.cells)
    texts = [_text(column, row, cell) for row, cell in enumerate(column.cells)]
    _refuse_first(column, [text is None for text in texts], "the text is missing")
    return [text or "" for text in texts]


def _text(column: _Column, row: int, cell: Any) -> str | None:
    if isinstance(cell, str):
        return None if column.is_text and not cell else cell
    if _is_missing(cell):
        return None
    raise column.refuse(row, f"expected a text, found {_said(cell)}")


def _numbers(column: _Column) -> Array:
    cells = column.cells
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "iuf":
        return cells.astype(np.float64)
    try:
        if column.is_text:
            return np.fromiter(map(float, cells), np.float64, len(cells))
        if {float, int}.issuperset(map(type, cells)):
            return np.array(cells, dtype=np.float64)
    except (ValueError, OverflowError):
        pass  # one of them is no number; below it is found, or read as a word
    found = (_number(column, row, cell) for row, cell in enumerate(cells))
    return np.fromiter(found, np.float64, len(cells))


def _number(column: _Column, row: int, cell: Any) -> float:
    try:
        if isinstance(cell, str) and column.is_text:
            return _number_of(cell.strip().lower())
        if _is_missing(cell):
            return float("nan")
        if isinstance(cell, Real | Decimal | np.bool_):
            return float(cell)
    except (ValueError, OverflowError):
        pass
    raise column.refuse(row, f"expected a number, found {_said(cell)}")


def _number_of(word: str) -> float:
    if word in _MISSING:
        return float("nan")
    return _TRUTH_VALUES[word] if word in _TRUTH_VALUES else float(word)


def _is_missing(cell: Any) -> bool:
    return cell is None or cell == "" or (isinstance(cell, float) and isnan(cell))


def _plain(cell: Any) -> Any:
    return cell.item() if isinstance(cell, np.generic) else cell


def _said(cell: Any) -> str:
    if isinstance(cell, dict | list):
        return "an object" if isinstance(cell, dict) else "a list"
    return repr(_plain(cell))[:40]
