"""Write what `modeld compare` found, for a terminal or as Markdown for a review.

Inputs and labels are anybody's words: they are shown and do nothing.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from modeld.cli.review import escaped
from modeld.cli.terminal import cell, printable

_WIDTH = 110
_LONGEST_INPUTS = 60


def as_text(document: dict[str, Any]) -> str:
    """Write the document of `modeld compare --json` for a person at a terminal."""
    lines = [printable(document["verdict"])]
    for title, rows in _tables(document):
        lines += ["", printable(title), *_laid_out(rows)]
    return "\n".join(lines)


def as_markdown(document: dict[str, Any]) -> str:
    """Write it for whoever reviews a change."""
    first, second = document["first"], document["second"]
    lines = [f"## {escaped(first)} and {escaped(second)} on {escaped(document['data'])}", ""]
    lines += [f"**{escaped(document['verdict'])}**"]
    for title, (head, *rows) in _tables(document):
        lines += ["", escaped(title), "", _row(head), f"|{'---|' * len(head)}", *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"


def _laid_out(rows: Sequence[Sequence[str]]) -> list[str]:
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(cell(name))
    for row in rows[1:]:
        table.add_row(*map(cell, row))
    console = Console(width=_WIDTH, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def _tables(document: dict[str, Any]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Give each table's title and its rows, the first of which names the columns."""
    first, second = document["first"], document["second"]
    rows = f"{document['rows']:,} rows of {document['data']}"
    if document["measures"]:
        head = ("", first, second, "difference", "")
        measures = [_measured(each) for each in document["measures"]]
        yield f"How good, on {rows}, with 95 % confidence:", [head, *measures]
    yield (
        f"How fast, one row alone, and how alike, on {rows}:",
        [("", first, second), *_latencies(document["latency"]), *_agreement(document)],
    )
    different = document["differences"]
    if different:
        count = document["rows"] - document["agreement"]["rows"]
        yield (
            f"Where they differ, the first {len(different)} of {count:,} rows:",
            [("row", first, second, "truth", "inputs"), *map(_different, different)],
        )


def _measured(each: dict[str, Any]) -> tuple[str, ...]:
    word = each["second_is"] or ""
    difference = each["difference"]
    spread = f"{difference['low']:+.4g} to {difference['high']:+.4g}"
    return (
        each["label"],
        *(_interval(each[name]) for name in ("first", "second")),
        f"{difference['value']:+.4g} ({spread})",
        word,
    )


def _interval(interval: dict[str, float]) -> str:
    return f"{interval['value']:.4g} ({interval['low']:.4g} to {interval['high']:.4g})"


def _latencies(latency: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, key in (("p50", "p50_ms"), ("p99", "p99_ms")):
        yield (name, *(f"{latency[each][key]:.3g} ms" for each in ("first", "second")))


def _agreement(document: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    agreement = document["agreement"]
    yield ("same answer", f"{agreement['share']:.2%} of rows", "")
    if agreement["mean_distance"] is not None:
        yield ("mean distance", f"{agreement['mean_distance']:.4g}", "")


def _different(each: dict[str, Any]) -> tuple[str, ...]:
    inputs = ", ".join(f"{name}={_said(value)}" for name, value in each["inputs"].items())
    if len(inputs) > _LONGEST_INPUTS:
        inputs = f"{inputs[:_LONGEST_INPUTS]}…"
    truth = "" if each["truth"] is None else _said(each["truth"])
    return (str(each["row"]), _said(each["first"]), _said(each["second"]), truth, inputs)


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
