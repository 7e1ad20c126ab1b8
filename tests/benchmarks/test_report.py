"""The tables."""

from benchmarks.contenders import COMPILED, FASTAPI_ASYNC, FASTAPI_DEF, LIMIT, NATIVE
from benchmarks.findings import Findings
from benchmarks.machine import Machine
from benchmarks.measure import Absence, Settings
from benchmarks.pace import percentile
from benchmarks.report import write_report
from benchmarks.results import Spread
from benchmarks.switching import POST, STEADY, WARM, Switching, Waits
from benchmarks.tables import figure, significant, table
from tests.benchmarks.results_made import a_window, rounds_of

SETTINGS = Settings(2, 1, 0, 1)
MACHINE = Machine("A machine", (0.0, 0.0, 0.0), {"modeld": {"Python": "3.11"}})


def report(findings: Findings) -> str:
    return write_report(findings, SETTINGS, MACHINE)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(("", "n"), [("one", "1,000")]).splitlines() == [
        "|     |     n |",
        "| --- | ----: |",
        "| one | 1,000 |",
    ]


def test_a_figure_tells_its_spread_and_nothing_is_a_dash() -> None:
    assert figure(Spread(2000, 1000, 3000), 0) == "2,000 (1,000–3,000)"
    assert figure(None, 2) == "–"
    assert significant(Spread(250, 249, 251)) == "250 (249–251)"


def test_ratios_stand_beside_the_faster_form_of_fastapi() -> None:
    rounds = (
        *rounds_of(FASTAPI_ASYNC, "regression", 10, 10),
        *rounds_of(FASTAPI_DEF, "regression", 5, 5),
        *rounds_of(COMPILED, "regression", 400, 420),
    )

    (line,) = [one for one in report(Findings(rounds)).splitlines() if f"| {COMPILED} " in one]

    assert "410 (400–420)" in line
    assert "41.0 (40.0–42.0)" in line


def test_a_cell_in_which_another_server_is_faster_is_named() -> None:
    rounds = (
        *rounds_of(FASTAPI_ASYNC, "regression", 500),
        *rounds_of(LIMIT, "regression", 900),
        *rounds_of(COMPILED, "regression", 600),
        *rounds_of(NATIVE, "regression", 400),
    )

    text = report(Findings(rounds))

    where = "regression, one row, 32 connections"
    assert f"- {where}: {FASTAPI_ASYNC} 500, {NATIVE} 400 requests/s." in text
    assert text.count("requests/s.") == 1


def test_a_server_that_is_absent_is_named_with_the_reason() -> None:
    absence = Absence("MLServer", "forest", "could not be run: no wheel\nfor this machine")

    text = report(Findings(absences=(absence,)))

    assert "- MLServer, forest: could not be run: no wheel for this machine" in text


def test_switching_tells_the_cost_and_the_waits() -> None:
    windows = (a_window(COMPILED, STEADY, 10), a_window(COMPILED, WARM, 12))
    waits = (Waits(COMPILED, POST, (1.0, 2.0, 9.0)),)

    text = report(Findings(switching=(Switching(windows, waits),)))

    (line,) = [one for one in text.splitlines() if f"{COMPILED}: {WARM} " in one]
    assert "1.20 (1.20–1.20)" in line
    assert f"| {COMPILED}: {POST} |     3 |    2.0 |    9.0 |    9.0 |" in text


def test_a_percentile_is_a_value_that_was_seen() -> None:
    values = [float(number) for number in range(1, 101)]

    assert [percentile(values, percent) for percent in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 50) == 7.0
