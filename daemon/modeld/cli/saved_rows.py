"""Take rows from a notebook: what their columns are, what is known of them, and how they are sent.

A frame tells the types of its columns, which rows in JSON do not. The model's own answers are
asked for here, where nothing has been made of the rows yet.
"""

import contextlib
import json
import warnings
from collections.abc import Iterable, Mapping
from math import isnan
from numbers import Real
from pathlib import Path
from typing import Any

from modeld.domain import InputColumn
from modeld.errors import ModeldError
from modeld.repository.manifest import TYPES

_GAPS = ("NAType", "NaTType")
_NARROW = ("float16", "float32")
_TEXTS = ("str", "string")
_TEXTS_PERHAPS = ("object", "category")


def columns_of(model: Any, samples: Any) -> tuple[InputColumn, ...]:
    """Name the columns of a frame that a model takes, with their types; none of other rows."""
    from modeld.runtimes.columns import find_width, takes_texts

    if not _is_frame(samples) or takes_texts(model):
        return ()
    names = _names(model, samples)
    if find_width(model) not in (0, len(names)):
        return ()
    types = {name: _type_of(samples[name]) for name in names}
    return tuple(
        InputColumn(name, is_text=kind == "string", type=kind) for name, kind in types.items()
    )


def _is_frame(samples: Any) -> bool:
    """Tell whether it is a table with a name for each column."""
    if not (hasattr(samples, "to_dict") and hasattr(samples, "columns")):
        return False
    names = list(samples.columns)
    return all(isinstance(name, str) for name in names) and len({*names}) == len(names)


def _names(model: Any, frame: Any) -> list[str]:
    """Name the model's columns in its order, or all where it does not know these."""
    from modeld.runtimes.columns import find_names

    known, given = find_names(model), list(frame.columns)
    return known if known and {*known} <= {*given} else given


def _type_of(column: Any) -> str:
    """Give its type as a manifest has it; empty for none.

    A column in which a whole number is missing, or too large for a request, has none either.
    """
    from modeld.runtimes.number_types import whole_range

    kind = _plain_type(column)
    if kind in _TEXTS:
        return "string"
    if kind in _TEXTS_PERHAPS:
        found = column.dropna().unique().tolist()
        return "string" if found and all(isinstance(each, str) for each in found) else ""
    if kind not in TYPES or kind.startswith("float"):
        return kind if kind in TYPES else ""
    lowest, highest = whole_range(kind)
    is_whole = not column.isna().any() and lowest <= column.min() and column.max() <= highest
    return kind if is_whole else ""


def _plain_type(column: Any) -> str:
    """Give the name of a type without who keeps it: `Int64` and `int64[pyarrow]` are int64."""
    kind = str(column.dtype).lower().partition("[")[0]
    return "bool" if kind == "boolean" else kind


def own_answers(model: Any, samples: Any) -> dict[int, Any]:
    """Ask for the rows that become golden samples, by their numbers, counted from 1.

    A row that the model does not answer has none. Rows of 32-bit floats have none either: what
    comes of them differs a little from what comes of the same numbers in 64 bits.
    """
    from modeld.runtimes.columns import takes_texts
    from modeld.runtimes.golden import spread
    from modeld.runtimes.model import as_plain
    from modeld.runtimes.tables import MOST_ROWS

    is_frame = _is_frame(samples)
    # Of a frame, a vectorizer reads the names of its columns.
    is_other = is_frame and takes_texts(model)
    if is_other or not hasattr(samples, "__len__") or _is_narrow(samples):
        return {}
    given = samples[_names(model, samples)] if is_frame else samples
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place in spread(min(len(given), MOST_ROWS)):
            # A model may raise anything on a row that it does not take.
            with contextlib.suppress(Exception):
                (found[place + 1],) = as_plain(model.predict(_row(given, place)), 1)
    return found


def _is_narrow(samples: Any) -> bool:
    types = samples.dtypes if _is_frame(samples) else [getattr(samples, "dtype", "")]
    return any(str(kind) in _NARROW for kind in types)


def _row(samples: Any, place: int) -> Any:
    """Give one row in what it came in."""
    rows = samples.iloc if hasattr(samples, "iloc") else samples
    return rows[place : place + 1]


def write_rows(samples: Any, target: Any, folder: Path) -> tuple[Path, str]:
    """Write rows as JSON lines, with the target as a last column; gives its name.

    The name is empty where there is no target, or several. Raises `ModeldError`.
    """
    rows = _rows(samples)
    if not rows:
        raise ModeldError("samples have no rows")
    known = [] if target is None else _truths(target)
    column = ""
    if target is not None and len(known) != len(rows):
        raise ModeldError(f"samples have {len(rows)} rows, target has {len(known)}")
    if known and not any(isinstance(truth, list) for truth in known):
        rows, column = _with_target(rows, known)
    path = folder / "samples.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(row, default=_plain)}\n" for row in rows)
    return path, column


def _rows(samples: Any) -> list[Any]:
    if hasattr(samples, "to_dict") and hasattr(samples, "columns"):
        if not all(isinstance(name, str) for name in samples.columns):
            return _list(samples.to_numpy())
        return [_finite(row) for row in samples.to_dict("records")]
    return [_finite([row] if _is_number(row) else row) for row in _list(samples)]


def _is_number(row: Any) -> bool:
    """Tell whether a row is a bare number: the rows are one column then."""
    return row is None or isinstance(row, Real)


def _truths(target: Any) -> list[Any]:
    """Give one answer a row; a list where there are several."""
    known = _list(target)
    is_column = all(isinstance(truth, list) and len(truth) == 1 for truth in known)
    return [truth[0] for truth in known] if is_column else known


def _list(values: Any) -> list[Any]:
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    listed: Iterable[Any] = values.tolist() if hasattr(values, "tolist") else values
    return list(listed)


def _finite(row: Any) -> Any:
    """Write a missing value as JSON can."""
    if isinstance(row, Mapping):
        return {name: _finite(cell) for name, cell in row.items()}
    if isinstance(row, list | tuple):
        return [_finite(cell) for cell in row]
    is_gap = type(row).__name__ in _GAPS or (isinstance(row, float) and isnan(row))
    return None if is_gap else row


def _with_target(rows: list[Any], known: list[Any]) -> tuple[list[Any], str]:
    if isinstance(rows[0], str):
        return [{"text": r, "target": y} for r, y in zip(rows, known, strict=True)], "target"
    if isinstance(rows[0], Mapping):
        column = "target"
        while column in rows[0]:
            column += "_"
        return [{**r, column: y} for r, y in zip(rows, known, strict=True)], column
    return [[*row, y] for row, y in zip(rows, known, strict=True)], str(len(rows[0]))


def _plain(value: Any) -> Any:
    """Turn numpy's values into Python's; whatever JSON has no word for becomes a text."""
    return value.item() if hasattr(value, "item") else str(value)
