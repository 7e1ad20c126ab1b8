"""`modeld predict`: answer the rows of a file, without a server.

What is written appears whole or not at all, also on standard output.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click

from modeld.cli.options import fail, place_options, read_settings, version_named
from modeld.cli.progress import progress
from modeld.cli.terminal import ended_as_by_ctrl_c, printable
from modeld.config import Settings
from modeld.control.choosing import Wanted, version_live_at, wished_version
from modeld.control.scoring import PART_SECONDS, opened
from modeld.domain import DEFAULT_MODEL
from modeld.errors import ModeldError
from modeld.log import configure
from modeld.messages import Score, Scored, Scoring

_REFUSED = 1
_FORMS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


@click.command()
@place_options
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--version", "name", help="Which version; by default the one that is asked for.")
@click.option("--model", default=DEFAULT_MODEL, help="Which model, where there are several.")
@click.option("--at", metavar="TIME", help='What was live then: "2026-11-20 14:00".')
@click.option(
    "--output", type=click.Path(path_type=Path), help="A .csv, .jsonl or .parquet; else CSV here."
)
@click.option("--proba", is_flag=True, help="Add a column of probabilities for each class.")
@ended_as_by_ctrl_c()
def predict(
    config: Path | None,
    file: Path,
    name: str | None,
    model: str,
    at: str | None,
    output: Path | None,
    proba: bool,
    **flags: object,
) -> None:
    """Answer the rows of FILE: .csv, .parquet, .json or .jsonl.

    Their columns are written back with a column `prediction` behind them, in the same order.
    Columns are found by name; those that the version does not know are left as they are.

    Exit codes: 0 written, 1 it cannot be done (nothing is written).
    """
    if name and at:
        raise click.UsageError("--at says which version it was; give that or --version")
    form = _FORMS.get(output.suffix) if output else "csv"
    if form is None:
        raise click.UsageError(f"--output {output}: expected a name in {', '.join(_FORMS)}")
    moment = _moment(at) if at else None
    settings = read_settings(config, **flags)
    configure(settings.log_format, is_quiet=True)
    try:
        wanted = _wanted(settings, model, name, moment)
        with _written(output) as target:
            order = Score(str(file), str(target), form, "", proba, 0, PART_SECONDS)
            scored = asyncio.run(_score(settings, wanted, order))
    except (ModeldError, OSError) as error:
        fail(printable(f"nothing is predicted: {error}"), _REFUSED)
    told = wanted.told or str(wanted.version)
    click.echo(printable(f"{scored.rows:,} rows by {told}"), err=True)


def _moment(text: str) -> float:
    """Read a time; one without a zone is the machine's."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise click.UsageError(f'--at {text}: expected a time like "2026-11-20 14:00"') from None


def _wanted(settings: Settings, model: str, name: str | None, moment: float | None) -> Wanted:
    if moment is not None:
        return version_live_at(settings, model, moment)
    if name is not None:
        return Wanted(version_named(name, model))
    return wished_version(settings.state_file, model)


async def _score(settings: Settings, wanted: Wanted, order: Score) -> Scored:
    async with opened(settings, (wanted,)) as (version,):
        with progress(f"predict with {wanted.version}") as told:

            def tell(done: Scoring) -> None:
                told(done.share, f"{done.rows:,} rows")

            version.host.on_progress = tell
            return await version.score(order)


@contextmanager
def _written(output: Path | None) -> Iterator[Path]:
    """Give where to write; what is there is put in its place once all went well."""
    if output is None:
        with tempfile.TemporaryDirectory(prefix="modeld-") as folder:
            target = Path(folder) / "answers.csv"
            yield target
            _print(target)
        return
    target = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        yield target
        target.replace(output)
    finally:
        target.unlink(missing_ok=True)


def _print(file: Path) -> None:
    try:
        with file.open("rb") as answers:
            shutil.copyfileobj(answers, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough; a later flush must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
