"""`modeld serve`: run the server."""

import sys
from pathlib import Path

import click

from modeld import certificates, launch
from modeld.cli.options import CONFIG_EXIT, fail, place_options, read_settings
from modeld.errors import ConfigError


@click.command()
@place_options
@click.option("--host", help="Address to listen on (127.0.0.1).")
@click.option("--port", help="Port to listen on (8000; 0 picks one).")
@click.option("--workers", help="Processes that answer HTTP (auto: one per CPU, at most 4).")
@click.option(
    "--replace", "replaces", is_flag=True, help="Take over from the server that runs here."
)
def serve(config: Path | None, *, replaces: bool, **flags: object) -> None:
    """Serve the version that the state file names.

    Prints what is live and a curl line that works. With --replace, a server that runs on
    the same folder hands its port over, answers what it accepted, and ends. Exit codes:
    0 after SIGTERM or Ctrl-C, 78 when a setting cannot be used.
    """
    if sys.platform == "win32":
        fail("serve needs Linux or macOS; on Windows use WSL", 1)
    with launch.importing(), certificates.unread():
        from modeld.control.app import serve as run

    settings = read_settings(config, **flags)
    try:
        sys.exit(run(settings, replaces=replaces))
    except ConfigError as error:
        fail(str(error), CONFIG_EXIT)
