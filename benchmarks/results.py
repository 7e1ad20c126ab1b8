"""Work out medians, spreads, ratios and goals from what was measured.

A ratio is taken within each repetition, between servers that ran within a minute of each
other, and only then its median: a machine that slows down halfway slows down both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.contenders import (
    FASTAPI_FOREST,
    FASTAPI_PLAIN,
    FASTAPI_REGRESSION,
    NATIVE_FOREST,
    NATIVE_REGRESSION,
)
from benchmarks.measure import Round, Sample

MOST_CONNECTIONS = 32


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
class Goal:
    """Something that the project wants to reach, and what was found."""

    text: str
    found: str
    is_met: bool


def names(rounds: Sequence[Round]) -> list[str]:
    """Give the servers in a fixed order: that of the first repetition."""
    return list(dict.fromkeys(one.server for one in rounds))


def spread(
    rounds: Sequence[Round], server: str, connections: int, value: Callable[[Sample], float]
) -> Spread:
    """Give the spread of one value over the repetitions."""
    return Spread.of([value(_sample(one, connections)) for one in rounds if one.server == server])


def spread_of_rounds(
    rounds: Sequence[Round], server: str, value: Callable[[Round], float]
) -> Spread:
    """Give the spread of what is measured once per start."""
    return Spread.of([value(one) for one in rounds if one.server == server])


def ratio(rounds: Sequence[Round], server: str, baseline: str, connections: int) -> Spread:
    """Compare requests per second, repetition by repetition."""
    rates = {
        (one.server, one.repetition): _sample(one, connections).load.requests_per_second
        for one in rounds
    }
    repetitions = sorted({one.repetition for one in rounds})
    return Spread.of([rates[server, n] / rates[baseline, n] for n in repetitions])


def goals(rounds: Sequence[Round]) -> list[Goal]:
    """Say for each goal whether the run met it."""
    return [
        _ratio_goal(rounds, NATIVE_REGRESSION, FASTAPI_REGRESSION, 8.0),
        _ratio_goal(rounds, NATIVE_REGRESSION, FASTAPI_PLAIN, 8.0),
        _ratio_goal(rounds, NATIVE_FOREST, FASTAPI_FOREST, 14.0),
        _memory_goal(rounds, 340.0),
    ]


def _ratio_goal(rounds: Sequence[Round], server: str, baseline: str, least: float) -> Goal:
    found = ratio(rounds, server, baseline, MOST_CONNECTIONS)
    text = f"{server}: at least {least:g}× '{baseline}' with {MOST_CONNECTIONS} connections"
    return Goal(text, f"{found.middle:.1f}×", found.middle >= least)


def _memory_goal(rounds: Sequence[Round], most_mb: float) -> Goal:
    found = spread_of_rounds(rounds, NATIVE_REGRESSION, lambda one: one.memory_after_mb)
    text = f"{NATIVE_REGRESSION}: at most {most_mb:g} MB with one worker"
    return Goal(text, f"{found.greatest:.0f} MB", found.greatest <= most_mb)


def _sample(one: Round, connections: int) -> Sample:
    return next(sample for sample in one.samples if sample.connections == connections)
