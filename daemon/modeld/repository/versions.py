"""List the models and versions that could be served, by the names of folders alone.

    models/v1/            a version of the model `default`
    models/churn/v7/      a version of the model `churn`

A first-level folder is a model if it has no files of its own and only version
folders in it, or if the wish names it as one. No file is opened, so that
thousands of versions cost nothing. Symbolic links are not followed: a version
is always a folder of its own.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from modeld.domain import DEFAULT_MODEL, ModelVersion, is_name, is_version_name, natural_key
from modeld.errors import ArtifactNotReady, InvalidVersionName, ModelNotFound, VersionNotFound
from modeld.repository.files import is_noise

NAME_RULE = "letters, digits, '.', '_' and '-', at most 64, the first a letter or digit"

_SHOWN = 10
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class ModelListing:
    """A model and its versions, in natural order."""

    model: str
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """What the repository holds at one moment: `default` first, then the named models."""

    entries: tuple[ModelListing, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models."""
        return tuple(entry.model for entry in self.entries)

    def versions(self, model: str = DEFAULT_MODEL) -> tuple[str, ...]:
        """The versions of a model, in natural order; none if there is no such model."""
        found = (entry.versions for entry in self.entries if entry.model == model)
        return next(found, ())

    def __contains__(self, version: object) -> bool:
        return isinstance(version, ModelVersion) and version.version in self.versions(version.model)


@dataclass(frozen=True, slots=True)
class _Folder:
    """What stands directly in a folder. `files` is anything but folders and links to them."""

    folders: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def is_model(self) -> bool:
        return not self.files and bool(self.folders) and all(map(is_version_name, self.folders))


class Repository:
    """The tree of versions. Holds nothing: each call looks at the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def listing(self, named: Collection[str] = ()) -> Listing:
        """List all versions. `named` are the models that the wish names."""
        return self._list(_look_at_all(self._folder).folders, named)

    def _list(self, folders: Iterable[str], named: Collection[str]) -> Listing:
        versions: list[str] = []
        models: list[ModelListing] = []
        for name in folders:
            inside = _look(self._folder / name)
            if inside.is_model or (name in named and not inside.files):
                models += _model(name, inside, named)
            elif is_version_name(name):
                versions.append(name)
        default = [ModelListing(DEFAULT_MODEL, _ordered(versions))] if versions else []
        return Listing((*default, *sorted(models, key=lambda entry: _order(entry.model))))

    def folder(self, version: ModelVersion, named: Collection[str] = ()) -> Path:
        """Find the folder of a version, by names that are in the listing exactly.

        Raises `InvalidVersionName`, `ModelNotFound` or `VersionNotFound`.
        """
        _check_names(version)
        self._check_not_both(version.model, named)
        # Only the one folder is looked into: there may be thousands beside it.
        outer = version.version if version.model == DEFAULT_MODEL else version.model
        folders = _look_at_all(self._folder).folders
        if version not in self._list((name for name in folders if name == outer), named):
            raise _not_found(version, self._list(folders, named))
        return self.path(version)

    def new_path(self, version: ModelVersion, named: Collection[str] = ()) -> Path:
        """Say where a version that is to be added belongs.

        Raises `InvalidVersionName`, or `ModelNotFound` where its model is a version.
        """
        _check_names(version)
        if version.model != DEFAULT_MODEL and not is_version_name(version.model):
            raise InvalidVersionName(f"{version.model} is a word with a meaning of its own")
        self._check_not_both(version.model, {*named, version.model})
        return self.path(version)

    def path(self, version: ModelVersion) -> Path:
        """Say where a version that is in a listing stands, without looking again."""
        if version.model == DEFAULT_MODEL:
            return self._folder / version.version
        return self._folder / version.model / version.version

    def _check_not_both(self, model: str, named: Collection[str]) -> None:
        if model == DEFAULT_MODEL or model not in named:
            return
        files = _look(self._folder / model).files
        if files:
            raise ModelNotFound(
                f"models/{model} has a file of its own, {files[0]}, which makes it a version of "
                f"the model {DEFAULT_MODEL}; it cannot be a model too: move its files into "
                f"models/{model}/<version>/, or name the model otherwise"
            )


def _look_at_all(root: Path) -> _Folder:
    try:
        return _read(root)
    except (FileNotFoundError, NotADirectoryError):
        return _Folder()
    except OSError as error:
        raise ArtifactNotReady(f"the models folder cannot be read: {error.strerror}") from error


def _look(folder: Path) -> _Folder:
    """Read the names in a folder; one that cannot be read must not hide the others."""
    try:
        return _read(folder)
    except OSError:
        return _Folder()


def _read(folder: Path) -> _Folder:
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_noise(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif not _leads_to_folder(entry):
                files.append(entry.name)
    return _Folder(tuple(sorted(folders)), tuple(sorted(files)))


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _model(name: str, inside: _Folder, named: Collection[str]) -> Iterable[ModelListing]:
    """List a model, unless it has a name that none can have."""
    if name == DEFAULT_MODEL or not is_name(name) or not (is_version_name(name) or name in named):
        return ()
    return (ModelListing(name, _ordered(filter(is_version_name, inside.folders))),)


def _order(name: str) -> tuple[object, ...]:
    return (natural_key(name), name)


def _ordered(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=_order))


def _check_names(version: ModelVersion) -> None:
    if not is_name(version.model):
        raise InvalidVersionName(f"{_quoted(version.model)} is no model name: {NAME_RULE}")
    if not is_name(version.version):
        raise InvalidVersionName(f"{_quoted(version.version)} is no version name: {NAME_RULE}")
    if not is_version_name(version.version):
        raise InvalidVersionName(
            f"{version.version} is a word with a meaning of its own and no version name; "
            "name the version itself, such as v2"
        )


def _not_found(version: ModelVersion, listing: Listing) -> ModelNotFound | VersionNotFound:
    known = listing.versions(version.model)
    if version.model != DEFAULT_MODEL and version.model not in listing.models:
        models = listing.models
        return ModelNotFound(
            f"there is no model {version.model}; {_known(models)}; "
            f"to add it, put its files in models/{version.model}/{version.version}/",
            models,
        )
    advice = _advice(version, listing)
    return VersionNotFound(f"there is no version {version}; {_known(known)}; {advice}", known)


def _advice(version: ModelVersion, listing: Listing) -> str:
    """Say how the version would come to be there."""
    if version.model == DEFAULT_MODEL and version.version in listing.models:
        return (
            f"models/{version.version} has only folders in it, which makes it a model; "
            "to make it a version, put a file in it (model.yaml will do)"
        )
    path = (
        version.version if version.model == DEFAULT_MODEL else f"{version.model}/{version.version}"
    )
    return f"to add it, put its files in models/{path}/"


def _known(names: tuple[str, ...]) -> str:
    if not names:
        return "found none"
    if len(names) <= _SHOWN:
        return f"found {', '.join(names)}"
    return f"found {len(names)}, the last {', '.join(names[-_SHOWN:])}"


def _quoted(name: str) -> str:
    return ascii(name if len(name) <= _LONGEST else name[:_LONGEST] + "…")
