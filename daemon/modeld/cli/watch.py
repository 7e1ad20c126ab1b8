"""Show the status again and again, in place, until somebody has seen enough.

A server that is gone is said to be gone, and looked for again. What is piped gets a line
whenever the sentence changes, so that a script may read along.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from modeld.cli.client import NoServer, call
from modeld.cli.status_view import absence_view, status_view
from modeld.cli.terminal import bullet, console, is_terminal, printable
from modeld.config import Settings

_PAUSE_SECONDS = 0.5
_PATIENCE_SECONDS = 3.0


def watch(settings: Settings) -> None:
    """Show the status until Ctrl-C."""
    # An end by a signal is one by Ctrl-C: the terminal gets its cursor back.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if is_terminal():
            _in_place(settings)
        else:
            _line_by_line(settings)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        # The reader has seen enough; the interpreter must not try to write what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _in_place(settings: Settings) -> None:
    where = console()
    with Live(console=where, auto_refresh=False) as live:
        for content, problem in _looks(settings):
            seen: RenderableType
            if content is None:
                seen = absence_view(problem, bullet=bullet(where))
            else:
                seen = status_view(content, bullet=bullet(where))
            live.update(_dated(seen), refresh=True)


def _dated(seen: RenderableType) -> RenderableType:
    clock = time.strftime("%H:%M:%S")
    return Group(seen, Text(f"at {clock}, Ctrl-C ends", style="dim"))


def _line_by_line(settings: Settings) -> None:
    last = ""
    for content, problem in _looks(settings):
        line = f"No server answers: {problem}" if content is None else str(content["summary"])
        if line != last:
            click.echo(printable(line))
            last = line


def _looks(settings: Settings) -> Iterator[tuple[dict[str, object] | None, str]]:
    """Look for ever: the document, or why there is none."""
    while True:
        try:
            reply = call(settings, "GET", "/admin/status", seconds=_PATIENCE_SECONDS)
        except NoServer as error:
            yield None, str(error)
        else:
            yield (reply.content, "") if reply.is_ok else (None, str(reply.content.get("error")))
        time.sleep(_PAUSE_SECONDS)
