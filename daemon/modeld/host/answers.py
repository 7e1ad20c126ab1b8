"""Hold what a version answers to some rows of a table, in arrays without objects."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modeld.domain import Scalar
from modeld.runtimes.model import Array

_LEAST = float(np.finfo(np.float64).eps)
"""Probabilities are not taken for smaller, or one sure mistake would outweigh all else."""


@dataclass(frozen=True, slots=True)
class Answers:
    """One entry per row in each array.

    `predictions` has two dimensions where a model answers several numbers or labels at once.
    `losses` is the log loss of each row.
    """

    predictions: Array
    scores: Array | None = None
    truths: Array | None = None
    losses: Array | None = None


def plain_array(answer: Array) -> Array:
    """Give whole numbers, floats, truth values or texts; anything mixed as JSON texts."""
    kind = answer.dtype.kind
    if kind in "iu":
        return answer.astype(np.int64)
    if kind == "f":
        return answer.astype(np.float64)
    if kind in "bU":
        return answer
    cells = answer.ravel().tolist()
    if all(type(cell) is str for cell in cells):
        plain = np.array(cells, dtype=np.str_)
    elif all(type(cell) in (int, float, bool) for cell in cells):
        return plain_array(np.array(cells).reshape(answer.shape))
    else:
        plain = np.array([json.dumps(cell, ensure_ascii=False) for cell in cells])
    return plain.reshape(answer.shape)


def losses_of(scores: Array | None, truths: Array, classes: Sequence[Scalar]) -> Array | None:
    """Give the log loss of each row: the negative logarithm of what its true class was given."""
    if scores is None or scores.shape[1] != len(classes):
        return None
    places: dict[Any, int] = {name: place for place, name in enumerate(classes)}
    found = np.array([places.get(truth, -1) for truth in truths.tolist()])
    rows = np.arange(len(found))
    shares = np.where(found >= 0, scores[rows, found], 0.0) / scores.sum(axis=1)
    losses: Array = -np.log(np.clip(shares, _LEAST, 1.0))
    return losses
