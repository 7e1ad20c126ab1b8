"""Read the cells of one row: a list in the order of the columns, or an object by their names.

Numbers are taken as they are written: texts, truth values and nulls where a number is due
are refused with row and column, never turned into one.
"""

import difflib
from typing import Any

from modeld.domain import InputColumn, Signature
from modeld.errors import MissingField, UnknownField, WrongShape, WrongType
from modeld.runtimes.number_types import wanted_in, whole_range

NUMBERS = frozenset({int, float})
_NAMELESS, _TRUTH = InputColumn(""), InputColumn("", type="bool")
_NAN = float("nan")


def read_row(row: Any, index: int, signature: Signature) -> list[Any]:
    """Give the cells of a row in order; `index` counts from 1. Raises a `RequestError`."""
    if isinstance(row, dict):
        row = _listed(row, index, signature)
    if not isinstance(row, list):
        raise WrongType(f"row {index}: expected a list of numbers, found {kind_of(row)}")
    if signature.width and len(row) != signature.width:
        raise WrongShape(f"row {index}: expected {signature.width} values, got {len(row)}")
    if not row:
        raise WrongShape(f"row {index}: expected numbers, got none")
    if signature.is_plain and NUMBERS.issuperset(map(type, row)):
        return row
    return [_cell(value, index, column, signature) for column, value in enumerate(row)]


def _listed(row: dict[str, Any], index: int, signature: Signature) -> list[Any]:
    columns = signature.columns
    if not columns:
        raise WrongType(
            f"row {index}: this version knows no column names; send a list of "
            f"{signature.width or 'its'} numbers"
        )
    if not signature.ignores_extra:
        _check_known(row, index, {column.name: None for column in columns})
    for column in columns:
        if column.is_used and column.name not in row:
            raise MissingField(f'row {index}: column "{column.name}" is missing')
    return [row.get(column.name) for column in columns]


def _check_known(row: dict[str, Any], index: int, names: dict[str, None]) -> None:
    for name in row:
        if name not in names:
            close = difflib.get_close_matches(name, names, 1)
            hint = f' (did you mean "{close[0]}"?)' if close else ""
            raise UnknownField(f'row {index}: unknown column "{name[:80]}"{hint}')


def _cell(value: Any, index: int, place: int, signature: Signature) -> Any:
    nameless = _TRUTH if signature.takes_truths else _NAMELESS
    column = signature.columns[place] if place < len(signature.columns) else nameless
    if not column.is_used:
        return _NAN
    if column.is_text:
        if type(value) is str:
            return value
    elif _is_number(value, column):
        return float(value)
    if value is None and place < len(signature.nullable) and signature.nullable[place]:
        return None if column.is_text else _NAN
    name = f' ("{column.name}")' if column.name else ""
    is_number = type(value) in NUMBERS and not column.is_text
    found = f"{value:.15g}" if is_number else kind_of(value)
    raise WrongType(
        f"row {index}, column {place + 1}{name}: expected {wanted_in(column)}, found {found}"
    )


def _is_number(value: Any, column: InputColumn) -> bool:
    if column.is_plain:
        return type(value) in NUMBERS
    if type(value) is bool:
        return column.type == "bool"
    lowest, highest = whole_range(column.type)
    return type(value) in NUMBERS and lowest <= value <= highest and value == int(value)


def holds_numbers(value: Any, depth: int, signature: Signature) -> bool:
    """Tell whether lists nested at most so deep hold numbers alone; deeper ones are not entered."""
    return _holds(value, depth, NUMBERS | {bool} if signature.takes_truths else NUMBERS)


def _holds(value: Any, depth: int, kinds: frozenset[type]) -> bool:
    if type(value) is not list:
        return type(value) in kinds
    if kinds.issuperset(map(type, value)):
        return depth > 0
    return depth > 1 and all(_holds(item, depth - 1, kinds) for item in value)


def kind_of(value: Any) -> str:
    """Say what a JSON value is."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return "null" if value is None else kinds.get(type(value), "a number")
