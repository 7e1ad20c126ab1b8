"""Find two versions on the disk and compare what they promise."""

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from modeld.domain import ModelVersion
from modeld.errors import ArtifactNotReady
from modeld.repository.comparison import Comparison, FilePair, MetricPair, Pair, compare
from modeld.repository.digest import DigestCache, digest_of
from modeld.repository.files import is_noise
from modeld.repository.manifest import MANIFEST, FileEntry, Manifest, read_manifest
from modeld.repository.versions import Repository
from modeld.runtimes.formats import detect


def compare_versions(
    repository: Repository,
    before: ModelVersion,
    after: ModelVersion,
    named: tuple[str, ...] = (),
    cache: DigestCache | None = None,
) -> Comparison:
    """Compare two versions; raises why one of them cannot be looked at."""
    old, old_digest = _look(repository.folder(before, named), cache)
    new, new_digest = _look(repository.folder(after, named), cache)
    return compare(old, new, old_digest, new_digest)


def _look(folder: Path, cache: DigestCache | None) -> tuple[Manifest, str]:
    try:
        manifest = read_manifest(folder)
        digest = digest_of(folder, manifest, cache)
        return _completed(folder, manifest or Manifest()), digest
    except OSError as error:
        raise ArtifactNotReady(f"{folder.name} cannot be read: {error.strerror}") from error


def _completed(folder: Path, manifest: Manifest) -> Manifest:
    """Let the files say what the manifest does not."""
    paths = [path for path in sorted(folder.iterdir()) if not is_noise(path.name)]
    names = [path.name for path in paths]
    return replace(
        manifest,
        format=manifest.format or detect(folder, names)[0],
        files=manifest.files or tuple(_entry(path) for path in paths if _is_compared(path)),
    )


def _is_compared(path: Path) -> bool:
    return path.name != MANIFEST and path.is_file() and not path.is_symlink()


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(path.name, path.stat().st_size, sha256)


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Give a comparison for JSON."""
    return {
        "digest": _document(comparison.digest),
        "format": _document(comparison.format),
        "files": [_document(pair) for pair in comparison.files],
        "inputs": [_document(pair) for pair in comparison.inputs],
        "outputs": [_document(pair) for pair in comparison.outputs],
        "libraries": [_document(pair) for pair in comparison.libraries],
        "metrics": [
            _document(pair) | {"difference": pair.difference} for pair in comparison.metrics
        ],
        "trained": [_document(pair) for pair in comparison.trained],
    }


def _document(pair: Pair | FilePair | MetricPair) -> dict[str, Any]:
    return {**asdict(pair), "change": pair.change}
