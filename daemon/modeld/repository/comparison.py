"""Compare what two versions promise: their manifests, side by side.

Everything is listed, also what is equal, so that a reader sees what was looked at. A version
without a manifest compares by its digest alone, unless the caller makes a manifest of the
files that it found.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modeld.domain import Scalar
from modeld.repository.manifest import FileEntry, Manifest, Trained

SAME, ADDED, REMOVED, CHANGED = "same", "added", "removed", "changed"


@dataclass(frozen=True, slots=True)
class Pair:
    """One thing of both versions, in words; `None` where a version does not have it."""

    name: str
    before: str | None
    after: str | None

    @property
    def change(self) -> str:
        """Say in one word what happened to it."""
        return _change(self.before, self.after)


@dataclass(frozen=True, slots=True)
class FilePair:
    """One file of both versions; `None` where a version does not have it."""

    path: str
    before: FileEntry | None
    after: FileEntry | None

    @property
    def change(self) -> str:
        """Say in one word what happened to it."""
        return _change(self.before, self.after)


@dataclass(frozen=True, slots=True)
class MetricPair:
    """One measure of both versions; `None` where a version does not give it."""

    name: str
    before: float | None
    after: float | None

    @property
    def change(self) -> str:
        """Say in one word what happened to it."""
        return _change(self.before, self.after)

    @property
    def difference(self) -> float | None:
        """How much more it is, where both give it."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions side by side, in the order of the older one, what is new at the end."""

    digest: Pair
    format: Pair
    files: tuple[FilePair, ...]
    inputs: tuple[Pair, ...]
    outputs: tuple[Pair, ...]
    libraries: tuple[Pair, ...]
    metrics: tuple[MetricPair, ...]
    trained: tuple[Pair, ...]

    @property
    def is_same_input(self) -> bool:
        """Whether requests that the one takes mean the same to the other, as far as is said."""
        return all(pair.change == SAME for pair in self.inputs)


def compare(
    before: Manifest | None, after: Manifest | None, digest_before: str, digest_after: str
) -> Comparison:
    """Put two versions side by side; a manifest is `None` where a version has none."""
    old, new = before or Manifest(), after or Manifest()
    old_training, new_training = old.trained or Trained(), new.trained or Trained()
    return Comparison(
        digest=Pair("digest", digest_before or None, digest_after or None),
        format=Pair("format", old.format, new.format),
        files=_files(old.files, new.files),
        inputs=_pairs(_inputs(old), _inputs(new)),
        outputs=_pairs(_outputs(old), _outputs(new)),
        libraries=_pairs(dict(old_training.libraries), dict(new_training.libraries)),
        metrics=_metrics(dict(old_training.metrics), dict(new_training.metrics)),
        trained=_pairs(_training(old_training), _training(new_training)),
    )


def _change(before: object, after: object) -> str:
    if before == after:
        return SAME
    if before is None:
        return ADDED
    return REMOVED if after is None else CHANGED


def _names(before: Iterable[str], after: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*before, *after)))


def _pairs(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Pair, ...]:
    names = _names(before, after)
    return tuple(Pair(name, before.get(name), after.get(name)) for name in names)


def _files(before: Iterable[FileEntry], after: Iterable[FileEntry]) -> tuple[FilePair, ...]:
    old, new = {entry.path: entry for entry in before}, {entry.path: entry for entry in after}
    return tuple(FilePair(path, old.get(path), new.get(path)) for path in _names(old, new))


def _metrics(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[MetricPair, ...]:
    names = _names(before, after)
    return tuple(MetricPair(name, before.get(name), after.get(name)) for name in names)


def _inputs(manifest: Manifest) -> dict[str, str]:
    return {
        column.name: (column.type or "any type") + (", may be missing" if column.nullable else "")
        for column in manifest.columns
    }


def _outputs(manifest: Manifest) -> dict[str, str]:
    threshold = manifest.threshold
    found = {
        "kind": manifest.kind,
        "classes": ", ".join(map(_label, manifest.classes)),
        "threshold": f"{_label(threshold.label)} at {threshold.at:g}" if threshold else "",
    }
    return {name: text for name, text in found.items() if text}


def _label(label: Scalar) -> str:
    """Write a class so that the text `1` and the number 1 are told apart."""
    return repr(label)


def _training(trained: Trained) -> dict[str, str]:
    found = {"at": trained.at, "commit": trained.commit}
    return {name: text for name, text in found.items() if text}
