"""Write what a change brings as Markdown, for the summary of a job that reviews it.

What stands in a manifest was written by whoever asks for the review. Every sign that Markdown
or HTML could take for its own becomes a character reference, so that it is shown and no more.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from modeld.cli.comparison import rows_of

_PLAIN = re.compile(r"[A-Za-z0-9 ,+=-]|(?<=[0-9])\.(?=[0-9])")
_INPUTS = "inputs"


def review(document: dict[str, Any]) -> str:
    """Write the document of `modeld verify --json` for a person who decides."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: dict[str, Any]) -> Iterator[str]:
    if against := document.get("against"):
        yield from _changes(against)
    if document["problems"]:
        yield "### Refused\n"
        yield from (f"- {escaped(problem)}" for problem in document["problems"])
    else:
        yield escaped(document["summary"])


def _changes(against: dict[str, Any]) -> Iterator[str]:
    for change in against["live"]:
        yield from _live(change)
    if not against["live"]:
        yield "## No other version goes live\n"
    for word in ("added", "removed"):
        if against[word]:
            yield f"Versions {word}: {escaped(', '.join(against[word]))}\n"


def _live(change: dict[str, Any]) -> Iterator[str]:
    before, after = change["before"] or "nothing", change["after"] or "nothing"
    yield f"## {escaped(change['model'])}: {escaped(before)} → {escaped(after)}\n"
    comparison = change["comparison"]
    if comparison is None:
        yield "There is nothing to compare.\n"
        return
    if any(pair["change"] != "same" for pair in comparison[_INPUTS]):
        yield "**The inputs change: clients have to change with them.**\n"
    yield _row("", "", before, after, "")
    yield "|---|---|---|---|---|"
    yield from (_row(*row) for row in rows_of(comparison))
    yield ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"


def escaped(text: str) -> str:
    """Write a text so that it is shown as it is, on one line."""
    return "".join(_references(" ".join(text.split())))


def _references(text: str) -> Iterable[str]:
    for position, sign in enumerate(text):
        yield sign if _PLAIN.match(text, position) else f"&#{ord(sign)};"
