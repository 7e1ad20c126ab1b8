"""Answer the rows of a table with the version that is open here, part by part.

The table may be longer than memory: what is held is a part of it, and what was answered is
written at once. A row that the version does not take, or fails on, ends it and is named.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from modeld.domain import Signature
from modeld.errors import ModeldError, ModelError, NoProbabilities, TableInvalid
from modeld.host.answers import Answers, losses_of, plain_array
from modeld.host.child import arm_timer
from modeld.host.failures import describe
from modeld.host.scored_files import open_writer, typed_columns
from modeld.messages import Clock, Clocked, Look, Looked, Score, Scored, Scoring
from modeld.runtimes.model import Array, Model, Rows, as_array, pack
from modeld.runtimes.table_rows import inputs_of, to_rows, to_truths
from modeld.runtimes.tables import Cells, Piece, read_table

_LONE_ROWS = 256
"""How many different rows are answered alone, when that is timed."""


class Scorer:
    """One loaded version and the first rows of the table that it last scored."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._first_rows: Rows = []

    def obey(
        self, order: Score | Clock | Look, tell: Callable[[Scoring], None]
    ) -> Scored | Clocked | Looked:
        """Do what is ordered, and tell of it meanwhile; raises a `ModeldError`."""
        match order:
            case Score():
                return self._score(order, tell)
            case Clock():
                return self._clock(order)
            case Look():
                return self._look(order)

    def _score(self, order: Score, tell: Callable[[Scoring], None]) -> Scored:
        """Answer and write all rows; raises `TableInvalid` or `ModelError`."""
        signature = self._model.signature
        if order.wants_probabilities and not order.truth and not signature.has_probabilities:
            raise NoProbabilities("this version gives no probabilities")
        table, rows, answers = Path(order.table), 0, None
        with open_writer(Path(order.target), order.form, signature) as write:
            for piece in _pieces(table, order.most_rows):
                arm_timer(order.limit_seconds)
                with _naming(table):
                    answers = self._answers(piece, order)
                    write(piece, answers)
                rows += len(piece)
                tell(Scoring(rows, piece.share))
        if answers is None:
            raise TableInvalid(f"{table.name}: it has no rows")
        kind = answers.predictions.dtype.kind
        return Scored(
            rows=rows,
            is_classes=bool(signature.classes) or kind != "f",
            is_text=kind == "U",
            has_losses=answers.losses is not None,
        )

    def _clock(self, order: Clock) -> Clocked:
        """Time rows that come alone, as a server would answer them."""
        arm_timer(order.limit_seconds)
        seconds = []
        for index in range(order.rows):
            at = index % len(self._first_rows)
            row = self._first_rows[at : at + 1].copy()
            started = time.perf_counter()
            pack(as_array(self._model.predict(row), 1))
            seconds.append(time.perf_counter() - started)
        return Clocked(tuple(seconds))

    def _look(self, order: Look) -> Looked:
        """Give the inputs of some rows of a table."""
        found: list[str] = []
        wanted = iter(order.rows)
        number = next(wanted, 0)
        for piece in _pieces(Path(order.table), max(order.rows, default=-1)):
            arm_timer(order.limit_seconds)
            columns = _inputs(piece, self._model.signature, order.truth or None)
            while number and number < piece.first + len(piece):
                index = number - piece.first
                row = {name: _cell(cells[index]) for name, cells in columns.items()}
                found.append(json.dumps(row, default=str, ensure_ascii=False))
                number = next(wanted, 0)
        return Looked(tuple(found))

    def _answers(self, piece: Piece, order: Score) -> Answers:
        model, truth = self._model, order.truth
        rows = to_rows(piece, model.signature, truth or None)
        if piece.first == 1:
            self._first_rows = rows[:_LONE_ROWS]
        predictions = plain_array(self._tried(_predicted(model), rows, piece.first))
        scores = None
        if order.wants_probabilities and model.signature.has_probabilities:
            scores = self._tried(_probable(model), rows, piece.first)
        if not truth:
            return Answers(predictions, scores)
        truths = to_truths(piece, truth, is_text=predictions.dtype.kind == "U")
        losses = losses_of(scores, truths, model.signature.classes)
        return Answers(predictions, scores, truths, losses)

    def _tried(self, answer: Callable[[Rows], Array], rows: Rows, first: int) -> Array:
        try:
            # A copy: models may write into their rows.
            return answer(rows.copy())
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            # A model is somebody's code and may raise anything.
            raise ModelError(_located(answer, rows, first, error)) from error


def _pieces(table: Path, most_rows: int) -> Iterator[Piece]:
    """Read a table, up to a number of rows; 0 means all."""
    for piece in read_table(table):
        left = most_rows - piece.first + 1
        if most_rows and left <= 0:
            return
        yield piece.until(left) if most_rows else piece


@contextmanager
def _naming(table: Path) -> Iterator[None]:
    """Name the table in what is wrong with its rows."""
    try:
        yield
    except (TableInvalid, ModelError) as error:
        raise type(error)(f"{table.name}: {error}") from error


def _predicted(model: Model) -> Callable[[Rows], Array]:
    def predict(rows: Rows) -> Array:
        answer = as_array(model.predict(rows), len(rows))
        pack(answer)  # refuses what no server could answer
        return answer

    return predict


def _probable(model: Model) -> Callable[[Rows], Array]:
    def predict(rows: Rows) -> Array:
        scores = as_array(model.probabilities(rows), len(rows))
        pack(scores)
        return scores.reshape(len(rows), -1)

    return predict


def _located(answer: Callable[[Rows], Array], rows: Rows, first: int, error: BaseException) -> str:
    """Find the row that a model fails on by halving; some fail only on several together."""
    start, end = 0, len(rows)
    while end - start > 1:
        middle = (start + end) // 2
        for begin, stop in ((start, middle), (middle, end)):
            problem = _problem(answer, rows[begin:stop])
            if problem is not None:
                start, end, error = begin, stop, problem
                break
        else:
            return f"rows {first + start} to {first + end - 1}: {_said(error)}"
    return f"row {first + start}: {_said(error)}"


def _problem(answer: Callable[[Rows], Array], rows: Rows) -> BaseException | None:
    try:
        answer(rows.copy())
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return error
    return None


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, ModeldError) else describe(error)


def _inputs(piece: Piece, signature: Signature, truth: str | None) -> Mapping[str, Cells]:
    """Give the columns that are inputs; where rows are texts, all but the truth."""
    columns = typed_columns(piece, signature, truth)
    is_text = signature.rank == 0
    names = list(columns) if is_text else inputs_of(piece, signature, truth)
    return {name: columns[name] for name in names if name != truth and name in columns}


def _cell(cell: Any) -> Any:
    plain = cell.item() if isinstance(cell, np.generic) else cell
    return None if isinstance(plain, float) and not isfinite(plain) else plain
