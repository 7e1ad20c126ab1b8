"""What the verbs share: settings from flags, output for a person or a program."""

import getpass
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from modeld.config import Settings, load_settings
from modeld.domain import ModelVersion
from modeld.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])

CONFIG_EXIT = 78
"""Exit code for a setting that cannot be used (EX_CONFIG of sysexits.h)."""


def place_options(command: Command) -> Command:
    """Add the flags that say where things are."""
    for option in (
        click.option("--config", type=click.Path(path_type=Path), help="A JSON file of settings."),
        click.option("--state", "state_file", help="The state file (state/active.yaml)."),
        click.option("--models", "models_dir", help="The folder of versions (models)."),
    ):
        command = option(command)
    return command


def json_option(command: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def read_settings(config: Path | None, **flags: object) -> Settings:
    """Read the settings, or end with one line that says which one is wrong."""
    try:
        return load_settings(flags, config)
    except ConfigError as error:
        fail(str(error), CONFIG_EXIT)


def fail(message: str, code: int) -> NoReturn:
    """Print a line on standard error and end."""
    click.echo(f"modeld: {message}", err=True)
    sys.exit(code)


def version_named(text: str, model: str) -> ModelVersion:
    """Read a version as it is printed: `v3`, or `churn@v3`, which needs no `model`."""
    named, at, version = text.rpartition("@")
    return ModelVersion(named if at else model, version)


def show(content: Mapping[str, Any], *, as_json: bool, text: str) -> None:
    """Print for a program or for a person."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False) if as_json else text)


def user_name() -> str:
    """Name the person who runs the command, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
