"""Read what two hosts answered to the same table, and where it differs.

A host wrote one array after another for each part of the table: answers, truths where there
is a target, and log losses where there are any. Nothing in these files can be code.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from modeld.cli.measuring.measures import Part
from modeld.errors import TableInvalid
from modeld.runtimes.golden import ABSOLUTE, RELATIVE
from modeld.runtimes.model import Array

SHOWN = 10


class Written(NamedTuple):
    """A host's file, and which arrays stand in it."""

    path: Path
    has_truths: bool
    has_losses: bool


def parts(first: Written, second: Written) -> Iterator[Part]:
    """Give the answers of both, part by part."""
    for one, two in zip(_parts(first), _parts(second), strict=True):
        truths = one[1] if one[1] is not None else one[0][:0]
        yield Part(truths, one[0], two[0], one[2], two[2])


def _parts(written: Written) -> Iterator[tuple[Array, Array | None, Array | None]]:
    with written.path.open("rb") as file:
        while file.peek(1):
            answers = _read(file)
            truths = _read(file) if written.has_truths else None
            yield answers, truths, _read(file) if written.has_losses else None


def _read(file: Any) -> Array:
    try:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    except ValueError as error:
        raise TableInvalid(f"what a host wrote is no array: {error}") from error
    # Labels may be whole numbers here and truth values there.
    return array if array.dtype.kind == "U" else array.astype(np.float64)


class Difference(NamedTuple):
    """A row, counted from 1, that two versions answer differently."""

    row: int
    first: Any
    second: Any
    truth: Any


@dataclass(slots=True)
class Agreement:
    """How often both answer the same; quantities within a tolerance, as golden samples do."""

    is_classes: bool
    rows: int = 0
    equal: int = 0
    distance: float = 0.0
    differences: list[Difference] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The share of rows on which they agree."""
        return self.equal / self.rows

    @property
    def mean_distance(self) -> float | None:
        """By how much quantities differ in the mean."""
        return None if self.is_classes else self.distance / self.rows

    def add(self, part: Part) -> None:
        """Take rows in."""
        same = self._same(part)
        first_row = self.rows + 1
        self.rows += len(same)
        self.equal += int(same.sum())
        for index in np.flatnonzero(~same)[: SHOWN - len(self.differences)]:
            truth = _plain(part.truths[index]) if len(part.truths) else None
            answers = (_plain(part.first[index]), _plain(part.second[index]))
            self.differences.append(Difference(first_row + int(index), *answers, truth))

    def _same(self, part: Part) -> Array:
        if self.is_classes or part.first.dtype.kind == "U":
            same = part.first == part.second
        else:
            distances = np.abs(part.second - part.first)
            self.distance += float(distances.reshape(len(distances), -1).mean(axis=1).sum())
            same = distances <= ABSOLUTE + RELATIVE * np.abs(part.first)
        whole: Array = same.reshape(len(same), -1).all(axis=1)
        return whole


def _plain(answer: Any) -> Any:
    """Give Python's value; 1 and not 1.0."""
    plain = answer.tolist() if isinstance(answer, np.ndarray | np.generic) else answer
    if isinstance(plain, list):
        return list(map(_plain, plain))
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


def labels_of(both: Iterator[Part]) -> tuple[Array, Array]:
    """Give all labels that are true and all that are answered, sorted."""
    true, answered = [], []
    for part in both:
        true.append(np.unique(part.truths))
        answered.append(_labels(part.first, part.second))
    return _labels(*true), _labels(*answered)


def _labels(*arrays: Array) -> Array:
    return np.unique(np.concatenate(arrays))
