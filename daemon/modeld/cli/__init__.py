"""The command `modeld`: one function per verb."""

import sys

import click

from modeld import __version__
from modeld.cli.change import rollback, set_active
from modeld.cli.compile import compile_version
from modeld.cli.serve import serve
from modeld.cli.show import status, versions, wait

__all__ = ["main"]


_USAGE_EXIT = 64


def main() -> None:
    """Run the command; a mistake in how it is called has an exit code of its own (64)."""
    try:
        code = commands(standalone_mode=False)
    except click.UsageError as error:
        error.show()
        sys.exit(_USAGE_EXIT)
    except click.ClickException as error:
        error.show()
        sys.exit(1)
    except click.Abort:
        sys.exit(130)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modeld")
def commands() -> None:
    """Serve machine-learning models whose deployments are git commits."""


for command in (serve, status, versions, wait, set_active, rollback, compile_version):
    commands.add_command(command)
