"""Read rows out of a prediction's body and write the answer.

A row has the rank of its model: `features` nested as deep as a row is one row, one
level deeper is many; `instances` is always many. A model whose columns have names also
takes objects. Numbers are taken as they are written: texts, truth values and nulls
where a number is due are refused with row and column, never turned into one. Where a
JSON object names a key twice, the last one counts.
"""

import difflib
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import orjson

from modeld.domain import Signature
from modeld.errors import (
    ConflictingFields,
    EmptyBatch,
    MissingField,
    OutOfRange,
    TooManyRows,
    UnknownField,
    WrongShape,
    WrongType,
)
from modeld.http.cells import NUMBERS, holds_numbers, kind_of, read_row
from modeld.http.json_body import LARGE_BODY, parse, parse_large

_LARGEST_FLOAT32 = 3.4028235677973366e38  # above it a number rounds to infinity
_TOO_LARGE = "this version reads 32-bit numbers, and one of these is larger than 3.4e38"
_KEYS = ("features", "instances")
_KEY = len('""')
_ROWS_AT_ONCE = 4096


@dataclass(slots=True)
class Rows:
    """Rows of one request: an array whose first axis counts them, or a list of texts.

    One row of numbers may be a list that holds its list, for whoever puts such rows together.
    """

    values: Any
    length: int
    is_single: bool


@dataclass(slots=True)
class Predictions:
    """One prediction per row, and the probabilities where they were asked for."""

    values: list[Any]
    probabilities: list[Any] | None = None


def decode(
    body: bytes,
    signature: Signature,
    max_rows: int,
    row_type: type[np.generic] = np.float64,
    *,
    keeps_lone: bool = False,
) -> Rows:
    """Read the rows of a prediction's body into an array of `row_type`, a kind of float.

    With `keeps_lone`, one row of numbers may stay a list. Raises a `RequestError` that says
    what is wrong.
    """
    content = parse(body) if len(body) < LARGE_BODY else _large(body, signature, max_rows)
    row = content.get("features") if type(content) is dict and len(content) == 1 else None
    if _is_plain_row(row, signature):
        if signature.precision == 32:
            _check_range(row)
        return Rows([row] if keeps_lone else np.array([row], row_type), 1, is_single=True)
    key, value = _rows_of(content, signature)
    is_single = key == "features" and _is_one_row(value, signature)
    rows = [value] if is_single else value
    if not isinstance(rows, list):
        raise WrongType(f'"{key}" must be {_expected(signature)}, found {kind_of(value)}')
    if not rows:
        raise EmptyBatch(f'"{key}" holds no row: expected {_expected(signature)}')
    if len(rows) > max_rows:
        raise TooManyRows(
            f"{len(rows)} rows are more than the {max_rows} that one request may have"
        )
    return Rows(_values(rows, signature, row_type), len(rows), is_single)


def _large(body: bytes, signature: Signature, max_rows: int) -> Any:
    if signature.rank == 1 and _closed(body, b"]", b"}") > max_rows and body.count(b'"') <= _KEY:
        # Refused before they are made: a million of them takes a while. With more texts than
        # the key, brackets may stand in the names of columns.
        rows = _closed(body, b"],", b"},") + 1
        if rows > max_rows:
            raise TooManyRows(f"{rows} rows are more than the {max_rows} that one request may have")
    return parse_large(body)


def _closed(body: bytes, list_end: bytes, object_end: bytes) -> int:
    """Count brackets: alone at a third of the time that they take with a comma."""
    return body.count(list_end) + body.count(object_end)


def _is_plain_row(row: Any, signature: Signature) -> TypeGuard[list[float]]:
    return (
        type(row) is list
        and signature.rank == 1
        and signature.is_plain
        and 0 < len(row) == signature.width
        and NUMBERS.issuperset(map(type, row))
    )


def encode(predictions: Predictions, rows: Rows, version: str, signature: Signature) -> bytes:
    """Write the answer to one row or to many."""
    content: dict[str, Any]
    if rows.is_single:
        content = {"prediction": predictions.values[0], "model_version": version}
    else:
        content = {"predictions": predictions.values, "model_version": version}
    scores = predictions.probabilities
    if scores is not None:
        content["probabilities"] = scores[0] if rows.is_single else scores
        if signature.classes:
            content["classes"] = signature.classes
    # The line end is for people at a terminal.
    return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)


