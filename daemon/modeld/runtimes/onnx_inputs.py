"""Turn rows into what the inputs of an ONNX model take.

A model may have one tensor of numbers whose first axis counts rows, one tensor of texts,
or one column per input. Numbers are given as the input's type where it can hold them, and
refused where it cannot. A compiled model of texts and numbers has a tensor of each, and
says which columns are in them.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from modeld.domain import InputColumn, Signature
from modeld.errors import LoadFailed, OutOfRange
from modeld.runtimes.model import Array, Rows

_TEXT = "string"
_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    f"tensor({_TEXT})": _TEXT,
    **{f"tensor({name})": name for name in ("float16", "int8", "int16", "int32", "int64")},
    **{f"tensor({name})": name for name in ("uint8", "uint16", "uint32", "uint64")},
}
_LARGEST_WHOLE = 2.0**53 - 1
"""Above it, rows arrive as floats that may have been another whole number."""

NUMBERS, TEXTS = "numbers", "texts"
"""What the tensors of a compiled model of both are called."""

NULL = "\0null"
"""Stands for a missing text, as a tensor of texts holds nothing but texts."""

_STANDS_FOR: dict[Any, str] = {None: NULL, NULL: f"{NULL}text"}


class Inputs(Protocol):
    """What a model takes. `row_type` is what rows of numbers are best made of."""

    signature: Signature
    row_type: Any

    def feed(self, rows: Rows) -> dict[str, Array]:
        """Give each input its tensor; raises `OutOfRange`."""
        ...


def read_inputs(values: Sequence[Any], places: str = "") -> Inputs:
    """Tell what the inputs of a session take; raises `LoadFailed` for what is not supported.

    `places` is what a compiled model of texts and numbers says of its inputs: JSON, the places
    in a row by the name of the tensor.
    """
    if places:
        return Table(values, json.loads(places))
    for value in values:
        if value.type not in _TYPES:
            raise LoadFailed(f"input '{value.name}' is a {value.type}, which rows cannot be put in")
    first = values[0]
    if len(values) > 1 or len(first.shape) < 2:
        return Columns(values)
    if _TYPES[first.type] != _TEXT:
        return Tensor(first)
    return Texts(first) if first.shape[1] == 1 else TextTable(first)


class Tensor:
    """One tensor of numbers."""

    def __init__(self, value: Any) -> None:
        kind = _TYPES[value.type]
        self._name: str = value.name
        self._type: Any = np.dtype(kind)
        self.row_type: Any = np.float32 if kind == "float32" else np.float64
        sizes = tuple(size if isinstance(size, int) else 0 for size in value.shape[1:])
        self.signature = Signature(
            rank=len(sizes),
            width=sizes[0] if len(sizes) == 1 else 0,
            shape=sizes if len(sizes) > 1 else (),
            precision=64 if kind == "float64" else 32,
            takes_truths=kind == "bool",
        )

    def feed(self, rows: Rows) -> dict[str, Array]:
        """Give the rows as they are where they have the type already."""
        return {self._name: rows if rows.dtype == self._type else fit(rows, self._type)}


class Texts:
    """One tensor with a text per row."""

    row_type: Any = np.float64

    def __init__(self, value: Any) -> None:
        self._name: str = value.name
        self.signature = Signature(rank=0)

    def feed(self, rows: Rows) -> dict[str, Array]:
        """Put each text into a row of its own."""
        return {self._name: np.array(rows, dtype=object).reshape(-1, 1)}


class TextTable:
    """One tensor with several texts per row."""

    row_type: Any = np.float64

    def __init__(self, value: Any) -> None:
        width = value.shape[1]
        if len(value.shape) != 2 or not isinstance(width, int):
            raise LoadFailed(
                f"input '{value.name}' has texts of the shape {value.shape}: expected a known "
                "number of them per row"
            )
        self._name: str = value.name
        columns = [InputColumn(f"{value.name}_{i + 1}", is_text=True) for i in range(width)]
        self.signature = Signature(width=width).with_columns(tuple(columns))

    def feed(self, rows: Rows) -> dict[str, Array]:
        """Give the table of texts as it is."""
        return {self._name: rows}


class Table:
    """A tensor of the columns of numbers, and one of those of texts."""

    row_type: Any = np.float64
    signature = Signature()

    def __init__(self, values: Sequence[Any], places: dict[str, list[int]]) -> None:
        kinds = {value.name: _TYPES[value.type] for value in values}
        self._type: Any = np.dtype(kinds.get(NUMBERS, "float64"))
        self._numbers, self._texts = (_stretch(places.get(name, [])) for name in (NUMBERS, TEXTS))

    def feed(self, rows: Rows) -> dict[str, Array]:
        """Part numbers and texts; a missing text becomes one that stands for it."""
        given = {}
        if self._numbers is not None:
            given[NUMBERS] = rows[:, self._numbers].astype(self._type)
        if self._texts is not None:
            given[TEXTS] = _without_gaps(rows[:, self._texts])
        return given


def _stretch(places: list[int]) -> Any:
    """Give places as a slice where they are one: cutting is quicker than picking."""
    if not places:
        return None
    whole = slice(places[0], places[-1] + 1)
    return whole if places == list(range(whole.start, whole.stop)) else places


def _without_gaps(texts: Array) -> Array:
    cells = texts.ravel().tolist()
    if None not in cells and NULL not in cells:
        return texts
    filled = np.empty(len(cells), dtype=object)
    filled[:] = [_STANDS_FOR.get(cell, cell) for cell in cells]
    return filled.reshape(texts.shape)


class Columns:
    """One column per input."""

    row_type: Any = np.float64

    def __init__(self, values: Sequence[Any]) -> None:
        for value in values:
            if len(value.shape) not in (1, 2) or (len(value.shape) == 2 and value.shape[1] != 1):
                raise LoadFailed(
                    f"input '{value.name}' has the shape {value.shape}: several inputs are "
                    "supported when each is one column"
                )
        kinds = [_TYPES[value.type] for value in values]
        self._puts = [_put(value, kind) for value, kind in zip(values, kinds, strict=True)]
        columns = (
            InputColumn(value.name, is_text=kind == _TEXT, type=kind)
            for value, kind in zip(values, kinds, strict=True)
        )
        is_wide = all(kind in ("float64", _TEXT) for kind in kinds)
        self.signature = Signature(width=len(kinds), precision=64 if is_wide else 32).with_columns(
            tuple(columns)
        )

    def feed(self, rows: Rows) -> dict[str, Array]:
        """Cut the table into its columns."""
        return {name: put(rows[:, i]) for i, (name, put) in enumerate(self._puts)}


def _put(value: Any, kind: str) -> tuple[str, Callable[[Array], Array]]:
    """Give the name of an input, and how a column is put into it."""
    shape = (-1, 1) if len(value.shape) == 2 else (-1,)
    if kind == _TEXT:
        return value.name, lambda column: column.astype(object).reshape(shape)
    dtype: Any = np.dtype(kind)
    return value.name, lambda column: fit(column.astype(np.float64), dtype).reshape(shape)


def fit(rows: Array, dtype: Any) -> Array:
    """Give numbers in another type; raises `OutOfRange` for one that it cannot hold."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = max(limits.min, -_LARGEST_WHOLE), min(limits.max, _LARGEST_WHOLE)
        # Written so that NaN fails as well.
        fits = (rows == np.trunc(rows)) & (rows >= low) & (rows <= high)
        _check(rows, fits, f"a whole number from {int(low):,} to {int(high):,}")
    elif dtype.kind == "b":
        _check(rows, (rows == 0) | (rows == 1), "0 or 1")
    elif dtype.itemsize == 2:
        _check(rows, ~(np.abs(rows) > 65504), "a 16-bit number, at most 65,504")
    return rows.astype(dtype, copy=False)


def _check(rows: Array, fits: Array, expected: str) -> None:
    if fits.all():
        return
    place = np.argwhere(~fits)[0]
    column = f", column {place[1] + 1}" if len(place) == 2 else ""
    raise OutOfRange(
        f"row {place[0] + 1}{column}: expected {expected}, found {rows[tuple(place)]:.15g}"
    )
