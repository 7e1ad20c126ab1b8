"""Take a version in: copy it, hash the copy, and check what can be without interpreting a byte.

Nothing of the model is opened here. What comes out says which file is to be opened, how,
and where the private copy lies.
"""

import asyncio
from pathlib import Path
from typing import NamedTuple

from modeld.control.admission import check_supported
from modeld.control.environments import environment_id
from modeld.domain import Artifact, ModelVersion
from modeld.errors import DigestMismatch, UnknownFormat
from modeld.repository import staging
from modeld.repository.digest import DigestCache, digest_of
from modeld.repository.manifest import Manifest, read_manifest
from modeld.repository.samples import read_samples
from modeld.repository.versions import Repository
from modeld.runtimes.formats import detect


class Taken(NamedTuple):
    """A version's private copy, and what is known of it."""

    staged: staging.Staged
    artifact: Artifact


class Intake:
    """Takes versions from the repository into private copies under `folder`."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        self._repository = repository
        self._folder = folder
        self._digests = DigestCache()

    async def digest(self, version: ModelVersion, named: tuple[str, ...]) -> str:
        """Give the digest that the version's files have now; cheap when they did not change."""
        return await asyncio.to_thread(self._digest, version, named)

    def _digest(self, version: ModelVersion, named: tuple[str, ...]) -> str:
        folder = self._repository.folder(version, named)
        return digest_of(folder, read_manifest(folder), self._digests)

    async def take(self, version: ModelVersion, named: tuple[str, ...], pin: str | None) -> Taken:
        """Copy and check in a thread; a copy that nobody waits for any more is deleted.

        Raises a `VersionError` that says what is wrong.
        """
        work = asyncio.create_task(asyncio.to_thread(self._take, version, named, pin))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(_discard)
            raise

    def _take(self, version: ModelVersion, named: tuple[str, ...], pin: str | None) -> Taken:
        folder = self._repository.folder(version, named)
        manifest = read_manifest(folder)
        staged = staging.stage(version, folder, manifest, self._folder)
        try:
            return Taken(staged, _identify(staged, manifest, pin))
        except BaseException:
            staging.discard(staged)
            raise

    def take_compiled(self, native: staging.Staged, compiled: Path) -> staging.Staged:
        """Make a private copy of a compiled file, with the native version's golden samples."""
        return staging.stage_compiled(native, compiled, self._folder)


def _discard(work: asyncio.Task[Taken]) -> None:
    if not work.cancelled() and work.exception() is None:
        staging.discard(work.result().staged)


def _environment(staged: staging.Staged, manifest: Manifest | None) -> str:
    if manifest is None or not manifest.environment:
        return ""
    return environment_id((staged.folder / manifest.environment).read_bytes())


def _identify(staged: staging.Staged, manifest: Manifest | None, pin: str | None) -> Artifact:
    if manifest is not None:
        check_supported(staged.version, manifest)
    if pin is not None and pin != staged.digest:
        raise DigestMismatch(
            f"{staged.version}: state/active.yaml pins {pin[:19]}…, "
            f"the files have {staged.digest[:19]}…"
        )
    wanted = manifest.format if manifest else None
    try:
        format_name, path = detect(staged.folder, [f.path for f in staged.files], wanted)
    except UnknownFormat as error:
        raise UnknownFormat(f"{staged.version}: {error}") from error
    if staged.samples is not None:
        read_samples(staged.samples)
    return Artifact(
        version=staged.version,
        format=format_name,
        path=str(path),
        digest=staged.digest,
        size=staged.size,
        pinned=pin is not None or bool(manifest and manifest.is_pinned),
        samples=str(staged.samples) if staged.samples else "",
        environment=_environment(staged, manifest),
        code=str(staged.folder) if manifest and manifest.code else "",
        columns=manifest.columns if manifest else (),
        rank=manifest.rank if manifest else -1,
        classes=manifest.classes if manifest else (),
        batching=manifest.batching if manifest else True,
        hosts=manifest.hosts if manifest else 1,
        libraries=manifest.trained.libraries if manifest and manifest.trained else (),
        max_memory=manifest.max_memory if manifest else 0,
        compile=manifest.compile if manifest else "auto",
        ignores_extra=bool(manifest and manifest.ignores_extra),
        device=manifest.device if manifest else "auto",
        trusted=manifest.trusted if manifest else (),
    )
