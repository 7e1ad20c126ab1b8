"""Write a table together with the answers to its rows, part by part.

    prediction             what the version answers; prediction_0, prediction_1, … where it
                           answers several things at once
    probability_<class>    where probabilities were asked for

The table's own columns come first and stay as they are. A CSV's cells are texts; in JSON and
Parquet, those that the version takes as numbers become numbers.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from modeld.domain import InputColumn, Signature
from modeld.errors import TableInvalid
from modeld.host.answers import Answers
from modeld.runtimes.table_rows import inputs_of, numbers_in
from modeld.runtimes.tables import Cells, Piece

PREDICTION = "prediction"

Write = Callable[[Piece, Answers], None]
_Columns = Mapping[str, Cells]


@contextmanager
def open_writer(path: Path, form: str, signature: Signature) -> Iterator[Write]:
    """Open a file for rows and answers; raises `TableInvalid` where they cannot be written."""
    writers = {
        "csv": _writing_csv,
        "jsonl": _writing_lines,
        "parquet": _writing_parquet,
        "arrays": _writing_arrays,
    }
    try:
        with writers[form](path, signature) as write:
            yield write
    except OSError as error:
        raise TableInvalid(f"the answers cannot be written: {error.strerror or error}") from error


@contextmanager
def _writing_csv(path: Path, signature: Signature) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")

        def write(piece: Piece, answers: Answers) -> None:
            columns = _joined(piece.columns, answers, signature)
            if piece.first == 1:
                writer.writerow(columns)
            cells = columns.values() if piece.is_text else map(_as_texts, columns.values())
            writer.writerows(zip(*cells, strict=True))

        yield write


def _as_texts(column: Cells) -> list[Any]:
    return [json.dumps(each) if isinstance(each, list | dict) else each for each in _plain(column)]


@contextmanager
def _writing_lines(path: Path, signature: Signature) -> Iterator[Write]:
    encode = json.JSONEncoder(ensure_ascii=False, default=str).encode
    with path.open("w", encoding="utf-8", newline="\n") as file:

        def write(piece: Piece, answers: Answers) -> None:
            columns = _joined(typed_columns(piece, signature), answers, signature)
            names = list(columns)
            for row in zip(*map(_plain, columns.values()), strict=True):
                file.write(encode(dict(zip(names, row, strict=True))) + "\n")

        yield write


@contextmanager
def _writing_parquet(path: Path, signature: Signature) -> Iterator[Write]:
    try:
        import pyarrow  # type: ignore[import-untyped]  # it ships no types
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise TableInvalid('Parquet needs pyarrow: pip install "modeld[parquet]"') from error
    writers: list[Any] = []

    def write(piece: Piece, answers: Answers) -> None:
        columns = _joined(typed_columns(piece, signature), answers, signature)
        try:
            schema = writers[0].schema if writers else _schema(columns, piece)
            arrays = [
                pyarrow.array(column, field.type, from_pandas=True)
                for column, field in zip(columns.values(), schema, strict=True)
            ]
        except pyarrow.ArrowException as error:
            raise TableInvalid(f"Parquet cannot hold it: {error}; write .jsonl instead") from error
        if not writers:
            writers.append(parquet.ParquetWriter(path, schema))
        writers[0].write_table(pyarrow.Table.from_arrays(arrays, schema=schema))

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()


def _schema(columns: _Columns, piece: Piece) -> Any:
    """Give each column the type that it has in the table, else that of its first cells."""
    import pyarrow

    fields = []
    for name, column in columns.items():
        kind = (
            piece.schema.field(name).type
            if piece.schema is not None and name in piece.columns
            else pyarrow.array(column, from_pandas=True).type
        )
        fields.append((name, pyarrow.string() if pyarrow.types.is_null(kind) else kind))
    return pyarrow.schema(fields)


@contextmanager
def _writing_arrays(path: Path, _: Signature) -> Iterator[Write]:
    """Write predictions, truths and losses of each part, one array after another."""
    with path.open("wb") as file:

        def write(_: Piece, answers: Answers) -> None:
            for array in (answers.predictions, answers.truths, answers.losses):
                if array is not None:
                    np.save(file, array, allow_pickle=False)

        yield write


def typed_columns(piece: Piece, signature: Signature, truth: str | None = None) -> _Columns:
    """Make numbers of those cells of a CSV that the version takes as numbers."""
    if not piece.is_text:
        return piece.columns
    columns: dict[str, Cells] = {
        name: [cell or None for cell in column] for name, column in piece.columns.items()
    }
    if signature.rank == 1:
        names = inputs_of(piece, signature, truth)
        known = signature.columns or (InputColumn(""),) * len(names)
        for name, column in zip(names, known, strict=True):
            if column.is_used and not column.is_text:
                columns[name] = numbers_in(piece, name)
    return columns


def _joined(columns: _Columns, answers: Answers, signature: Signature) -> _Columns:
    """Put what was answered beside the table's own columns."""
    added = dict(_added(answers, signature))
    for name in added:
        if name in columns:
            raise TableInvalid(f'the table has a column "{name}" already: rename it')
    return {**columns, **added}


def _added(answers: Answers, signature: Signature) -> Iterator[tuple[str, Cells]]:
    predictions = answers.predictions
    if predictions.ndim == 1:
        yield PREDICTION, predictions.tolist()
    else:
        for index in range(predictions.shape[1]):
            yield f"{PREDICTION}_{index}", predictions[:, index].tolist()
    if answers.scores is not None:
        for index in range(answers.scores.shape[1]):
            named = index < len(signature.classes)
            name = signature.classes[index] if named else index
            yield f"probability_{name}", answers.scores[:, index].tolist()


def _plain(column: Cells) -> list[Any]:
    """Give Python's values, `None` where a value is missing."""
    cells = column.tolist() if isinstance(column, np.ndarray) else column
    return [None if isinstance(cell, float) and cell != cell else cell for cell in cells]  # noqa: PLR0124
