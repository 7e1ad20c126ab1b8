"""Which goals a run met."""

import pytest

from benchmarks.cases import ALONE, BUSY
from benchmarks.contenders import COMPILED, EMPTY, FASTAPI_ASYNC, LIMIT, NO_MODEL
from benchmarks.findings import Findings
from benchmarks.goals import RATIOS, Verdict, switch_cost, verdicts
from benchmarks.starting import FIRST, PLAIN, SECOND, Start
from benchmarks.switching import FILE, STEADY, WARM, Switching, Waits
from tests.benchmarks.results_made import a_load, a_round, a_window, rounds_of


def judge(findings: Findings, words: str) -> Verdict:
    (found,) = [one for one in verdicts(findings) if words in one.goal]
    return found


def test_a_run_without_results_meets_and_misses_nothing() -> None:
    found = verdicts(Findings())

    assert len(found) > len(RATIOS)
    assert {(one.found, one.is_met) for one in found} == {("not measured", None)}


@pytest.mark.parametrize(("rate", "is_met"), [(75, True), (74, False)])
def test_throughput_must_be_at_least_the_bound(rate: float, is_met: bool) -> None:
    rounds = [*rounds_of(COMPILED, "regression", rate), *rounds_of(LIMIT, "regression", 100)]

    found = judge(Findings(tuple(rounds)), f"0.75× {LIMIT} (regression")

    assert found.is_met is is_met


@pytest.mark.parametrize(("p50", "is_met"), [(1.2, True), (1.3, False)])
def test_latency_must_be_at_most_the_bound(p50: float, is_met: bool) -> None:
    rounds = (
        a_round(COMPILED, "regression", {ALONE: a_load(p50=p50)}),
        a_round(LIMIT, "regression", {ALONE: a_load(p50=1.0)}),
    )

    assert judge(Findings(rounds), "p50 at most 1.2×").is_met is is_met


def test_the_empty_handler_has_no_model() -> None:
    rounds = [*rounds_of(COMPILED, "regression", 200), *rounds_of(EMPTY, NO_MODEL, 100)]

    found = judge(Findings(tuple(rounds)), f"{COMPILED}: requests/s at least 1.5× {EMPTY}")

    assert (found.found, found.is_met) == ("2.00×", True)


def test_the_median_decides_and_the_spread_is_told() -> None:
    ours = rounds_of(COMPILED, "regression", 20, 35, 40)
    rounds = [*ours, *rounds_of(FASTAPI_ASYNC, "regression", 1, 1, 1)]

    found = judge(Findings(tuple(rounds)), "at least 30× FastAPI")

    assert (found.found, found.is_met) == ("35.00× (20.00×–40.00×)", True)


def test_a_first_start_is_compared_with_the_start_of_fastapi() -> None:
    seconds = {FIRST: (1.6, 3.0, 3.2), PLAIN: (1.0, 2.5, 2.0), SECOND: (1.4, 1.5, 2.1)}
    starts = tuple(
        Start(way, repetition, each, 100)
        for way, all_of_it in seconds.items()
        for repetition, each in enumerate(all_of_it)
    )

    findings = Findings((), starts=starts)

    first = judge(findings, "first start ever")
    assert (first.found, first.is_met) == ("1.60× (1.20×–1.60×)", False)
    assert judge(findings, "warm compile cache").is_met is True


def test_what_a_switch_costs_is_compared_window_by_window() -> None:
    windows = [
        a_window("s", STEADY, 10, 0),
        a_window("s", WARM, 14, 0),
        a_window("s", STEADY, 20, 1),
        a_window("s", WARM, 24, 1),
    ]

    found = switch_cost(windows)

    assert found is not None
    assert (found.middle, found.least, found.greatest) == pytest.approx((1.3, 1.2, 1.4))
    assert switch_cost(windows[1:2]) is None


def test_waits_for_a_change_are_judged_by_their_p99() -> None:
    waits = Waits(COMPILED, FILE, (10.0,) * 98 + (200.0,) * 2)

    found = judge(Findings(switching=(Switching((), (waits,)),)), FILE)

    assert (found.found, found.is_met) == ("200 ms", False)


def test_only_cells_that_are_measured_are_goals() -> None:
    assert {goal.case for goal in RATIOS} >= {ALONE, BUSY}
