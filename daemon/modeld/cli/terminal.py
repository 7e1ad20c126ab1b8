"""Write for a terminal: colour where there is one, and no word that could move its cursor.

Names, reasons and messages are anybody's words. What is piped stays plain text, for scripts.
"""

import contextlib
import signal
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

HEALTH_STYLES = {"Healthy": "green", "Progressing": "cyan", "Degraded": "yellow", "NotReady": "red"}


def is_terminal() -> bool:
    """Tell whether a person reads this on a terminal."""
    return sys.stdout.isatty()


def console(plain_width: int = 160) -> Console:
    """Give where to write to; what is piped has the same width everywhere."""
    return Console(width=None if is_terminal() else plain_width, highlight=False)


def printable(text: str) -> str:
    """Write what a terminal might act on as escapes that can be read."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def cell(text: object, style: str = "") -> Text:
    """Make a cell of a table: text that is not read as markup."""
    return Text(printable(str(text)), style=style)


def bullet(where: Console) -> str:
    """Give what stands before what matters most."""
    return "●" if is_utf8(where) else "*"


def is_utf8(where: Console) -> bool:
    """Tell whether a terminal takes more than ASCII."""
    return where.encoding.lower().replace("-", "").startswith("utf")


@contextlib.contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Clean up after SIGTERM and a closed terminal as after Ctrl-C."""
    names = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(name, signal.default_int_handler) for name in names]
    try:
        yield
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
