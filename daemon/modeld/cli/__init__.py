"""The command `modeld`: one function per verb.

A verb's module is imported when the verb is called: what the others need takes longer to
import than most verbs take to run.
"""

import sys
from importlib import import_module

import click

from modeld import __version__

__all__ = ["main"]


_USAGE_EXIT = 64
_VERBS = {
    "init": "init",
    "add": "add",
    "serve": "serve",
    "status": "show",
    "open": "open",
    "demo": "demo",
    "versions": "show",
    "wait": "show",
    "set": "change",
    "rollback": "change",
    "holds": "holds",
    "unhold": "holds",
    "sync": "sync",
    "history": "history",
    "diff": "diff",
    "audit": "audit",
    "doctor": "doctor",
    "compare": "compare",
    "predict": "predict",
    "compile": "compile",
    "env": "env",
    "verify": "verify",
}
"""Each verb and the module that has it."""


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


class Verbs(click.Group):
    """The verbs, each found in its module by the name that it is called by."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all verbs, in the order of the table."""
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb."""
        name = _VERBS.get(cmd_name)
        if name is None:
            return None
        module = vars(import_module(f"modeld.cli.{name}"))
        verbs = (each for each in module.values() if isinstance(each, click.Command))
        return next(verb for verb in verbs if verb.name == cmd_name)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modeld")
def commands() -> None:
    """Serve machine-learning models whose deployments are git commits."""
