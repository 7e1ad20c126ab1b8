"""Write the results as Markdown, to be read in a terminal and pasted into docs/benchmarks.md."""

from collections.abc import Iterator, Sequence

from benchmarks.cases import BUSY, THOROUGH, Case
from benchmarks.contenders import BOTH_CORES, EMPTY, LIMIT, NO_MODEL
from benchmarks.findings import Findings
from benchmarks.goals import verdicts
from benchmarks.machine import Machine
from benchmarks.measure import Round, Settings
from benchmarks.models import KINDS
from benchmarks.report_parts import starts, switching
from benchmarks.results import (
    Cell,
    Spread,
    empty,
    fastapi,
    limit,
    p50,
    p99,
    rate,
    ratio,
    servers,
    spread,
    spread_of_rounds,
)
from benchmarks.tables import figure, significant, table

_OURS = "modeld"
_NO_SERVERS = (LIMIT, EMPTY)  # they show limits, and serve nobody


def write_report(findings: Findings, settings: Settings, machine: Machine) -> str:
    """Write all of it; a part that was not measured is left out."""
    blocks = [
        _about(settings, machine),
        *_speed(findings.rounds),
        _both_cores(findings.rounds),
        _processes(findings.rounds),
        starts(findings.starts),
        *switching(findings.switching),
        _faster(findings.rounds),
        _absences(findings),
        _calm(findings.rounds),
        _goals(findings),
    ]
    return "\n\n".join(filter(None, blocks))


def _about(settings: Settings, machine: Machine) -> str:
    how = f"{settings.repetitions} repetitions of {settings.seconds} s"
    where = f"server on core {settings.server_cpu}, load on core {settings.load_cpu}"
    load = " ".join(f"{value:.2f}" for value in machine.load_before)
    versions = "\n".join(
        f"{who}: " + ", ".join(f"{name} {version}" for name, version in found.items()) + "."
        for who, found in machine.versions.items()
    )
    return f"{machine.name}.\n{how}; {where}; load average before {load}.\n{versions}"


def _speed(rounds: Sequence[Round]) -> Iterator[str]:
    for kind in KINDS:
        for case in THOROUGH:
            if block := _cell_table(rounds, kind.name, case):
                yield f"### {kind.name}: {case}\n\nThe model: {kind.about}.\n\n{block}"


def _cell_table(rounds: Sequence[Round], model: str, case: Case) -> str:
    names = [name for name in servers(rounds, model, case) if not name.endswith(BOTH_CORES)]
    cells = [Cell(name, model, case) for name in names]
    if cells and spread(rounds, empty(case), rate):
        cells.insert(0, empty(case))
    if not cells:
        return ""
    heads = ("", "requests/s", "p50 ms", "p99 ms", "× FastAPI", "× limit", "× empty")
    return table(heads, [_cell_row(rounds, cell, model) for cell in cells])


def _cell_row(rounds: Sequence[Round], cell: Cell, model: str) -> tuple[str, ...]:
    baselines = (
        fastapi(rounds, model, cell.case),
        limit(model, cell.case),
        empty(cell.case),
    )
    return (
        cell.server,
        figure(spread(rounds, cell, rate), 0),
        figure(spread(rounds, cell, p50), 2),
        figure(spread(rounds, cell, p99), 2),
        *(significant(_ratio(rounds, cell, baseline)) for baseline in baselines),
    )


def _ratio(rounds: Sequence[Round], cell: Cell, baseline: Cell) -> Spread | None:
    return None if cell == baseline else ratio(rounds, cell, baseline, rate)


def _both_cores(rounds: Sequence[Round]) -> str:
    """Write the one cell in which the server and the load have both cores together."""
    model = KINDS[0].name
    cells = [
        Cell(name, model, BUSY)
        for name in servers(rounds, model, BUSY)
        if name.endswith(BOTH_CORES)
    ]
    rows = [
        (cell.server, figure(spread(rounds, cell, rate), 0), figure(spread(rounds, cell, p99), 2))
        for cell in cells
    ]
    if not rows:
        return ""
    text = (
        "### Two workers\n\nServer and load share two cores here, so two workers cannot give "
        "twice what one does: what wrk takes is missing to them. The row with one worker has "
        "the same two cores. This is no goal."
    )
    return f"{text}\n\n{table(('', 'requests/s', 'p99 ms'), rows)}"


def _processes(rounds: Sequence[Round]) -> str:
    pairs = list(dict.fromkeys((one.server, one.model) for one in rounds))
    if not pairs:
        return ""
    heads = ("memory and start", "PSS at rest MB", "PSS after the load MB", "first answer s")
    rows = [_process_row(rounds, server, model) for server, model in pairs]
    return f"### Memory and start\n\n{table(heads, rows)}"


def _process_row(rounds: Sequence[Round], server: str, model: str) -> tuple[str, ...]:
    rest = spread_of_rounds(rounds, server, model, lambda one: one.memory_mb)
    after = spread_of_rounds(rounds, server, model, lambda one: one.memory_after_mb)
    start = spread_of_rounds(rounds, server, model, lambda one: one.start_seconds)
    name = server if (server, model) == (EMPTY, NO_MODEL) else f"{server}: {model}"
    return (name, figure(rest, 0), figure(after, 0), figure(start, 1))


def _faster(rounds: Sequence[Round]) -> str:
    """Name the cells in which another server answered more requests than a row of modeld's."""
    cells = dict.fromkeys(
        Cell(one.server, one.model, sample.case) for one in rounds for sample in one.samples
    )
    lines = [line for cell in cells if (line := _faster_line(rounds, cell))]
    return "### Where another server was faster\n\n" + "\n".join(lines) if lines else ""


def _faster_line(rounds: Sequence[Round], ours: Cell) -> str:
    if not ours.server.startswith(_OURS) or ours.server.endswith(BOTH_CORES):
        return ""
    others = [
        Cell(name, ours.model, ours.case)
        for name in servers(rounds, ours.model, ours.case)
        if not name.startswith(_OURS) and name not in _NO_SERVERS
    ]
    rates = {cell.server: found.middle for cell in others if (found := spread(rounds, cell, rate))}
    own = spread(rounds, ours, rate)
    best = max(rates, key=rates.__getitem__, default="")
    if own is None or not best or rates[best] <= own.middle:
        return ""
    where = f"{ours.model}, {ours.case}"
    return f"- {where}: {best} {rates[best]:,.0f}, {ours.server} {own.middle:,.0f} requests/s."


def _absences(findings: Findings) -> str:
    if not findings.absences:
        return ""
    rows = [
        f"- {one.server}, {one.model}: {' '.join(one.why.split())[:300]}"
        for one in findings.absences
    ]
    return "### Not in the tables\n\n" + "\n".join(rows)


def _calm(rounds: Sequence[Round]) -> str:
    if not rounds:
        return ""
    others = Spread.of([sample.others for one in rounds for sample in one.samples])
    shared = sum(one.sharers > 0 for one in rounds)
    return (
        f"Other processes took {others.middle:.1%} of a core during the median measurement, "
        f"{others.greatest:.1%} during the worst.\n"
        f"Other processes shared libraries with the server, which makes its PSS too small, "
        f"in {shared} of {len(rounds)} rounds."
    )


def _goals(findings: Findings) -> str:
    words = {True: "met", False: "MISSED", None: ""}
    rows = [(one.goal, one.found, words[one.is_met]) for one in verdicts(findings)]
    return f"### Goals\n\n{table(('goal', 'found', ''), rows)}"
