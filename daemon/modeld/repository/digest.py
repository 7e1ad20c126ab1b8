"""Say what the bytes of a version are, in one digest.

It is the sha256 over the sorted lines `sha256 size path` of the files that hold
the model. The manifest, the golden samples and the compiled file are left out,
so that they can be added to a version later without making it another one.

Reading is guarded the same way whether the bytes are copied (`staging`) or only
hashed: an inventory is taken before and after, and the two must be equal.
"""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from modeld.errors import ArtifactNotReady, DigestMismatch, LfsPointer
from modeld.repository.files import Identity, VersionFolder, still_being_written
from modeld.repository.manifest import COMPILED, MANIFEST, SAMPLES, FileEntry, Manifest

LFS_HEAD = b"version https://git-lfs.github.com/spec/"

_BLOCK = 1 << 20
_MOST_CACHED = 20_000
# A file written twice within one tick of the clock may look the same both times.
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it stood when it was looked at."""

    path: str
    identity: Identity


@dataclass(frozen=True, slots=True)
class Inventory:
    """The files of a version: those that hold the model, and its golden samples."""

    files: tuple[Found, ...]
    samples: Found | None = None

    @property
    def all(self) -> tuple[Found, ...]:
        """Every file that is read."""
        return self.files if self.samples is None else (*self.files, self.samples)


class DigestCache:
    """Remember digests of files that have not changed since. Safe to share by threads."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._known: dict[Identity, str] = {}

    def get(self, identity: Identity) -> str | None:
        """Recall the sha256 of a file."""
        return self._known.get(identity)

    def put(self, identity: Identity, sha256: str) -> None:
        """Remember the sha256 of a file, unless it changed a moment ago."""
        if self._now_ns() - max(identity.changed_ns, identity.modified_ns) < _SETTLED_NS:
            return
        if len(self._known) >= _MOST_CACHED:
            self._known.clear()
        self._known[identity] = sha256


def digest_of(folder: Path, manifest: Manifest | None, cache: DigestCache | None = None) -> str:
    """Compute the digest of a version where it stands.

    Raises `ArtifactNotReady`, `LfsPointer` or `DigestMismatch`, as staging it would.
    """
    cache = cache or DigestCache()
    with VersionFolder(folder, folder.name) as source:
        inventory = take_inventory(source, manifest)
        files = tuple(_entry(source, found, cache) for found in inventory.files)
        check_unchanged(source, manifest, inventory)
    check_listed(source.label, manifest, files)
    return combine(files)


def combine(files: Iterable[FileEntry]) -> str:
    """Make one digest of the digests of the files that hold the model."""
    lines = [f"{each.sha256} {each.size} {each.path}\n" for each in files if _counts(each.path)]
    return f"sha256:{hashlib.sha256(''.join(sorted(lines)).encode()).hexdigest()}"


def take_inventory(source: VersionFolder, manifest: Manifest | None) -> Inventory:
    """Find the files of a version, and refuse those that are plainly not ready."""
    paths = model_paths(source, manifest)
    samples = samples_path(source, manifest, paths)
    if not any(map(_counts, paths)):
        raise ArtifactNotReady(f"{source.label}: its folder holds no model file yet")
    inventory = Inventory(
        tuple(Found(path, source.identify(path)) for path in paths),
        Found(samples, source.identify(samples)) if samples else None,
    )
    for found in inventory.all:
        _check_not_pointer(source, found)
    _check_arrived(source.label, manifest, inventory)
    return inventory


def check_unchanged(source: VersionFolder, manifest: Manifest | None, before: Inventory) -> None:
    """Make sure that no file was written to, replaced or added since the inventory."""
    after = take_inventory(source, manifest)
    changed = set(before.all) ^ set(after.all)
    if changed:
        raise still_being_written(source.label, min(found.path for found in changed))


def check_listed(label: str, manifest: Manifest | None, files: Iterable[FileEntry]) -> None:
    """Compare the files with what the manifest lists."""
    listed = {each.path: each for each in manifest.files} if manifest else {}
    for found in files:
        expected = listed.get(found.path, found)
        if found == expected:
            continue
        raise DigestMismatch(
            f"{label}: {found.path}: expected sha256 {expected.sha256[:12]} "
            f"({expected.size} bytes), found {found.sha256[:12]} ({found.size} bytes); "
            "versions never change; keep it as a new one, in a folder of its own"
        )


def read_through(
    source: VersionFolder, found: Found, sink: Callable[[bytes], object] | None = None
) -> FileEntry:
    """Hash one file of an inventory, and hand its bytes on as they are hashed."""
    digest, size = hashlib.sha256(), 0
    with source.open(found.path) as file:
        if source.identity_of(file) != found.identity:
            raise still_being_written(source.label, found.path)
        for block in _blocks(file):
            digest.update(block)
            size += len(block)
            if size > found.identity.size:
                break
            if sink is not None:
                sink(block)
    if size != found.identity.size:
        raise still_being_written(source.label, found.path)
    return FileEntry(found.path, size, digest.hexdigest())


def _blocks(file: FileIO) -> Iterable[bytes]:
    return iter(lambda: file.read(_BLOCK), b"")


def _entry(source: VersionFolder, found: Found, cache: DigestCache) -> FileEntry:
    known = cache.get(found.identity)
    if known is not None:
        return FileEntry(found.path, found.identity.size, known)
    entry = read_through(source, found)
    cache.put(found.identity, entry.sha256)
    return entry


def _counts(path: str) -> bool:
    return path != COMPILED


def model_paths(source: VersionFolder, manifest: Manifest | None) -> tuple[str, ...]:
    """Name the files that hold the model: those listed, else all there are."""
    listed = manifest.paths() if manifest else ()
    if manifest and manifest.files:
        return tuple(sorted(listed))
    left_out = {MANIFEST, (manifest.samples if manifest else "") or SAMPLES}
    return tuple(sorted({*source.walk(), *listed} - left_out))


def samples_path(source: VersionFolder, manifest: Manifest | None, paths: tuple[str, ...]) -> str:
    """Name the golden samples: those that the manifest names, else the file of that name."""
    if manifest and manifest.samples:
        return manifest.samples
    return SAMPLES if SAMPLES not in paths and source.has(SAMPLES) else ""


def _check_not_pointer(source: VersionFolder, found: Found) -> None:
    if found.identity.size < len(LFS_HEAD):
        return
    with source.open(found.path) as file:
        if file.read(len(LFS_HEAD)) == LFS_HEAD:
            raise LfsPointer(
                f"{source.label}: {found.path} is a Git LFS pointer and not the file itself; "
                "run: git lfs pull"
            )


def _check_arrived(label: str, manifest: Manifest | None, inventory: Inventory) -> None:
    """Tell half a copy from a changed file before anything large is read."""
    sizes = {each.path: each.size for each in manifest.files} if manifest else {}
    for found in inventory.files:
        size, expected = found.identity.size, sizes.get(found.path, 0)
        if size < expected:
            raise ArtifactNotReady(
                f"{label}: {found.path} has {size} of {expected} bytes, so it is still being "
                "written or was cut short"
            )
