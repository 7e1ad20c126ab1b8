"""`modeld env`: build the environments that versions bring."""

import sys
from pathlib import Path

import click

from modeld.cli.options import fail, place_options, read_settings
from modeld.config import Settings
from modeld.control.environments import Environments
from modeld.control.verifying import wished
from modeld.desired.document import parse
from modeld.domain import DEFAULT_MODEL, ModelVersion
from modeld.errors import ModeldError
from modeld.repository.files import VersionFolder
from modeld.repository.manifest import MOST_BYTES, read_manifest
from modeld.repository.versions import Repository

_FAILED = 1


@click.group()
def env() -> None:
    """Give versions libraries of their own."""


@env.command()
@place_options
@click.argument("versions", nargs=-1)
@click.option("--model", default=DEFAULT_MODEL, help="Which model, where there are several.")
def build(config: Path | None, versions: tuple[str, ...], model: str, **flags: object) -> None:
    """Install what VERSIONS list in the requirements file that their model.yaml names.

    Without VERSIONS: for all that the state file names. What is built already stays as it is.
    Exit codes: 0 all are built, 1 one is not (what pip says stands above the reason).
    """
    settings = read_settings(config, **flags)
    environments = Environments(settings.environments)
    has_failed = False
    for version in _wanted(settings, versions, model):
        try:
            click.echo(_build(settings, environments, version))
        except (ModeldError, OSError) as error:
            reason = str(error).removeprefix(f"{version}: ")
            click.echo(f"modeld: {version}: {reason}", err=True)
            has_failed = True
    sys.exit(_FAILED if has_failed else 0)


def _wanted(settings: Settings, versions: tuple[str, ...], model: str) -> list[ModelVersion]:
    if versions:
        return [ModelVersion(model, version) for version in versions]
    try:
        return [version for version, _ in wished(parse(settings.state_file.read_bytes()))]
    except (ModeldError, OSError) as error:
        fail(f"{settings.state_file}: {error}; name the versions instead", _FAILED)


def _build(settings: Settings, environments: Environments, version: ModelVersion) -> str:
    folder = Repository(settings.models_dir).folder(version, (version.model,))
    manifest = read_manifest(folder)
    if manifest is None or not manifest.environment:
        return f"{version} runs with the server's own libraries."
    with VersionFolder(folder, str(version)) as files:
        content = files.read(manifest.environment, limit=MOST_BYTES)
    built = environments.build(content)
    return f"{version}: {built.folder}{'' if built.is_new else ' (built before)'}"
