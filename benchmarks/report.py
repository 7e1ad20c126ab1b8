"""Write the results as Markdown: tables for people, which also read well in a terminal."""

from collections.abc import Iterator, Sequence

from benchmarks.contenders import BARE, BASELINES
from benchmarks.machine import Machine
from benchmarks.measure import CONNECTIONS, Round, Settings
from benchmarks.results import Spread, goals, names, ratio, spread, spread_of_rounds


def write_report(rounds: Sequence[Round], settings: Settings, machine: Machine) -> str:
    """Write all of it."""
    blocks = [
        _about(settings, machine),
        *(_speed(rounds, connections) for connections in CONNECTIONS),
        _starts(rounds),
        _calm(rounds),
        _goals(rounds),
    ]
    return "\n\n".join(blocks)


def _about(settings: Settings, machine: Machine) -> str:
    how = f"{settings.repetitions} repetitions of {settings.seconds} s"
    where = f"server on core {settings.server_cpu}, load on core {settings.load_cpu}"
    load = " ".join(f"{value:.2f}" for value in machine.load_before)
    versions = "\n".join(
        f"{who}: " + ", ".join(f"{name} {version}" for name, version in found.items())
        for who, found in machine.versions.items()
    )
    return f"{machine.name}\n{how}; {where}; load average before {load}\n{versions}"


def _speed(rounds: Sequence[Round], connections: int) -> str:
    title = f"{connections} connection{'s' if connections > 1 else ''}"
    heads = (title, "requests/s", "(min–max)", "p50 ms", "p99 ms", "× FastAPI", "× empty aiohttp")
    return _table(heads, [_speed_row(rounds, server, connections) for server in names(rounds)])


def _speed_row(rounds: Sequence[Round], server: str, connections: int) -> tuple[str, ...]:
    rate = spread(rounds, server, connections, lambda sample: sample.load.requests_per_second)
    p50 = spread(rounds, server, connections, lambda sample: sample.load.p50_ms)
    p99 = spread(rounds, server, connections, lambda sample: sample.load.p99_ms)
    baseline = BASELINES.get(server)
    fastapi = ratio(rounds, server, baseline, connections) if baseline else None
    bare = ratio(rounds, server, BARE, connections) if server != BARE else None
    return (
        server,
        f"{rate.middle:,.0f}",
        f"({rate.least:,.0f}–{rate.greatest:,.0f})",
        f"{p50.middle:.2f}",
        f"{p99.middle:.2f}",
        _ratio(fastapi, 1),
        _ratio(bare, 2),
    )


def _ratio(found: Spread | None, digits: int) -> str:
    if found is None:
        return "–"
    low, high = f"{found.least:.{digits}f}", f"{found.greatest:.{digits}f}"
    return f"{found.middle:.{digits}f} ({low}–{high})"


def _starts(rounds: Sequence[Round]) -> str:
    heads = ("memory and start", "PSS at rest MB", "PSS after the load MB", "first answer s")
    return _table(heads, [_start_row(rounds, server) for server in names(rounds)])


def _start_row(rounds: Sequence[Round], server: str) -> tuple[str, ...]:
    rest = spread_of_rounds(rounds, server, lambda one: one.memory_mb)
    after = spread_of_rounds(rounds, server, lambda one: one.memory_after_mb)
    start = spread_of_rounds(rounds, server, lambda one: one.start_seconds)
    return (server, _plain(rest, 0), _plain(after, 0), _plain(start, 1))


def _plain(found: Spread, digits: int) -> str:
    low, high = f"{found.least:.{digits}f}", f"{found.greatest:.{digits}f}"
    return f"{found.middle:.{digits}f} ({low}–{high})"


def _calm(rounds: Sequence[Round]) -> str:
    others = Spread.of([sample.others for one in rounds for sample in one.samples])
    shared = sum(one.sharers > 0 for one in rounds)
    return (
        f"Other processes took {others.middle:.1%} of a core during the median measurement, "
        f"{others.greatest:.1%} during the worst.\n"
        f"Other processes shared libraries with the server, which makes its PSS too small, "
        f"in {shared} of {len(rounds)} rounds."
    )


def _goals(rounds: Sequence[Round]) -> str:
    return "\n".join(
        f"{'met' if goal.is_met else 'MISSED'}: {goal.text}: {goal.found}" for goal in goals(rounds)
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_lines([heads, rule, *rows], widths))


def _lines(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        yield "| " + " | ".join([first.ljust(widths[0]), *cells]) + " |"
