"""`modeld audit verify`: is the history as it was written?

The database is only read, so that it may be checked while a server writes to it. A chain of
hashes shows every change but one: entries that are missing at its end. A hash that was noted
elsewhere shows that too.
"""

import sys
from contextlib import closing
from pathlib import Path

import click

from modeld.cli.options import fail, json_option, place_options, read_settings, show
from modeld.control.ledger import Ledger
from modeld.errors import ConfigError

_BROKEN = 1


@click.group()
def audit() -> None:
    """Check the history."""


@audit.command()
@place_options
@json_option
@click.option("--expect", default="", help="A hash printed earlier: is it still in the chain?")
def verify(config: Path | None, as_json: bool, expect: str, **flags: object) -> None:
    """Check that no entry of the history was changed, added in between or removed.

    Entries that are missing at the end show only against a hash that was noted elsewhere:
    --expect. Exit codes: 0 whole, 1 not.
    """
    settings = read_settings(config, **flags)
    path = settings.runtime_dir / "modeld.sqlite"
    if not path.exists():
        fail(f"there is no history in {settings.runtime_dir}", _BROKEN)
    try:
        with closing(Ledger(path, is_read_only=True)) as ledger:
            hashes, broken = ledger.audited()
    except ConfigError as error:
        fail(str(error), _BROKEN)
    is_expected = not expect or expect in hashes
    last = hashes[-1] if hashes else ""
    if as_json:
        document = {"entries": len(hashes), "first_broken": broken, "last_hash": last}
        show({**document, "has_expected": is_expected}, as_json=True, text="")
    elif broken is None and is_expected:
        click.echo(f"{len(hashes)} entries, whole; the last hash is {last or 'none'}")
    if broken is not None:
        _say(f"entry {broken} is not as it was written, or is missing", as_json=as_json)
    elif not is_expected:
        _say(f"no entry has the hash {expect[:64]}: its end was cut off", as_json=as_json)


def _say(message: str, *, as_json: bool) -> None:
    if not as_json:
        fail(message, _BROKEN)
    sys.exit(_BROKEN)
