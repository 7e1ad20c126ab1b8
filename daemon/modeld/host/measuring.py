"""Say how well a model does on rows whose answers are known.

Classifiers: accuracy, macro F1, and log loss where there are probabilities. Others: the mean
absolute error, the root of the mean squared error, and R².
"""

from collections.abc import Iterator
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from modeld.domain import Metric
from modeld.host.samples_table import Known, Table
from modeld.runtimes.model import Array, Model, as_array


class Measured(NamedTuple):
    """What was measured, on how many rows."""

    metrics: tuple[Metric, ...] = ()
    rows: int = 0


class _Answered(NamedTuple):
    """Some rows' true answers, and those that were found."""

    truths: Array
    found: Array
    chances: Array | None


def measure(model: Model, table: Table) -> Measured:
    """Ask for all rows of a table that the model answers, and compare with its target."""
    answered = [part for known in table.known(model.signature) for part in _ask(model, known)]
    if not answered:
        return Measured()
    truths = np.concatenate([part.truths for part in answered])
    found = np.concatenate([part.found for part in answered])
    parts = [part.chances for part in answered if part.chances is not None]
    chances = np.concatenate(parts) if parts else None
    is_of_classes = bool(model.signature.classes) or found.dtype.kind != "f"
    measures = (
        _of_classes(model, truths, found, chances) if is_of_classes else _of_numbers(truths, found)
    )
    metrics = tuple(Metric(name, float(value)) for name, value in measures if isfinite(value))
    return Measured(metrics, len(truths))


def _ask(model: Model, known: Known) -> Iterator[_Answered]:
    """Leave out the rows that the model does not answer, by halving."""
    rows, truths = known
    has_chances = model.signature.has_probabilities and bool(model.signature.classes)
    try:
        found = as_array(model.predict(rows), len(rows))
        chances = np.asarray(model.probabilities(rows)) if has_chances else None
    except Exception:
        # A model may raise anything on a row that it does not take.
        half = len(rows) // 2
        if half:
            yield from _ask(model, Known(rows[:half], truths[:half]))
            yield from _ask(model, Known(rows[half:], truths[half:]))
        return
    yield _Answered(truths, found, chances)


def _of_classes(
    model: Model, truths: Array, found: Array, chances: Array | None
) -> Iterator[tuple[str, float]]:
    from sklearn.metrics import accuracy_score, f1_score, log_loss

    kind = truths.dtype.type
    classes: Any = np.array(model.signature.classes).astype(kind)
    answers = found.astype(kind)
    yield "accuracy", accuracy_score(truths, answers)
    yield "f1_macro", f1_score(truths, answers, average="macro", zero_division=0.0)
    if chances is not None and np.isin(truths, classes).all():
        order = np.argsort(classes)
        yield "log_loss", log_loss(truths, chances[:, order], labels=classes[order])


def _of_numbers(truths: Array, found: Array) -> Iterator[tuple[str, float]]:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    yield "mae", mean_absolute_error(truths, found)
    yield "rmse", root_mean_squared_error(truths, found)
    if len(truths) > 1:
        yield "r2", r2_score(truths, found)
