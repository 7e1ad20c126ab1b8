"""Take the digest of a version whose files may be Git LFS pointers.

A pointer says size and sha256 of the file that it stands for, which is all that a digest
needs: what was never fetched can be compared with what the manifest lists.
"""

from pathlib import Path

from modeld.errors import LfsPointer
from modeld.git.lfs import LONGEST_POINTER, Pointer, parse_pointer
from modeld.repository.digest import (
    Found,
    check_listed,
    model_paths,
    read_through,
    samples_path,
)
from modeld.repository.files import VersionFolder
from modeld.repository.manifest import FileEntry, Manifest


def read_entries(folder: Path, manifest: Manifest | None) -> tuple[FileEntry, ...]:
    """Hash the files of a version; a pointer counts as its file. Raises a `VersionError`."""
    with VersionFolder(folder, folder.name) as source:
        paths = model_paths(source, manifest)
        return tuple(_entry(source, path) for path in paths)


def check_entries(
    folder: Path, manifest: Manifest | None, entries: tuple[FileEntry, ...], *, allows: bool
) -> None:
    """Compare the files with the manifest; where `allows`, pointers to what it lists will do.

    Raises `LfsPointer` or `DigestMismatch`.
    """
    listed = {entry.path for entry in manifest.files} if manifest and allows else set()
    with VersionFolder(folder, folder.name) as source:
        paths = model_paths(source, manifest)
        samples = samples_path(source, manifest, paths)
        for path in (*paths, *((samples,) if samples else ())):
            if path not in listed and _pointer(source, path) is not None:
                raise LfsPointer(f"{path} is a Git LFS pointer and {_advice(allows)}")
    check_listed(folder.name, manifest, entries)


def _advice(allows: bool) -> str:
    wanted = "model.yaml does not list its digest" if allows else "not the file itself"
    return f"{wanted}; run: git lfs pull"


def _entry(source: VersionFolder, path: str) -> FileEntry:
    pointer = _pointer(source, path)
    if pointer is not None:
        return FileEntry(path, pointer.size, pointer.oid)
    return read_through(source, Found(path, source.identify(path)))


def _pointer(source: VersionFolder, path: str) -> Pointer | None:
    if source.identify(path).size > LONGEST_POINTER:
        return None
    return parse_pointer(source.read(path, limit=LONGEST_POINTER))
