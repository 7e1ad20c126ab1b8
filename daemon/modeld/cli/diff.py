"""`modeld diff`: two versions side by side, read from the files; no server is needed."""

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from modeld.cli.comparison import rows_of
from modeld.cli.options import fail, json_option, place_options, read_settings, show
from modeld.cli.terminal import printable
from modeld.control.comparing import compare_versions, comparison_document
from modeld.domain import DEFAULT_MODEL, ModelVersion
from modeld.errors import ModeldError
from modeld.repository.versions import Repository

_FAILED = 1


@click.command()
@place_options
@json_option
@click.argument("before", metavar="FROM")
@click.argument("after", metavar="TO")
@click.option("--model", default=DEFAULT_MODEL, help="Which model, where there are several.")
def diff(
    config: Path | None, as_json: bool, before: str, after: str, model: str, **flags: object
) -> None:
    """Compare what versions FROM and TO promise.

    Exit codes: 0 compared, 1 a version cannot be looked at.
    """
    repository = Repository(read_settings(config, **flags).models_dir)
    named = () if model == DEFAULT_MODEL else (model,)
    try:
        found = compare_versions(
            repository, ModelVersion(model, before), ModelVersion(model, after), named
        )
    except ModeldError as error:
        fail(str(error), _FAILED)
    document = comparison_document(found)
    if as_json:
        names = {"model": model, "from": before, "to": after}
        show(names | document, as_json=True, text="")
        return
    _print_table(document, before, after)


def _print_table(document: dict[str, Any], before: str, after: str) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "", before, after, ""):
        table.add_column(name)
    for row in rows_of(document):
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
