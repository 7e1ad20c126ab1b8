"""Write Markdown tables that also read well in a terminal."""

from collections.abc import Iterator, Sequence

from benchmarks.results import Spread

NOTHING = "–"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table; its first column is text, the others are figures."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_lines([heads, rule, *rows], widths))


def _lines(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        yield "| " + " | ".join([first.ljust(widths[0]), *cells]) + " |"


def figure(found: Spread | None, digits: int) -> str:
    """Write a median, and in brackets the least and the greatest."""
    if found is None:
        return NOTHING
    low, high = f"{found.least:,.{digits}f}", f"{found.greatest:,.{digits}f}"
    return f"{found.middle:,.{digits}f} ({low}–{high})"


def significant(found: Spread | None) -> str:
    """Write a ratio with two digits after the point where it is small, and fewer where not."""
    if found is None:
        return NOTHING
    return figure(found, 2 if found.middle < 10 else 1 if found.middle < 100 else 0)
