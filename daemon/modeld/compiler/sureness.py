"""Refuse to compile a model that does not answer every row that it may be sent.

A compiled model would answer where the native one fails; it fails as well only where an encoder
does, on what that has not seen. And where the native model answers a row otherwise alone than
among others, nothing could be equal to it.
"""

import warnings

import numpy as np

from modeld.compiler.probes import ordinary
from modeld.compiler.proof import ask, compare
from modeld.errors import CompileFailed
from modeld.runtimes.model import Rows, first_line
from modeld.runtimes.native import NativeModel

_ALONE = 64


def check_each_is_answered(model: NativeModel, golden: Rows | None) -> None:
    """Ask the native model what any client may ask; raises `CompileFailed`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = ordinary(model, golden)
        error = _failure(model, rows)
        if error is not None:
            raise CompileFailed(
                "the native model fails on a row that it may be sent, where a compiled one would "
                f"answer: {first_line(error)}"
            )
        _check_alone(model, rows)


def _failure(model: NativeModel, rows: Rows) -> Exception | None:
    """Give what the model raises on a row, on the first of those on which it does."""
    try:
        model.predict(rows)
    except Exception as error:
        # Whatever an encoder or a step of somebody's own raises.
        if len(rows) == 1:
            return error
        half = len(rows) // 2
        return _failure(model, rows[:half]) or _failure(model, rows[half:])
    return None


def _check_alone(model: NativeModel, rows: Rows) -> None:
    signature = model.signature
    some = rows[np.linspace(0, len(rows) - 1, _ALONE).astype(np.int64)]
    chances = signature.has_probabilities
    together = ask(model, some, with_probabilities=chances)
    for place in range(len(some)):
        alone = ask(model, some[place : place + 1], with_probabilities=chances)
        try:
            compare(together.pick(np.array([place])), alone, has_labels=bool(signature.classes))
        except CompileFailed as error:
            raise CompileFailed(
                f"the native model answers a row otherwise when it comes alone: {error}"
            ) from error
