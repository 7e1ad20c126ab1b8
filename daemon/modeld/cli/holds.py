"""`modeld holds` and `unhold`: which versions were rejected, and letting one be live again."""

import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from modeld.cli.client import NoServer, call
from modeld.cli.options import fail, json_option, place_options, read_settings, show, user_name
from modeld.domain import DEFAULT_MODEL

_NOTHING = 1
_UNREACHABLE = 2


@click.command()
@place_options
@json_option
def holds(config: Path | None, as_json: bool, **flags: object) -> None:
    """List the versions that no deploy may bring back.

    Exit codes: 0 listed, 2 no server answers.
    """
    settings = read_settings(config, **flags)
    try:
        document = call(settings, "GET", "/admin/holds").content
    except NoServer as error:
        fail(str(error), _UNREACHABLE)
    lines = [_line(hold) for hold in document["holds"]]
    show(document, as_json=as_json, text="\n".join(lines) or "No version is held.")


def _line(hold: dict[str, Any]) -> str:
    by = f" by {hold['actor']}" if hold["actor"] else ""
    why = f" ({hold['reason']})" if hold["reason"] else ""
    name = (
        hold["version"] if hold["model"] == DEFAULT_MODEL else f"{hold['model']}@{hold['version']}"
    )
    return _printable(f"{name}: rolled back to {hold['wanted']}{by}{why} at {hold['since']}")


def _printable(text: str) -> str:
    """Leave out what would move a terminal's cursor."""
    return "".join(each for each in text if each.isprintable())


@click.command()
@place_options
@json_option
@click.argument("version")
@click.option("--model", default=DEFAULT_MODEL, help="Which model, where there are several.")
def unhold(config: Path | None, as_json: bool, version: str, model: str, **flags: object) -> None:
    """Let VERSION be live again, as soon as the state file asks for it.

    Exit codes: 0 released, 1 it was not held, 2 no server answers.
    """
    settings = read_settings(config, **flags)
    target = f"/admin/holds/{quote(version)}?model={quote(model)}&actor={quote(user_name())}"
    try:
        reply = call(settings, "DELETE", target)
    except NoServer as error:
        fail(str(error), _UNREACHABLE)
    text = f"{version} may be live again." if reply.is_ok else str(reply.content["error"])
    show(reply.content, as_json=as_json, text=text)
    sys.exit(0 if reply.is_ok else _NOTHING)
