"""Hold the goals of the project, and say which of them a run met.

A goal is a ratio within one run wherever it can be; what was not measured is neither met nor
missed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.cases import ALONE, BULK, BUSY, Case
from benchmarks.contenders import COMPILED, EMPTY, EXPRESS_OFF, LIMIT, NATIVE
from benchmarks.findings import Findings
from benchmarks.measure import Round
from benchmarks.models import CUSTOM, FOREST, REGRESSION
from benchmarks.pace import percentile
from benchmarks.results import (
    Cell,
    Spread,
    Value,
    empty,
    fastapi,
    p50,
    rate,
    ratio,
    spread_of_rounds,
)
from benchmarks.starting import FIRST, PLAIN, SECOND
from benchmarks.switching import FILE, ROLLBACK, STEADY, WARM, Waits, Window

_FASTAPI = "FastAPI"
_MOST_MEMORY_MB = 190.0
_MOST_START_SECONDS = 2.0
_MOST_FIRST_START = 1.5
_MOST_SWITCH_COST = 1.5
_MOST_FILE_MS = 150.0
_MOST_ROLLBACK_MS = 50.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal, what was found, and whether that meets it. None: it was not measured."""

    goal: str
    found: str
    is_met: bool | None


@dataclass(frozen=True, slots=True)
class RatioGoal:
    """Something of one server, as a multiple of another's with the same model."""

    server: str
    baseline: str
    model: str
    case: Case
    bound: float
    is_latency: bool = False

    def __str__(self) -> str:
        what, most = ("p50", "at most") if self.is_latency else ("requests/s", "at least")
        case = f"{self.model}, {self.case}"
        return f"{self.server}: {what} {most} {self.bound:g}× {self.baseline} ({case})"

    def is_met(self, found: float) -> bool:
        """Say whether a ratio is good enough."""
        return found <= self.bound if self.is_latency else found >= self.bound


RATIOS = (
    RatioGoal(COMPILED, LIMIT, REGRESSION.name, BUSY, 0.75),
    RatioGoal(COMPILED, LIMIT, FOREST.name, BUSY, 0.75),
    RatioGoal(COMPILED, EMPTY, REGRESSION.name, BUSY, 1.5),
    RatioGoal(COMPILED, _FASTAPI, REGRESSION.name, BUSY, 30),
    RatioGoal(COMPILED, _FASTAPI, FOREST.name, BUSY, 200),
    RatioGoal(NATIVE, _FASTAPI, REGRESSION.name, BUSY, 10),
    RatioGoal(NATIVE, _FASTAPI, FOREST.name, BUSY, 14),
    RatioGoal(NATIVE, _FASTAPI, CUSTOM.name, BUSY, 3),
    RatioGoal(COMPILED, LIMIT, REGRESSION.name, ALONE, 1.2, is_latency=True),
    RatioGoal(NATIVE, _FASTAPI, REGRESSION.name, ALONE, 1, is_latency=True),
    RatioGoal(NATIVE, _FASTAPI, FOREST.name, ALONE, 1, is_latency=True),
    RatioGoal(COMPILED, _FASTAPI, FOREST.name, BULK, 5),
    RatioGoal(EXPRESS_OFF, EMPTY, REGRESSION.name, BUSY, 0.7),
)


def verdicts(findings: Findings) -> list[Verdict]:
    """Judge every goal."""
    judged = [_judge_ratio(findings.rounds, goal) for goal in RATIOS]
    return [*judged, _memory(findings), *_starts(findings), *_switching(findings)]


def _judge_ratio(rounds: Sequence[Round], goal: RatioGoal) -> Verdict:
    value: Value = p50 if goal.is_latency else rate
    cell = Cell(goal.server, goal.model, goal.case)
    found = ratio(rounds, cell, _baseline(rounds, goal), value)
    return _verdict(str(goal), found, goal.is_met, "{:.2f}×")


def _baseline(rounds: Sequence[Round], goal: RatioGoal) -> Cell:
    if goal.baseline == _FASTAPI:
        return fastapi(rounds, goal.model, goal.case)
    if goal.baseline == EMPTY:
        return empty(goal.case)
    return Cell(goal.baseline, goal.model, goal.case)


def _memory(findings: Findings) -> Verdict:
    found = spread_of_rounds(
        findings.rounds, COMPILED, REGRESSION.name, lambda one: one.memory_after_mb
    )
    text = f"{COMPILED}: one worker and control, host gone, at most {_MOST_MEMORY_MB:g} MB"
    return _verdict(text, found, lambda mb: mb <= _MOST_MEMORY_MB, "{:.0f} MB")


def _starts(findings: Findings) -> Iterator[Verdict]:
    first, second = _seconds(findings, FIRST), _seconds(findings, SECOND)
    text = f"start to first 200 with a warm compile cache: at most {_MOST_START_SECONDS:g} s"
    yield _verdict(text, _spread(second), lambda s: s <= _MOST_START_SECONDS, "{:.1f} s")
    text = f"first start ever: at most {_MOST_FIRST_START:g}× FastAPI's"
    ratios = [ours / plain for ours, plain in zip(first, _seconds(findings, PLAIN), strict=True)]
    yield _verdict(text, _spread(ratios), lambda n: n <= _MOST_FIRST_START, "{:.2f}×")


def _seconds(findings: Findings, way: str) -> list[float]:
    return [start.seconds for start in findings.starts if start.way == way]


def _spread(found: Sequence[float]) -> Spread | None:
    return Spread.of(found) if found else None


def _switching(findings: Findings) -> Iterator[Verdict]:
    windows = [window for one in findings.switching for window in one.windows]
    for server in (COMPILED, NATIVE):
        text = f"{server}: p99 at most {_MOST_SWITCH_COST:g}× during a warm switch a second"
        found = switch_cost([window for window in windows if window.server == server])
        yield _verdict(text, found, lambda n: n <= _MOST_SWITCH_COST, "{:.2f}×")
    waits = [wait for one in findings.switching for wait in one.waits]
    for name, most_ms in ((FILE, _MOST_FILE_MS), (ROLLBACK, _MOST_ROLLBACK_MS)):
        text = f"{COMPILED}: {name}, warm: p99 at most {most_ms:g} ms"
        yield _wait(
            [one for one in waits if (one.server, one.name) == (COMPILED, name)], text, most_ms
        )


def _wait(waits: Sequence[Waits], text: str, most_ms: float) -> Verdict:
    found = _spread([percentile(one.waits_ms, 99) for one in waits])
    return _verdict(text, found, lambda ms: ms <= most_ms, "{:.0f} ms")


def switch_cost(windows: Sequence[Window], way: str = WARM) -> Spread | None:
    """Compare one server's p99 of a closed loop with switches to that without, window by window."""
    by_name = {(one.name, one.repetition): one.load for one in windows}
    ratios = [
        load.p99_ms / by_name[STEADY, repetition].p99_ms
        for (name, repetition), load in by_name.items()
        if name == way != STEADY and (STEADY, repetition) in by_name
    ]
    return _spread(ratios)


def _verdict(
    text: str, found: Spread | None, is_met: Callable[[float], bool], form: str
) -> Verdict:
    if found is None:
        return Verdict(text, "not measured", None)
    middle, low, high = map(form.format, (found.middle, found.least, found.greatest))
    return Verdict(
        text, middle if low == high else f"{middle} ({low}–{high})", is_met(found.middle)
    )
