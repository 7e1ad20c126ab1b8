"""Look at the versions that the wish names: are their files there, and their libraries?"""

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from modeld.cli.checkup.finding import Finding, ok, problem, warning
from modeld.desired.document import DesiredState, parse
from modeld.domain import ModelVersion, is_name
from modeld.errors import LfsPointer, ModeldError, VersionNotFound
from modeld.repository.digest import take_inventory
from modeld.repository.files import VersionFolder
from modeld.repository.manifest import COMPILED, Manifest, read_manifest
from modeld.repository.versions import Repository


def check_versions(state: Path, models: Path) -> Iterator[Finding]:
    """Check what the wish names, each version by itself."""
    try:
        desired = parse(state.read_bytes())
    except ModeldError as error:
        yield problem("wish", str(error), "modeld", "verify", "--static")
        return
    except OSError:
        # The check of the state file has said it.
        return
    named = tuple(wish.model for wish in desired.models)
    for version in _named_by(desired):
        yield from _check_version(Repository(models), version, named)


def _named_by(desired: DesiredState) -> Iterator[ModelVersion]:
    for wish in desired.models:
        for name in dict.fromkeys((wish.active, *wish.also)):
            yield ModelVersion(wish.model, name)


def _check_version(
    repository: Repository, version: ModelVersion, named: tuple[str, ...]
) -> Iterator[Finding]:
    try:
        folder = repository.folder(version, named)
        manifest = read_manifest(folder)
        with VersionFolder(folder, folder.name) as source:
            take_inventory(source, manifest)
    except LfsPointer as error:
        yield problem("files", str(error), "git", "lfs", "pull")
    except VersionNotFound as error:
        yield problem("files", str(error), "modeld", "versions")
    except ModeldError as error:
        yield problem("files", str(error), "modeld", "verify", "--static")
    else:
        yield ok("files", f"those of {version} are there")
        yield from _check_libraries(version, manifest or Manifest())


def _check_libraries(version: ModelVersion, manifest: Manifest) -> Iterator[Finding]:
    """Compare the libraries that made a version with those that will open it."""
    is_compiled = any(file.path == COMPILED for file in manifest.files)
    if manifest.trained is None or manifest.environment or manifest.format == "onnx":
        return
    for name, wanted in manifest.trained.libraries:
        installed = _installed(name)
        if installed == wanted:
            yield ok("libraries", f"{version}: {name} {wanted}")
        elif is_compiled:
            yield ok("libraries", f"{version} is compiled: {name} {wanted} is not needed")
        else:
            here = f"here is {installed}" if installed else "it is not installed here"
            message = f"{version} was trained with {name} {wanted}, {here}"
            is_sound = is_name(name) and is_name(wanted.replace("+", "."))
            cure = ("pip", "install", f"{name}=={wanted}") if is_sound else ()
            yield warning("libraries", message, *cure)


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        return ""
