"""Show how far long work is, on standard error and at a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

Told = Callable[[float, str], None]
"""Takes the share that is done, from 0 to 1, and a word on it."""


@contextmanager
def progress(what: str) -> Iterator[Told]:
    """Show a bar until the work is done; it leaves nothing behind."""
    if not sys.stderr.isatty():
        yield lambda _share, _word: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} % {task.fields[word]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0, word="")
        yield lambda share, word: bar.update(task, completed=share, word=word)
