"""What anybody wrote is shown, and does nothing to the terminal."""

import io

import pytest
from rich.console import Console

from modeld.cli.terminal import bullet, cell, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("v2 é ü", "v2 é ü"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\x00", "a\\nb\\tc\\x00"),
        ("\u202eevil", "\\u202eevil"),
        ("\udc80", "\\udc80"),
    ],
)
def test_what_a_terminal_might_act_on_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_markup_is_text() -> None:
    stream = io.StringIO()

    Console(file=stream, force_terminal=True, width=80).print(cell("[red]no[/red] [link=x]"))

    assert stream.getvalue() == "[red]no[/red] [link=x]\n"


def test_a_terminal_without_utf8_gets_ascii() -> None:
    latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")

    assert bullet(Console(file=latin)) == "*"
    assert bullet(Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))) == "●"