def _rows_of(content: Any, signature: Signature) -> tuple[str, Any]:
    if type(content) is not dict:
        raise WrongType(
            f'the body must be an object like {{"features": {_example(signature)}}}, '
            f"found {kind_of(content)}"
        )
    if len(content) == 1 and "features" in content:
        return "features", content["features"]
    for key in content:
        if key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, 1)
            hint = f' (did you mean "{close[0]}"?)' if close else ""
            raise UnknownField(
                f'unknown key "{key[:80]}"{hint}: expected "features" or "instances"'
            )
    if len(content) == 2:
        raise ConflictingFields('"features" and "instances" exclude each other: send one')
    if "instances" in content:
        return "instances", content["instances"]
    raise MissingField(f'"features" is missing: send {{"features": {_example(signature)}}}')


def _is_one_row(value: Any, signature: Signature) -> bool:
    if isinstance(value, dict):
        return True
    if signature.rank == 0:
        return isinstance(value, str)
    depth = 0
    while isinstance(value, list) and value:
        value, depth = value[0], depth + 1
    if signature.rank == 1:
        return depth == 1 and not isinstance(value, list | dict)
    return depth == signature.rank


def _values(rows: list[Any], signature: Signature, row_type: type[np.generic]) -> Any:
    if signature.rank == 0:
        return _texts(rows)
    if signature.rank == 1:
        rows = [read_row(row, index, signature) for index, row in enumerate(rows, 1)]
    elif not holds_numbers(rows, signature.rank + 1, signature):
        raise WrongType(f"expected numbers in lists of {signature.rank} dimensions per row")
    return _array(rows, signature, row_type)


def _texts(rows: list[Any]) -> list[str]:
    for index, row in enumerate(rows, 1):
        if not isinstance(row, str):
            raise WrongType(f"row {index}: expected a text, found {kind_of(row)}")
    return rows


def _check_range(row: list[float]) -> None:
    """Do for one row of numbers what `_array` does for many."""
    if not -_LARGEST_FLOAT32 <= min(row) <= max(row) <= _LARGEST_FLOAT32:
        raise OutOfRange(_TOO_LARGE)


def _array(rows: list[Any], signature: Signature, row_type: type[np.generic]) -> Any:
    if signature.is_mixed:
        return _table(rows, signature)
    try:
        array = _joined(rows)
    except (TypeError, ValueError):
        raise WrongShape(
            "the rows do not all have the same shape, or hold something that is no number"
        ) from None
    if array.ndim != signature.rank + 1:
        raise WrongShape(f"expected rows of {signature.rank} dimension(s), got {array.ndim - 1}")
    sizes = zip(signature.shape, array.shape[1:], strict=False)
    if any(expected and expected != found for expected, found in sizes):
        raise WrongShape(
            f"expected rows of {_sizes(signature.shape)}, got {_sizes(array.shape[1:])}"
        )
    if signature.precision == 32 and (np.abs(array) > _LARGEST_FLOAT32).any():
        raise OutOfRange(_TOO_LARGE)
    return array.astype(row_type, copy=False)


def _sizes(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size or "any") for size in shape) + " numbers"


def _joined(rows: list[Any]) -> Any:
    """Convert so many rows at a time that other threads, the event loop's too, get their turns."""
    parts = [
        np.array(rows[start : start + _ROWS_AT_ONCE], dtype=np.float64)
        for start in range(0, len(rows), _ROWS_AT_ONCE)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _table(rows: list[list[Any]], signature: Signature) -> Any:
    """Hold texts and numbers side by side."""
    if signature.precision == 32:
        numbers = (cell for row in rows for cell in row if type(cell) is float)
        if any(abs(number) > _LARGEST_FLOAT32 for number in numbers):
            raise OutOfRange(_TOO_LARGE)
    table = np.empty((len(rows), signature.width), dtype=object)
    table[:] = rows
    return table


def _example(signature: Signature) -> str:
    return '"some text"' if signature.rank == 0 else "[…]"


def _expected(signature: Signature) -> str:
    if signature.rank == 0:
        return "a text or a list of texts"
    cells = "values" if signature.is_mixed else "numbers"
    count = f"{signature.width} {cells}" if signature.width else cells
    return f"one row (a list of {count}) or a list of rows"
