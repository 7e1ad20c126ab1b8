"""`modeld demo`: something to see on a running server, which is left as it was found.

It plays predictions with real rows, a switch and a rollback, and says what happens.
"""

import asyncio
import sys
import time
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from modeld.cli.client import NoServer
from modeld.cli.demonstration.play import Play, Say
from modeld.cli.demonstration.stage import Stage, Unplayable, look
from modeld.cli.demonstration.traffic import Tally
from modeld.cli.options import fail, place_options, read_settings
from modeld.cli.terminal import cell, console
from modeld.domain import DEFAULT_MODEL

_FAILED = 1
_UNREACHABLE = 2
_INTERRUPTED = 130


@click.command()
@place_options
@click.option("--model", default=DEFAULT_MODEL, help="Which model, where there are several.")
@click.option(
    "--seconds", type=click.IntRange(10, 3600), default=60, show_default=True, help="How long."
)
@click.option(
    "--rate",
    type=click.IntRange(1, 500),
    default=50,
    show_default=True,
    help="Predictions a second.",
)
def demo(config: Path | None, model: str, seconds: int, rate: int, **flags: object) -> None:
    """Play traffic, a switch and a rollback on the running server, and put it back.

    Exit codes: 0 every request was answered, 1 one was not, or this server cannot be
    played on, 2 no server answers, 130 ended by Ctrl-C (the server is put back then too).
    """
    settings = read_settings(config, **flags)
    try:
        stage = look(settings, model)
        _introduce(stage, seconds, rate)
        play = Play(stage, seconds=seconds, rate=rate, say=_narrator())
        asyncio.run(play.run())
    except NoServer as error:
        fail(str(error), _UNREACHABLE)
    except Unplayable as error:
        fail(str(error), _FAILED)
    _summarise(stage, play.tally)
    if play.tally.failures:
        sys.exit(_FAILED)
    sys.exit(_INTERRUPTED if play.is_stopped else 0)


def _introduce(stage: Stage, seconds: int, rate: int) -> None:
    where = console()
    where.print(cell(f"{seconds} s of predictions, {rate} a second, with a switch and a rollback."))
    token = " (asks for the admin token)" if stage.page_needs_token else ""
    where.print(cell(f"Watch them on {stage.page}{token}"))
    where.print(cell(f"Ctrl-C ends it; {stage.live} is live afterwards, as now."))


def _narrator() -> Say:
    start, where = time.monotonic(), console()

    def say(line: str) -> None:
        minutes, seconds = divmod(round(time.monotonic() - start), 60)
        where.print(Text.assemble((f"{minutes:2}:{seconds:02}  ", "dim"), cell(line)))

    return say


def _summarise(stage: Stage, tally: Tally) -> None:
    table = Table.grid(padding=(0, 2))
    failed = tally.failures.total()
    table.add_row("requests", cell(tally.requests))
    table.add_row("failed", cell(failed, "red" if failed else "green"))
    table.add_row("p50", cell(f"{tally.percentile(50):.1f} ms"))
    table.add_row("p99", cell(f"{tally.percentile(99):.1f} ms"))
    for version, count in sorted(tally.answers.items()):
        table.add_row("answers", cell(f"{count} by {version}"))
    for problem, count in tally.failures.most_common():
        table.add_row("failed", cell(f"{count}: {problem}", "red"))
    table.add_row("look at", cell(f"{stage.page}"))
    table.add_row("", "modeld history")
    console().print("", table)
