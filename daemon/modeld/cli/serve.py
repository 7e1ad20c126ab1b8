"""`modeld serve`: run the server."""

import sys
from pathlib import Path

import click

from modeld.cli.options import CONFIG_EXIT, fail, place_options, read_settings
from modeld.errors import ConfigError


@click.command()
@place_options
@click.option("--host", help="Address to listen on (127.0.0.1).")
@click.option("--port", help="Port to listen on (8000; 0 picks one).")
@click.option("--workers", help="Processes that answer HTTP (auto: one per CPU, at most 4).")
def serve(config: Path | None, **flags: object) -> None:
    """Serve the version that the state file names.

    Prints what is live and a curl line that works. Exit codes: 0 after SIGTERM or
    Ctrl-C, 78 when a setting cannot be used.
    """
    if sys.platform == "win32":
        fail("serve needs Linux or macOS; on Windows use WSL", 1)
    from modeld.control.app import serve as run

    settings = read_settings(config, **flags)
    try:
        sys.exit(run(settings))
    except ConfigError as error:
        fail(str(error), CONFIG_EXIT)
