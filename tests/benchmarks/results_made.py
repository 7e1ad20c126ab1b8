"""Results as a run would give them, for the tests of what is made of them."""

from collections.abc import Iterator, Mapping

from benchmarks.cases import BUSY, Case
from benchmarks.load import Load
from benchmarks.measure import Round, Sample
from benchmarks.pace import Paced
from benchmarks.switching import Window


def a_load(rate: float = 1000.0, p50: float = 1.0, p99: float = 2.0) -> Load:
    return Load(int(rate), rate, p50, p99, 3.0)


def a_round(
    server: str, model: str, loads: Mapping[Case, Load], repetition: int = 0, memory: float = 100.0
) -> Round:
    samples = tuple(Sample(case, load, 0.0) for case, load in loads.items())
    return Round(server, model, repetition, 1.0, memory, memory, 0, samples)


def rounds_of(server: str, model: str, *rates: float, case: Case = BUSY) -> Iterator[Round]:
    """One repetition per rate."""
    for repetition, rate in enumerate(rates):
        yield a_round(server, model, {case: a_load(rate)}, repetition)


def a_window(server: str, name: str, p99: float, repetition: int = 0) -> Window:
    return Window(server, name, repetition, (), a_load(p99=p99), Paced((1.0,), 0))
