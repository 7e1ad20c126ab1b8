"""Copy a version into a private folder and hash it on the way.

What is loaded later is the copy, so that the bytes that were hashed are the
bytes that are opened, whatever happens to the original meanwhile. Files that
the manifest does not list are not copied. A copy is complete or it is gone.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from modeld.domain import ModelVersion
from modeld.errors import RuntimeUnwritable
from modeld.repository.digest import (
    Found,
    check_listed,
    check_unchanged,
    combine,
    read_through,
    take_inventory,
)
from modeld.repository.files import VersionFolder
from modeld.repository.manifest import COMPILED, FileEntry, Manifest

_PREFIX = "staged-"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Staged:
    """A private copy of a version. `files` hold the model; `size` is their sum in bytes."""

    version: ModelVersion
    folder: Path
    files: tuple[FileEntry, ...]
    digest: str
    size: int
    samples: Path | None = None


def stage(version: ModelVersion, folder: Path, manifest: Manifest | None, into: Path) -> Staged:
    """Copy the files of a version into a new folder under `into`.

    Raises `ArtifactNotReady`, `LfsPointer` or `DigestMismatch`, and
    `RuntimeUnwritable` when the copy cannot be written.
    """
    with VersionFolder(folder, str(version)) as source:
        target = _private_folder(version, into)
        try:
            return _fill(version, source, manifest, target)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise


def stage_compiled(native: Staged, compiled: Path, into: Path) -> Staged:
    """Copy a compiled file, and the native version's golden samples, into a new folder.

    A link where the file system has them: the bytes stay when the original is deleted.
    Raises `RuntimeUnwritable`.
    """
    target = _private_folder(native.version, into)
    with _writing(str(native.version)):
        try:
            samples = _linked(native.samples, target) if native.samples else None
            _linked(compiled, target, COMPILED)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
    return replace(native, folder=target, samples=samples)


def _linked(file: Path, folder: Path, name: str = "") -> Path:
    target = folder / (name or file.name)
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)
    return target


def discard(staged: Staged) -> None:
    """Delete a copy. One that is gone already is fine."""
    shutil.rmtree(staged.folder, ignore_errors=True)


def sweep(into: Path) -> int:
    """Delete the copies that an earlier process left, and say how many there were."""
    found = into.glob(f"{_PREFIX}*")
    leftovers = [path for path in found if path.is_dir() and not path.is_symlink()]
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    return len(leftovers)


def _fill(
    version: ModelVersion, source: VersionFolder, manifest: Manifest | None, target: Path
) -> Staged:
    inventory = take_inventory(source, manifest)
    files = tuple(_copy(source, found, target) for found in inventory.files)
    samples = inventory.samples
    if samples is not None:
        _copy(source, samples, target)
    check_unchanged(source, manifest, inventory)
    check_listed(source.label, manifest, files)
    return Staged(
        version=version,
        folder=target,
        files=files,
        digest=combine(files),
        size=sum(entry.size for entry in files),
        samples=target / samples.path if samples is not None else None,
    )


def _copy(source: VersionFolder, found: Found, target: Path) -> FileEntry:
    copy = target / found.path
    with _writing(source.label):
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(copy, _NEW, 0o400)
    with os.fdopen(handle, "wb", buffering=0) as file:

        def write(block: bytes) -> None:
            with _writing(source.label):
                rest = memoryview(block)
                while rest:
                    rest = rest[file.write(rest) or 0 :]

        return read_through(source, found, write)


def _private_folder(version: ModelVersion, into: Path) -> Path:
    with _writing(str(version)):
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{version}-", dir=into))


@contextmanager
def _writing(label: str) -> Iterator[None]:
    """Tell trouble with the copy from trouble with the original."""
    try:
        yield
    except OSError as error:
        raise RuntimeUnwritable(
            f"{label} cannot be copied into the runtime folder: {error.strerror}"
        ) from error
