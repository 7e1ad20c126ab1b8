"""`modeld open`: the page in the browser of this machine, or on a phone.

The address is the public one where a proxy stands in front, else the server's own. A server
that listens on all addresses is reached from elsewhere by this machine's address in its
network; one that listens on loopback is not.
"""

import contextlib
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import segno

from modeld.cli.client import NoServer, call, place_of
from modeld.cli.options import fail, place_options, read_settings
from modeld.cli.terminal import console, is_utf8
from modeld.config import Settings
from modeld.config_values import is_loopback_host, url_of
from modeld.control.runtime_folder import Place

_FAILED = 1
_UNREACHABLE = 2
_PATIENCE_SECONDS = 5.0
_LAUNCH_SECONDS = 3.0
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # compared with, not listened on
_ELSEWHERE = ("192.0.2.1", 9)
"""An address that nobody has (RFC 5737). Nothing is sent to it."""
_BLOCKS = "█▀▄ "


@dataclass(frozen=True, slots=True)
class Page:
    """Where the page is for this machine, and for others; empty where they cannot reach it."""

    here: str
    elsewhere: str


@click.command("open")
@place_options
@click.option("--qr", is_flag=True, help="Print a QR code for a phone instead.")
def open_page(config: Path | None, qr: bool, **flags: object) -> None:
    """Open the page in the browser, and print its address.

    Exit codes: 0 opened or printed, 1 no phone can reach the address, 2 no server answers.
    """
    settings = read_settings(config, **flags)
    try:
        place = place_of(settings)
        call(settings, "GET", "/healthz", seconds=_PATIENCE_SECONDS)
    except NoServer as error:
        fail(str(error), _UNREACHABLE)
    page = page_of(settings, place)
    if not qr:
        click.echo(page.here)
        _launch(page.here)
        return
    if not page.elsewhere:
        fail(
            f"{page.here} is for this machine alone, no phone can reach it; serve with "
            "--host 0.0.0.0, or set MODELD_PUBLIC_URL to what a proxy shows",
            _FAILED,
        )
    click.echo(page.elsewhere)
    _print_code(page.elsewhere)


def _launch(url: str) -> None:
    """Ask the desktop to open an address. Where there is none, the address was printed."""
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    # What it has to say of browsers that are missing helps nobody, and a browser in the
    # terminal would take it over.
    silent = subprocess.DEVNULL
    problem = opener is None
    if opener is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process = subprocess.Popen(
                [opener, url], stdin=silent, stdout=silent, stderr=silent, start_new_session=True
            )
            problem = process.wait(_LAUNCH_SECONDS) != 0
    if problem:
        click.echo("modeld: no browser could be opened here", err=True)


def page_of(settings: Settings, place: Place) -> Page:
    """Find the addresses of a server's page."""
    if settings.public_origin:
        url = f"{settings.public_origin}/ui"
        host = url.split("://", 1)[1].rsplit(":", 1)[0].strip("[]")
        return Page(url, "" if is_loopback_host(host.split("/")[0]) else url)
    here = f"{url_of(place.host, place.port)}/ui"
    if is_loopback_host(place.host):
        return Page(here, "")
    if place.host not in _EVERYWHERE:
        return Page(here, here)
    address = _own_address()
    is_reachable = address and not is_loopback_host(address)
    return Page(here, f"{url_of(address, place.port)}/ui" if is_reachable else "")


def _own_address() -> str:
    """Ask the system which address of this machine others see; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
            return str(probe.getsockname()[0])
        except OSError:
            return ""


def _print_code(url: str) -> None:
    """Print two rows of the code in a line; the light squares are what is drawn."""
    where = console()
    if not is_utf8(where):
        return
    for line in code_lines(url):
        where.print(line, style="#ffffff on #000000", no_wrap=True, overflow="ignore", crop=False)


def code_lines(url: str) -> list[str]:
    """Draw a QR code with a quiet edge, as phones need it."""
    rows = [list(row) for row in segno.make(url, error="m", micro=False).matrix_iter(border=4)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return ["".join(_BLOCKS[2 * up + down] for up, down in zip(*p, strict=True)) for p in pairs]
