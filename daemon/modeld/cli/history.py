"""`modeld history`: what was live when, why, and by which commit.

A running server is asked; without one the runtime folder's database and git are read.
Reasons and subjects are anybody's words: no control character of theirs reaches the terminal.
"""

import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.table import Table

from modeld.cli.client import NoServer, call
from modeld.cli.options import fail, json_option, place_options, read_settings, show
from modeld.cli.terminal import cell, console, is_terminal
from modeld.config import Settings
from modeld.control.ledger import APPLIED, Ledger
from modeld.control.timeline import MOST_COMMITS, MOST_ENTRIES, page, timeline
from modeld.errors import ConfigError
from modeld.git.log import log_of

_FAILED = 1
_PLAIN_WIDTH = 200
_GIT_SECONDS = 30.0
_WHOLE = ("when", "model", "version", "from", "commit")
"""What is of no use in two parts; on a narrow terminal the others give way."""
_COLUMNS = ("when", "model", "version", "from", "by", "who", "why", "commit", "result")


@click.command()
@place_options
@json_option
@click.option("--model", help="Only this model's changes.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def history(
    config: Path | None, as_json: bool, model: str | None, limit: int, **flags: object
) -> None:
    """Tell what was live when, and why, newest first.

    Asks the running server, or reads the files when there is none. Exit code 0.
    """
    settings = read_settings(config, **flags)
    try:
        document, source = _asked(settings, model, limit), "the running server"
    except NoServer:
        document, source = _read(settings, model, limit), f"the files in {settings.runtime_dir}"
    if as_json:
        show({**document, "source": source}, as_json=True, text="")
        return
    _print_table(document["entries"])
    click.echo(f"(from {source})", err=True)


def _asked(settings: Settings, model: str | None, limit: int) -> dict[str, Any]:
    of_model = f"&model={quote(model)}" if model else ""
    reply = call(settings, "GET", f"/admin/history?limit={limit}{of_model}")
    if not reply.is_ok:
        fail(str(reply.content.get("error")), _FAILED)
    return reply.content


def _read(settings: Settings, model: str | None, limit: int) -> dict[str, Any]:
    path = settings.runtime_dir / "modeld.sqlite"
    commits = log_of(settings.state_file).commits(MOST_COMMITS, seconds=_GIT_SECONDS)
    if not path.exists():
        return _document(timeline((), commits, model), limit)
    try:
        with closing(Ledger(path, is_read_only=True)) as ledger:
            entries = ledger.attempts(MOST_ENTRIES)
    except ConfigError as error:
        fail(str(error), _FAILED)
    return _document(timeline(entries, commits, model), limit)


def _document(events: tuple[Any, ...], limit: int) -> dict[str, Any]:
    found = page(events, limit)
    shown = found.events if found else ()
    return {"entries": [event.document() for event in shown], "next": found and found.next}


def _print_table(entries: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _COLUMNS:
        table.add_column(name, no_wrap=is_terminal() and name in _WHOLE)
    for entry in entries:
        style = "" if entry["result"] == APPLIED else "red"
        *most, result = _cells(entry)
        table.add_row(*map(cell, most), cell(result, style))
    console(plain_width=_PLAIN_WIDTH).print(table)


def _cells(entry: dict[str, Any]) -> tuple[str, ...]:
    git = entry["git"] or {}
    commit = git.get("commit") or entry["commit"] or ""
    result = entry["result"]
    return (
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry["at"])),
        entry["model"] or "",
        entry["version"] or "",
        entry["previous"] or "",
        entry["trigger"] or "commit",
        entry["actor"] or git.get("author", "").partition(" <")[0],
        entry["reason"] or git.get("subject", ""),
        commit[:12],
        f"{entry['seconds'] or 0:.2f} s" if result == APPLIED else result,
    )
