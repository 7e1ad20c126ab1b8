"""Turn the outputs of an ONNX model into one answer per row, and probabilities.

One output is the answer. A label (whole numbers, texts, truth values) with a matrix or
maps by class beside it is a classifier's answer with its probabilities; what comes after
these is not asked for. Of any other model with several outputs, the answer to a row has
each of them by its name. A model that the compiler made says so of itself, and its second
output is always the probabilities: its labels may be fractions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from modeld.errors import ModelOutputInvalid
from modeld.runtimes.model import Array, as_array

_LABELS = frozenset(f"tensor({name})" for name in ("int64", "int32", "string", "bool"))
_SCORES = frozenset(f"tensor({name})" for name in ("float", "double", "float16"))
_MATRIX = 2


class Outputs:
    """Which outputs are asked for: `answer` for predictions, `scores` for probabilities."""

    def __init__(self, values: Sequence[Any], *, is_compiled: bool) -> None:
        has_scores = len(values) > 1 and (is_compiled or _is_classifier(values[0], values[1]))
        wanted = values[:1] if has_scores else values
        self.answer: list[str] = [value.name for value in wanted]
        self.scores: list[str] = [values[1].name] if has_scores else []

    def by_name(self, answers: Sequence[Any], rows: int) -> Array:
        """Put the outputs of each row together; raises `ModelOutputInvalid`."""
        cells = [_cells(*one, rows) for one in zip(self.answer, answers, strict=True)]
        found: Array = np.empty(rows, dtype=object)
        for row, values in enumerate(zip(*cells, strict=True)):
            found[row] = dict(zip(self.answer, values, strict=True))
        return found


def _is_classifier(first: Any, second: Any) -> bool:
    if first.type not in _LABELS or len(first.shape) > _MATRIX:
        return False
    # Nothing is known of a shape that has no sizes.
    is_matrix = second.type in _SCORES and len(second.shape) in (0, _MATRIX)
    return is_matrix or second.type.startswith("seq(map(")


def _cells(name: str, answer: Any, rows: int) -> list[Any]:
    try:
        return as_array(answer, rows).tolist()  # type: ignore[no-any-return]
    except ModelOutputInvalid as error:
        raise ModelOutputInvalid(
            f"output '{name}': {error}; where it is not about rows, keep only the others: "
            "onnx.utils.extract_model"
        ) from error


def as_matrix(scores: Any) -> Any:
    """Give probabilities as a row per row, also where they came as maps by class."""
    if isinstance(scores, list):
        return np.array([list(row.values()) for row in scores])
    return scores
