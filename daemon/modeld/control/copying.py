"""Copy what is to become a version into its folder: a file, or a folder with all its files.

Of a folder that another tool wrote, the model is copied, and what that tool says of it is
taken along. A single file is named by what it is. Links are followed, since the copy is what
counts. Of a manifest in the folder, what a person says and a model cannot is taken along; what
modeld measures and writes itself is left out, because it is written anew.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modeld.errors import ArtifactNotReady, LfsPointer, UnknownFormat
from modeld.repository.digest import LFS_HEAD
from modeld.repository.files import MOST_FILES, is_noise
from modeld.repository.foreign import read_foreign
from modeld.repository.manifest import COMPILED, MANIFEST, SAMPLES, Manifest, read_manifest
from modeld.runtimes.formats import name_of

_OURS = (MANIFEST, SAMPLES, COMPILED)


@dataclass(frozen=True, slots=True)
class Brought:
    """What was copied, and what is known of it.

    `says` is what the manifest says already. `rows` are examples that came with the model,
    as `tool` keeps them; `notes` say what did not come along.
    """

    says: Manifest
    tool: str = ""
    rows: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()


def bring(source: Path, code: Sequence[Path], into: Path) -> Brought:
    """Copy a model with its code; raises a `VersionError` or `OSError`."""
    foreign = read_foreign(source) if source.is_dir() else None
    if foreign is None:
        before = _manifest_in(source)
        copy_model(source, into, besides=(before.samples,))
        says = _said_by_people(before)
        return Brought(replace(says, code=(*says.code, *copy_code(code, into))))
    copy_model(foreign.model, into)
    says = Manifest(
        code=copy_code((*foreign.code, *code), into),
        columns=foreign.columns,
        trusted=foreign.trusted,
    )
    return Brought(says, foreign.tool, foreign.rows, foreign.notes)


def own_environment(source: Path) -> Path | None:
    """Find the requirements that a folder's own manifest names; raises a `VersionError`."""
    if not source.is_dir() or read_foreign(source) is not None:
        return None
    name = _manifest_in(source).environment
    return source / name if name else None


def _manifest_in(source: Path) -> Manifest:
    found = read_manifest(source.resolve()) if source.is_dir() else None
    return found or Manifest()


def _said_by_people(manifest: Manifest) -> Manifest:
    """Leave out what is measured: files, answers, samples, and how it was trained."""
    return replace(
        manifest,
        format=None,
        files=(),
        kind="",
        classes=(),
        threshold=None,
        samples="",
        trained=None,
    )


def copy_model(source: Path, into: Path, besides: Sequence[str] = ()) -> None:
    """Copy a model's file, or its folder without the files of modeld and those of `besides`.

    Raises `ArtifactNotReady`, `UnknownFormat` or `OSError`.
    """
    if not source.exists():
        raise ArtifactNotReady(f"{source} is not there")
    if source.is_file():
        _check_not_pointer(source)
        shutil.copyfile(source, into / name_of(source))
        return
    if not source.is_dir():
        raise ArtifactNotReady(f"{source} is neither a file nor a folder")
    paths = [path for path in walk(source) if path not in (*_OURS, *besides)]
    if not paths:
        raise UnknownFormat(f"{source} has no files in it")
    _copy_all(source, paths, into)


def _check_not_pointer(source: Path) -> None:
    with source.open("rb") as file:
        if file.read(len(LFS_HEAD)) == LFS_HEAD:
            raise LfsPointer(f"{source} is a Git LFS pointer, not the model; run: git lfs pull")


def copy_code(sources: Sequence[Path], into: Path) -> tuple[str, ...]:
    """Copy modules and packages beside the model; gives their paths inside the folder."""
    names: list[str] = []
    for source in sources:
        if source.is_dir():
            paths = [f"{source.resolve().name}/{path}" for path in walk(source)]
            _copy_all(source.resolve().parent, paths, into)
        elif source.is_file():
            paths = [source.name]
            _copy_all(source.parent, paths, into)
        else:
            raise ArtifactNotReady(f"{source} is not there: --code takes a module or a package")
        names += paths
    return tuple(dict.fromkeys(names))


def copy_file(source: Path, into: Path) -> str:
    """Copy a file beside the model; gives its name."""
    _copy_all(source.parent, [source.name], into)
    return source.name


def walk(folder: Path) -> list[str]:
    """Name all files in a folder and below by their paths in it, in order."""
    found = sorted(_walk(folder, ""))
    if len(found) > MOST_FILES:
        raise ArtifactNotReady(f"{folder} has more than {MOST_FILES} files")
    return found


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_noise(entry.name):
                continue
            # A link to a folder may lead back to where it stands.
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.is_file():
                yield f"{prefix}{entry.name}"


def _copy_all(folder: Path, paths: Sequence[str], into: Path) -> None:
    for path in paths:
        target = into / path
        if target.exists():
            raise ArtifactNotReady(f"{path} is there twice: rename one of them")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, target)
