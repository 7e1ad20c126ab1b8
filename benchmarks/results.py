"""Work out medians, spreads and ratios from what was measured.

A ratio is taken within each repetition, between servers that ran within minutes of each
other, and only then its median: a machine that slows down halfway slows down both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.cases import Case
from benchmarks.contenders import EMPTY, FASTAPI_ASYNC, FASTAPI_DEF, LIMIT, NO_MODEL
from benchmarks.measure import Round, Sample

Value = Callable[[Sample], float]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, the least and the greatest."""

    middle: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Take them from some values."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the results: a server with a model, asked in one way."""

    server: str
    model: str
    case: Case


def rate(sample: Sample) -> float:
    """Give the requests a second."""
    return sample.load.requests_per_second


def p50(sample: Sample) -> float:
    """Give the median of the latency."""
    return sample.load.p50_ms


def p99(sample: Sample) -> float:
    """Give the latency that one of a hundred exceeds."""
    return sample.load.p99_ms


def servers(rounds: Sequence[Round], model: str, case: Case) -> list[str]:
    """Give the servers that have a cell, in the order of the first repetition."""
    found = (one.server for one in rounds if one.model == model and _find(one, case))
    return list(dict.fromkeys(found))


def spread(rounds: Sequence[Round], cell: Cell, value: Value) -> Spread | None:
    """Give the spread of one value over the repetitions, where there is such a cell."""
    values = _by_repetition(rounds, cell, value)
    return Spread.of(list(values.values())) if values else None


def spread_of_rounds(
    rounds: Sequence[Round], server: str, model: str, value: Callable[[Round], float]
) -> Spread | None:
    """Give the spread of what is measured once per start."""
    values = [value(one) for one in rounds if (one.server, one.model) == (server, model)]
    return Spread.of(values) if values else None


def ratio(rounds: Sequence[Round], cell: Cell, baseline: Cell, value: Value) -> Spread | None:
    """Compare one value, repetition by repetition, where both cells have it."""
    values = _by_repetition(rounds, cell, value)
    others = _by_repetition(rounds, baseline, value)
    ratios = [values[n] / others[n] for n in sorted(values.keys() & others.keys())]
    return Spread.of(ratios) if ratios else None


def fastapi(rounds: Sequence[Round], model: str, case: Case) -> Cell:
    """Give FastAPI's cell: of its two forms the one that answers more requests there."""
    forms = [Cell(server, model, case) for server in (FASTAPI_ASYNC, FASTAPI_DEF)]
    return max(forms, key=lambda cell: _middle(spread(rounds, cell, rate)))


def limit(model: str, case: Case) -> Cell:
    """Give the limit row's cell."""
    return Cell(LIMIT, model, case)


def empty(case: Case) -> Cell:
    """Give the cell of the handler without a model."""
    return Cell(EMPTY, NO_MODEL, case)


def _middle(found: Spread | None) -> float:
    return found.middle if found else 0.0


def _by_repetition(rounds: Sequence[Round], cell: Cell, value: Value) -> Mapping[int, float]:
    return {
        one.repetition: value(sample)
        for one in rounds
        if (one.server, one.model) == (cell.server, cell.model)
        and (sample := _find(one, cell.case))
    }


def _find(one: Round, case: Case) -> Sample | None:
    return next((sample for sample in one.samples if sample.case == case), None)
