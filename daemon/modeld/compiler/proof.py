"""Compare the answers of a candidate with those of the native model, as a client sees them.

Labels must be the same JSON. Numbers may differ as golden samples may: by what the last
digits of floats can do. Rows on which the native model fails, or answers what JSON cannot
say, prove nothing and are left out.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modeld.errors import CompileFailed, ModelError, ModelOutputInvalid
from modeld.runtimes.golden import ABSOLUTE, RELATIVE
from modeld.runtimes.model import Array, Model, as_array, pack, unpack

_CHUNK = 2048
_ROW_BY_ROW = 256


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model answers to rows: predictions, and probabilities where it has them."""

    predictions: Array
    probabilities: Array | None

    def pick(self, index: Array) -> "Answers":
        """The answers to some of the rows."""
        chances = None if self.probabilities is None else self.probabilities[index]
        return Answers(self.predictions[index], chances)


@dataclass(frozen=True, slots=True)
class Expected:
    """Rows that the native model answers, its answers, and rows on which it fails."""

    rows: Array
    answers: Answers
    refused: Array


def ask(model: Model, rows: Array, *, with_probabilities: bool) -> Answers:
    """Ask about all rows at once."""
    with np.errstate(all="ignore"):
        predictions = as_array(model.predict(rows), len(rows))
        if not with_probabilities:
            return Answers(predictions, None)
        return Answers(predictions, as_array_of_two(model.probabilities(rows), len(rows)))


def as_array_of_two(answer: Any, rows: int) -> Array:
    """Check that probabilities are a matrix; raises `ModelOutputInvalid`."""
    array = np.asarray(answer)
    if array.ndim != 2 or len(array) != rows:
        raise ModelOutputInvalid(f"probabilities of shape {array.shape} for {rows} row(s)")
    return array


def expect(model: Model, rows: Array, is_over: Callable[[], bool]) -> Expected:
    """Ask the native model; `is_over` ends it early, after some rows at least."""
    parts = []
    for start in range(0, len(rows), _CHUNK):
        parts += list(_answerable(model, rows[start : start + _CHUNK]))
        if is_over():
            break
    if not parts:
        raise CompileFailed("the native model answers none of the rows that it was tried with")
    return join(parts)


def _answerable(model: Model, rows: Array) -> Iterator[Expected]:
    """Leave out rows that the native model does not answer, by halving."""
    try:
        answers = ask(model, rows, with_probabilities=model.signature.has_probabilities)
    except Exception:
        # A model may raise anything on a row that it does not take.
        if len(rows) > 1:
            half = len(rows) // 2
            yield from _answerable(model, rows[:half])
            yield from _answerable(model, rows[half:])
        return
    good = _is_finite(answers.predictions)
    if answers.probabilities is not None:
        good &= _is_finite(answers.probabilities)
    if good.any():
        index = np.flatnonzero(good)
        yield Expected(rows[index], answers.pick(index), rows[:0])


def _is_finite(array: Array) -> Array:
    if array.dtype.kind != "f":
        return np.ones(len(array), bool)
    return np.asarray(np.isfinite(array.reshape(len(array), -1)).all(axis=1))


def join(parts: Sequence[Expected]) -> Expected:
    """Put what was expected of several batches of rows together."""
    chances = [p.answers.probabilities for p in parts if p.answers.probabilities is not None]
    return Expected(
        np.concatenate([part.rows for part in parts]),
        Answers(
            np.concatenate([part.answers.predictions for part in parts]),
            np.concatenate(chances) if chances else None,
        ),
        np.concatenate([part.refused for part in parts]),
    )


def prove(candidate: Model, expected: Expected, *, has_labels: bool) -> float:
    """Give the greatest difference of a number; raises `CompileFailed` where answers differ.

    A runtime takes other paths for one row than for many, so some rows are asked alone.
    """
    for row in expected.refused:
        if not isinstance(failure(candidate, row), ModelError):
            raise CompileFailed("the converted model answers what the native one fails on")
    count = len(expected.rows)
    chunks = [np.arange(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    alone = np.unique(np.linspace(0, count - 1, _ROW_BY_ROW).astype(np.int64))
    together = _ask_each(candidate, expected, chunks)
    greatest = compare(expected.answers, together, has_labels=has_labels)
    one_by_one = _ask_each(candidate, expected, [alone[i : i + 1] for i in range(len(alone))])
    try:
        asked = expected.answers.pick(alone)
        return max(greatest, compare(asked, one_by_one, has_labels=has_labels))
    except CompileFailed as error:
        raise CompileFailed(f"{error} when rows come one at a time") from error


def failure(model: Model, row: Array) -> Exception | None:
    """Give what a model raises on a row; a native one may raise anything."""
    try:
        model.predict(row[np.newaxis])
    except Exception as error:
        return error
    return None


def _ask_each(candidate: Model, expected: Expected, batches: list[Array]) -> Answers:
    has_chances = expected.answers.probabilities is not None
    try:
        with np.errstate(all="ignore"):
            parts = [
                Expected(rows, ask(candidate, rows, with_probabilities=has_chances), rows[:0])
                for rows in (expected.rows[index] for index in batches)
            ]
    except Exception as error:
        # onnxruntime raises classes of its own, one for each of its statuses.
        text = " ".join(str(error).split())[:200]
        raise CompileFailed(f"the converted model fails on a row: {text}") from error
    return join(parts).answers


def compare(native: Answers, found: Answers, *, has_labels: bool) -> float:
    """Give the greatest difference of a number; raises `CompileFailed` where answers differ."""
    if has_labels or native.predictions.dtype.kind != "f":
        _compare_labels(native.predictions, found.predictions)
        greatest = 0.0
    else:
        greatest = _compare_numbers(native.predictions, found.predictions, "predictions")
    if native.probabilities is None or found.probabilities is None:
        return greatest
    return max(
        greatest, _compare_numbers(native.probabilities, found.probabilities, "probabilities")
    )


def _compare_labels(native: Array, found: Array) -> None:
    wanted, given = _texts(native), _texts(found)
    wrong = sum(a != b for a, b in zip(wanted, given, strict=True))
    if not wrong:
        return
    index = next(i for i, (a, b) in enumerate(zip(wanted, given, strict=True)) if a != b)
    raise CompileFailed(
        f"{wrong:,} of {len(wanted):,} labels differ, as {given[index][:60]} for "
        f"{wanted[index][:60]}"
    )


def _texts(array: Array) -> list[str]:
    """Each row's answer as JSON."""
    values, content = pack(array)
    return [json.dumps(answer) for answer in unpack(values, memoryview(content))]


def _compare_numbers(native: Array, found: Array, what: str) -> float:
    if native.shape != found.shape:
        raise CompileFailed(f"{what} have the shape {found.shape}, not {native.shape}")
    if found.dtype.kind not in "fiu":
        raise CompileFailed(f"{what} are no numbers")
    differences = np.abs(native.astype(np.float64) - found.astype(np.float64))
    # Written so that NaN fails as well.
    wrong = ~(differences <= ABSOLUTE + RELATIVE * np.abs(native))
    if wrong.any():
        rows = int(wrong.reshape(len(wrong), -1).any(axis=1).sum())
        most = float(np.nanmax(differences, initial=0.0))
        raise CompileFailed(f"{rows:,} of {len(native):,} {what} differ, by up to {most:.0e}")
    return float(differences.max(initial=0.0))
