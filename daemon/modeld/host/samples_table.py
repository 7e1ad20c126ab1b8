"""The table of rows that comes with a model: its columns, its first rows, and all of them.

It is read in pieces, so that a large one takes no memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

from modeld.domain import InputColumn, Signature
from modeld.errors import TableInvalid
from modeld.runtimes.columns import as_object
from modeld.runtimes.model import Array, Rows
from modeld.runtimes.table_rows import (
    holds_numbers,
    holds_texts,
    input_names,
    to_rows,
    to_truths,
)
from modeld.runtimes.tables import Piece, read_table


class Known(NamedTuple):
    """Rows as a runtime takes them, and the answers that are known for them."""

    rows: Rows
    truths: Array


class Table:
    """A file of rows. `target` names the column that is to be predicted; empty for none.

    Raises `TableInvalid`, which names the file, here and in whatever reads it.
    """

    def __init__(self, path: str, target: str) -> None:
        self._path = Path(path)
        self._target = target
        first = next(self._pieces(), None)
        if first is None:
            raise TableInvalid(f"{self._path.name}: it has no rows")
        if target and target not in first.columns:
            found = ", ".join(first.columns)
            raise TableInvalid(f"{self._path.name}: it has no column {target}; found {found}")
        self._first = first

    @property
    def columns(self) -> tuple[InputColumn, ...]:
        """Its columns without the target, in order; none where they have no names."""
        if not self._first.has_names:
            return ()
        return tuple(
            InputColumn(name, is_text=not holds_numbers(self._first, name))
            for name in input_names(self._first, self._target)
        )

    def holds_texts(self, name: str) -> bool:
        """Tell whether a column is there and holds texts in its first piece, and no number."""
        return holds_texts(self._first, name)

    def inputs(self, signature: Signature) -> list[Any]:
        """Give the rows of its first piece as `/predict` takes them."""
        rows = self._rows(self._first, signature)
        if signature.rank == 0:
            return list(rows)
        listed = [[_plain(cell) for cell in row] for row in rows.tolist()]
        columns = signature.columns
        return [as_object(row, columns) for row in listed] if columns else listed

    def known(self, signature: Signature) -> Iterator[Known]:
        """Give all rows, with the target's column: texts if the classes are, else float64."""
        is_text = any(isinstance(each, str) for each in signature.classes)
        for piece in self._pieces():
            with self._named():
                truths = to_truths(piece, self._target, is_text=is_text)
            yield Known(self._rows(piece, signature), truths)

    def _pieces(self) -> Iterator[Piece]:
        return read_table(self._path)

    def _rows(self, piece: Piece, signature: Signature) -> Rows:
        """Read missing cells too: whether the model takes them is found by asking it."""
        width = len(signature.columns) or len(input_names(piece, self._target))
        with self._named():
            every = replace(signature, nullable=(True,) * width)
            return to_rows(piece, every, self._target)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except TableInvalid as error:
            raise TableInvalid(f"{self._path.name}: {error}") from error


def _plain(cell: Any) -> Any:
    return None if isinstance(cell, float) and isnan(cell) else cell
