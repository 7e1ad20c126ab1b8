"""`modeld add`: take a model into the repository as a version that was opened, tried and described.

Everything that a person should know before they commit is printed: what the model takes and
answers, which rows will stay in git's history, and the commands to type next.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console

from modeld.cli.added_view import document_of, print_added
from modeld.cli.options import fail, json_option, place_options, read_settings, show
from modeld.cli.terminal import ended_as_by_ctrl_c, printable
from modeld.control.adding import Addition, Say, add
from modeld.control.copying import own_environment
from modeld.control.environments import Environments
from modeld.domain import DEFAULT_MODEL
from modeld.errors import ModeldError
from modeld.log import configure

_REFUSED = 1

_FILE = click.Path(path_type=Path)


@click.command("add")
@place_options
@json_option
@click.argument("path", type=_FILE)
@click.argument("version", default="")
@click.option("--model", default=DEFAULT_MODEL, help="Which model, where there are several.")
@click.option("--samples", type=_FILE, help="Rows to try it on: CSV, Parquet, JSON (lines).")
@click.option("--target", default="", help="The column of --samples that it predicts.")
@click.option(
    "--synthetic", is_flag=True, help="Commit made-up rows instead of those of --samples."
)
@click.option("--code", type=_FILE, multiple=True, help="A module or package that it needs.")
@click.option("--environment", type=_FILE, help="Requirements of an environment of its own.")
@click.option("--trust", multiple=True, metavar="TYPE", help="A type that a skops file may have.")
@click.option("--answers", type=_FILE, hidden=True, help="What it answered before it was stored.")
def add_version(
    config: Path | None,
    as_json: bool,
    path: Path,
    version: str,
    model: str,
    samples: Path | None,
    target: str,
    synthetic: bool,
    code: tuple[Path, ...],
    environment: Path | None,
    trust: tuple[str, ...],
    answers: Path | None,
    **flags: object,
) -> None:
    """Add the model in PATH, a file or a folder, as VERSION (the next free one by default).

    It is copied, opened in a process of its own, tried and described in a model.yaml, and
    compiled where that answers the same. The first version of a repository becomes the active
    one. Needs no server.

    Exit codes: 0 added, 1 refused (nothing is left behind).
    """
    settings = read_settings(config, **flags)
    if target and samples is None:
        raise click.UsageError("--target names a column of --samples, which is not given")
    addition = Addition(
        path, model, version, samples, target, code, synthetic, trust, environment, answers
    )
    try:
        requirements = environment or own_environment(path)
        if requirements is not None:
            # Before anything is shown: pip shows how far it is by itself.
            Environments(settings.environments).build(requirements.read_bytes())
        with _silent_log(), ended_as_by_ctrl_c(), _progress() as say:
            added = add(settings, addition, say, _warn)
    except (ModeldError, OSError) as error:
        fail(f"{path} is not added: {printable(_text(error))}", _REFUSED)
    if as_json:
        show(document_of(added), as_json=True, text="")
    else:
        print_added(added, addition)
    sys.exit(0)


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _warn(text: str) -> None:
    click.echo(f"modeld: warning: {printable(text)}", err=True)


@contextlib.contextmanager
def _silent_log() -> Iterator[None]:
    """Keep the server's log to itself: what is wrong is said by an error."""
    with Path(os.devnull).open("w") as nowhere:
        configure("text", stream=nowhere)
        yield


@contextlib.contextmanager
def _progress() -> Iterator[Say]:
    """Show what is being done, to a person who waits."""
    where = Console(stderr=True, highlight=False)
    if not where.is_terminal:
        yield lambda _: None
        return
    with where.status("starting") as status:
        yield lambda text: status.update(f"{text} …")
