"""`modeld status`, `versions` and `wait`: look, and wait."""

import sys
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import click
from rich.table import Table

from modeld.cli.client import NoServer, call
from modeld.cli.options import fail, json_option, place_options, read_settings, show
from modeld.cli.status_view import status_view
from modeld.cli.terminal import bullet, cell, console, is_terminal
from modeld.cli.watch import watch
from modeld.config import Settings
from modeld.desired.document import blob_id
from modeld.domain import DEFAULT_MODEL
from modeld.repository.versions import Repository

UNREACHABLE = 2
_WAIT_CODES = {200: 0, 409: 3, 504: 4}
_SUPERSEDED = 5
_STATE_STYLES = {"live": "green", "warm": "cyan", "on disk": "dim"}


@click.command()
@place_options
@json_option
@click.option("--watch", "is_watching", is_flag=True, help="Show it in place until Ctrl-C.")
def status(config: Path | None, as_json: bool, is_watching: bool, **flags: object) -> None:
    """Say what serves, what is wanted, and what to do next.

    Exit codes: 0 fine, 1 degraded or out of sync, 2 no server answers.
    """
    settings = read_settings(config, **flags)
    if is_watching:
        if as_json:
            raise click.UsageError("--watch is for people: ask for --json again and again")
        watch(settings)
        return
    try:
        document = call(settings, "GET", "/admin/status").content
    except NoServer as error:
        fail(str(error), UNREACHABLE)
    if is_terminal() and not as_json:
        where = console()
        where.print(status_view(document, bullet=bullet(where)))
    else:
        show(document, as_json=as_json, text=_sentences(document))
    is_fine = document["health"]["status"] == "Healthy" and document["sync"]["status"] == "Synced"
    sys.exit(0 if is_fine else 1)


def _sentences(document: dict[str, Any]) -> str:
    text = str(document["summary"])
    if document["next"]:
        text += f"\nNext: {document['next']}"
    return text


@click.command()
@place_options
@json_option
def versions(config: Path | None, as_json: bool, **flags: object) -> None:
    """List the versions that could be served.

    Asks the running server, or looks at the files when there is none. Exit code 0.
    """
    settings = read_settings(config, **flags)
    try:
        document, source = call(settings, "GET", "/admin/versions").content, "the running server"
    except NoServer:
        document, source = _on_disk(settings), f"the files in {settings.models_dir}"
    if as_json:
        show({**document, "source": source}, as_json=True, text="")
        return
    _print_table(document, source)


def _on_disk(settings: Settings) -> dict[str, Any]:
    listing = Repository(settings.models_dir).listing()
    models = dict.fromkeys((DEFAULT_MODEL, *listing.models))
    return {
        "models": {
            model: {
                "active": None,
                "versions": [
                    {"version": version, "state": "on disk"} for version in listing.versions(model)
                ],
            }
            for model in models
        }
    }


def _print_table(document: dict[str, Any], source: str) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("model", "version", "state", "format", "runs", "digest", "native because"):
        table.add_column(name)
    for model, content in document["models"].items():
        for version in content["versions"]:
            digest = version.get("digest", "")
            table.add_row(
                cell(model),
                cell(version["version"], "bold" if version["state"] == "live" else ""),
                cell(version.get("error") or version["state"], _style(version)),
                cell(version.get("format", "")),
                cell(version.get("runtime", "")),
                cell(digest[:19], "dim"),
                cell(version.get("why_native", "")),
            )
    console().print(table)
    click.echo(f"(from {source})", err=True)


def _style(version: dict[str, Any]) -> str:
    return "red" if version.get("error") else _STATE_STYLES.get(version["state"], "")


@click.command()
@place_options
@json_option
@click.option("--blob", help="The blob to wait for (default: the state file's as it is now).")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait at most.")
def wait(
    config: Path | None, as_json: bool, blob: str | None, timeout: float, **flags: object
) -> None:
    """Wait until a text of the state file is applied.

    Exit codes: 0 applied, 2 no server answers, 3 refused, 4 time-out, 5 superseded by a
    newer text.
    """
    settings = read_settings(config, **flags)
    try:
        wanted = blob or blob_id(settings.state_file.read_bytes())
    except OSError as error:
        fail(f"{settings.state_file}: {error.strerror}", UNREACHABLE)
    await_blob(settings, wanted, timeout, as_json=as_json)


def await_blob(settings: Settings, blob: str, timeout: float, *, as_json: bool) -> NoReturn:
    """Wait until a text of the state file is applied; ends the command with the outcome's code."""
    try:
        reply = call(settings, "GET", f"/admin/wait?blob={quote(blob)}&timeout={timeout}")
    except NoServer as error:
        fail(str(error), UNREACHABLE)
    content = reply.content
    show(content, as_json=as_json, text=str(content.get("error") or content.get("summary")))
    is_superseded = content.get("code") == "superseded"
    sys.exit(_SUPERSEDED if is_superseded else _WAIT_CODES.get(reply.status, 1))
