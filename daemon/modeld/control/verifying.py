"""Check a repository before its change is merged: what a server would refuse, found earlier.

No model is opened here. Whatever is wrong is found in one go, a line for each.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from modeld.control.admission import check_supported, check_trust
from modeld.control.pointed import check_entries, read_entries
from modeld.desired.document import DesiredState, parse
from modeld.domain import ModelVersion
from modeld.errors import ArtifactNotReady, DigestMismatch, ModeldError, UnknownFormat, WishError
from modeld.repository.digest import combine
from modeld.repository.manifest import COMPILED, FileEntry, Manifest, read_manifest
from modeld.repository.versions import Repository
from modeld.runtimes.formats import SUFFIXES, detect, executes_code


@dataclass(frozen=True, slots=True)
class Seen:
    """A version as its files are now."""

    version: ModelVersion
    folder: Path
    manifest: Manifest | None
    entries: tuple[FileEntry, ...]

    @property
    def digest(self) -> str:
        """The digest of its files."""
        return combine(self.entries)

    @property
    def described(self) -> Manifest:
        """Its manifest, completed by what the files say."""
        manifest = self.manifest or Manifest()
        return replace(manifest, format=_format(self), files=manifest.files or self.entries)


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found. `wish` is `None` where the state file cannot be understood."""

    wish: DesiredState | None
    seen: tuple[Seen, ...]
    problems: tuple[str, ...]


def verify_files(state: Path, models: Path, trust: str, *, allows_pointers: bool) -> Verified:
    """Check the state file and every version that is there, by their files alone."""
    problems: list[str] = []
    wish = _read_wish(state, problems)
    repository = Repository(models)
    named = names_of(wish)
    seen = tuple(_see(repository, named, problems, allows_pointers=allows_pointers))
    for version, pin in wished(wish):
        found = next((each for each in seen if each.version == version), None)
        try:
            repository.folder(version, named)
            if found is not None:
                _check_wished(found, pin, trust)
        except ModeldError as error:
            problems.append(_said(f"{state}", error))
    return Verified(wish, seen, tuple(problems))


def names_of(wish: DesiredState | None) -> tuple[str, ...]:
    """Name the models that are wished for."""
    return tuple(each.model for each in wish.models) if wish else ()


def wished(wish: DesiredState | None) -> tuple[tuple[ModelVersion, str | None], ...]:
    """Name the versions that are wished for, with the digests that they are pinned to."""
    return tuple(
        (ModelVersion(each.model, version), each.pin_of(version))
        for each in (wish.models if wish else ())
        for version in dict.fromkeys((each.active, *each.also))
    )


def _read_wish(state: Path, problems: list[str]) -> DesiredState | None:
    try:
        return parse(state.read_bytes())
    except FileNotFoundError:
        problems.append(f"{state}: it is missing")
    except OSError as error:
        problems.append(f"{state}: {error.strerror}")
    except WishError as error:
        problems.append(f"{state}: {error}")
    return None


def _see(
    repository: Repository, named: tuple[str, ...], problems: list[str], *, allows_pointers: bool
) -> Iterator[Seen]:
    for entry in repository.listing(named).entries:
        for name in entry.versions:
            version = ModelVersion(entry.model, name)
            try:
                yield _look(repository.folder(version, named), version, allows_pointers)
            except ModeldError as error:
                problems.append(_said(str(version), error))


def _look(folder: Path, version: ModelVersion, allows_pointers: bool) -> Seen:
    manifest = read_manifest(folder)
    entries = read_entries(folder, manifest)
    if all(entry.path == COMPILED for entry in entries):
        raise ArtifactNotReady("its folder holds no model file")
    check_entries(folder, manifest, entries, allows=allows_pointers)
    return Seen(version, folder, manifest, entries)


def _check_wished(seen: Seen, pin: str | None, trust: str) -> None:
    manifest = seen.manifest
    if manifest is not None:
        check_supported(seen.version, manifest)
    if pin is not None and pin != seen.digest:
        raise DigestMismatch(f"{seen.version} is pinned to {pin}, its files have {seen.digest}")
    has_compiled = (seen.folder / COMPILED).exists()
    if trust == "safe" and has_compiled:
        return
    is_pinned = pin is not None or bool(manifest and manifest.is_pinned)
    trusted = manifest.trusted if manifest else ()
    check_trust(seen.version, _format(seen), trust, is_pinned=is_pinned, trusted=trusted)


def _format(seen: Seen) -> str:
    """Name the format; by the file's name where a pointer stands for the file."""
    names = [entry.path for entry in seen.entries]
    wanted = seen.manifest.format if seen.manifest else None
    try:
        return detect(seen.folder, names, wanted)[0]
    except UnknownFormat:
        by_name = (SUFFIXES.get(Path(name).suffix) for name in names if name != COMPILED)
        kinds = [kind for kind in by_name if kind]
        return wanted or next(filter(executes_code, kinds), "") or "".join(kinds[:1])


def _said(label: str, error: ModeldError) -> str:
    text = str(error)
    return text if text.startswith((label, label.rpartition("/")[2])) else f"{label}: {text}"
