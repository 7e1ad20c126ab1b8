"""Write the tables of starts and of switching."""

from collections.abc import Iterator, Sequence

from benchmarks.goals import switch_cost
from benchmarks.pace import percentile
from benchmarks.results import Spread
from benchmarks.starting import Start
from benchmarks.switching import Switching, Waits, Window
from benchmarks.tables import figure, significant, table


def starts(found: Sequence[Start]) -> str:
    """Write the table of modeld's starts, and FastAPI's beside them."""
    if not found:
        return ""
    ways = list(dict.fromkeys(start.way for start in found))
    heads = ("start of modeld, regression", "first answer s", "PSS at rest MB")
    return f"### Starts of modeld\n\n{table(heads, [_start_row(found, way) for way in ways])}"


def _start_row(found: Sequence[Start], way: str) -> tuple[str, ...]:
    chosen = [start for start in found if start.way == way]
    seconds = Spread.of([start.seconds for start in chosen])
    memory = Spread.of([start.memory_mb for start in chosen])
    return (way, figure(seconds, 2), figure(memory, 0))


def switching(found: Sequence[Switching]) -> Iterator[str]:
    """Write the tables of switching."""
    windows = [window for one in found for window in one.windows]
    waits = [wait for one in found for wait in one.waits]
    if not windows:
        return
    yield "### Switching between two regressions"
    yield _window_table(windows)
    heads = ("changes", "count", "p50 ms", "p99 ms", "max ms")
    yield table(heads, [_wait_row(one) for one in waits])


def _window_table(windows: Sequence[Window]) -> str:
    heads = (
        "predictions meanwhile",
        "switches",
        "requests/s",
        "p99 ms",
        "× steady p99",
        "max ms",
        "paced p50 ms",
        "paced p99 ms",
        "paced max ms",
    )
    names = list(dict.fromkeys((one.server, one.name) for one in windows))
    return table(heads, [_window_row(windows, server, name) for server, name in names])


def _window_row(windows: Sequence[Window], server: str, name: str) -> tuple[str, ...]:
    ours = [one for one in windows if one.server == server]
    chosen = [one for one in ours if one.name == name]
    return (
        f"{server}: {name}",
        str(sum(len(one.waits_ms) for one in chosen)),
        figure(Spread.of([one.load.requests_per_second for one in chosen]), 0),
        figure(Spread.of([one.load.p99_ms for one in chosen]), 2),
        significant(switch_cost(ours, name)),
        figure(Spread.of([one.load.max_ms for one in chosen]), 1),
        *(
            figure(Spread.of([one.paced.percentile_ms(percent) for one in chosen]), 2)
            for percent in (50, 99, 100)
        ),
    )


def _wait_row(one: Waits) -> tuple[str, ...]:
    values = [f"{percentile(one.waits_ms, percent):,.1f}" for percent in (50, 99, 100)]
    return (f"{one.server}: {one.name}", str(len(one.waits_ms)), *values)
