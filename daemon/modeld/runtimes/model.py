"""Say what an opened model can do, and put its answers into bytes.

A runtime gives back whatever its library gives; `pack` alone decides what may leave
as an answer: whole numbers, finite floats, texts and truth values, one per row or one
list (of lists) per row.
"""

import json
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from modeld.domain import Scalar, Signature
from modeld.errors import ModelOutputInvalid
from modeld.messages import Values

COMPILED = "modeld.compiled"
"""The key by which an ONNX model says that the compiler made it from a native one."""

PLACES = "modeld.places"
"""The key by which it says which columns of a row its tensors hold, where it has two."""

Rows = Any
"""A float64 array whose first axis counts rows, or a list of texts."""

Array = np.ndarray[Any, Any]

_ONE = ((1,), (1, 1))


class Model(Protocol):
    """One opened version. Not used by two threads at a time."""

    signature: Signature

    def predict(self, rows: Rows) -> Any:
        """Answer one value (or one list) per row."""
        ...

    def probabilities(self, rows: Rows) -> Any:
        """Give a matrix with one row per row and one column per class."""
        ...


def as_array(answer: Any, rows: int) -> Array:
    """Check that an answer has one entry per row; raises `ModelOutputInvalid`."""
    if answer is None or hasattr(answer, "todense"):
        raise ModelOutputInvalid(f"the model answered {type(answer).__name__}, not an array")
    try:
        array = np.asarray(answer)
    except Exception as error:
        raise ModelOutputInvalid(f"the model's answer is no array: {error}") from error
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 0 or len(array) != rows:
        raise ModelOutputInvalid(
            f"the model answered an array of shape {array.shape} for {rows} row(s)"
        )
    return array


def pack(array: Array) -> tuple[Values, bytes]:
    """Put an array into bytes; raises `ModelOutputInvalid` for what JSON cannot say."""
    kind = array.dtype.kind
    if kind == "i" or (kind == "u" and array.dtype.itemsize < 8):
        data = np.ascontiguousarray(array, dtype="<i8").tobytes()
        return Values("i8", array.shape, len(data)), data
    if kind == "f":
        with np.errstate(over="ignore"):
            plain = np.ascontiguousarray(array, dtype="<f8")
        if not np.isfinite(plain).all():
            raise ModelOutputInvalid("the model answered NaN or infinity")
        data = plain.tobytes()
        return Values("f8", array.shape, len(data)), data
    if kind in "mM":
        raise ModelOutputInvalid("the model answered dates or times, which JSON has no word for")
    return _pack_json(array)


def _pack_json(array: Array) -> tuple[Values, bytes]:
    answer = array.tolist()
    try:
        text = json.dumps(answer, allow_nan=False, ensure_ascii=False, default=_item)
        data = text.encode()
        if array.dtype.hasobject and not _fits(answer):
            raise ValueError("a whole number needs more than 64 bits")
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelOutputInvalid(f"the model's answer is not JSON: {error}") from error
    return Values("json", array.shape, len(data)), data


def _item(value: Any) -> Any:
    """Give numpy's scalars as Python's; some models answer them one by one."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"it holds a {type(value).__name__}")


def _fits(value: Any) -> bool:
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 64
    items = value.values() if isinstance(value, dict) else value
    return not isinstance(value, list | tuple | dict) or all(map(_fits, items))


def unpack(values: Values, data: memoryview) -> list[Any]:
    """Read what `pack` wrote."""
    if values.kind == "json":
        answer = json.loads(bytes(data))
        if not isinstance(answer, list):
            raise ValueError("an answer must be a list")
        return answer
    dtype = {"i8": "<i8", "f8": "<f8"}[values.kind]
    plain: list[Any] = np.frombuffer(data, dtype=dtype).reshape(values.shape).tolist()
    return plain


def as_plain(answer: Any, rows: int) -> list[Any]:
    """Check an answer and give it as plain values, as `pack` and `unpack` would."""
    if type(answer) is np.ndarray and answer.shape in _ONE and rows == 1:
        if answer.dtype.kind == "i":
            return [answer.item()]
        if answer.dtype.kind == "f" and isfinite(value := float(answer.item())):
            return [value]
    values, data = pack(as_array(answer, rows))
    return unpack(values, memoryview(data))


def as_scalars(classes: Any) -> tuple[Scalar, ...]:
    """Turn a model's `classes_` into plain values; empty when they are anything else."""
    try:
        plain = np.asarray(classes).tolist()
    except (TypeError, ValueError):
        return ()
    if not isinstance(plain, list) or not all(
        isinstance(c, bool | int | float | str) for c in plain
    ):
        return ()
    return tuple(plain)


def first_line(error: Exception, hidden: str = "") -> str:
    """Shorten an error of a library to one readable line, without the path `hidden`."""
    text = str(error).replace(hidden, Path(hidden).name) if hidden else str(error)
    lines = text.strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
