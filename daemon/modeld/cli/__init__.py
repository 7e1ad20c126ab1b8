"""The command `modeld`: one function per verb."""

import click

from modeld import __version__
from modeld.cli.change import rollback, set_active
from modeld.cli.serve import serve
from modeld.cli.show import status, versions, wait

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modeld")
def main() -> None:
    """Serve machine-learning models whose deployments are git commits."""


for command in (serve, status, versions, wait, set_active, rollback):
    main.add_command(command)
