"""Bring a version from the repository to the point where it could serve.

Stage and hash the files, check what they promise, open them in a host, try them. One
load of a version runs at a time, however many ask for it. Nothing that serves is
touched: what comes out is a proven release, or an error that says why not.
"""

import asyncio
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from modeld.control.admission import check_supported, check_trust
from modeld.control.hosts import Host, Nursery
from modeld.control.ledger import Ledger
from modeld.domain import Artifact, ModelVersion, ReleaseSpec
from modeld.errors import (
    BytesChanged,
    DigestMismatch,
    LoadFailed,
    ModeldError,
)
from modeld.log import get_logger
from modeld.messages import Loaded
from modeld.repository import staging
from modeld.repository.digest import DigestCache, digest_of
from modeld.repository.manifest import Manifest, read_manifest
from modeld.repository.samples import read_samples
from modeld.repository.versions import Repository
from modeld.runtimes.formats import detect
from modeld.slots import release_slot

log = get_logger()


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """What a load may take, and what may be loaded. Times in seconds, sizes in bytes."""

    trust: str
    timeout: float
    inplace_max: int


@dataclass(slots=True, eq=False)
class LoadedRelease:
    """A proven version. `host` is `None` once workers run it themselves."""

    spec: ReleaseSpec
    artifact: Artifact
    staged: staging.Staged
    loaded: Loaded
    host: Host | None
    last_used: float = 0.0
    predictions_seen: int = -1
    revived_at: float = 0.0
    revivals: int = 0
    reviving: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def version(self) -> ModelVersion:
        """Which version this is."""
        return self.spec.version


@dataclass(slots=True, eq=False)
class _Running:
    task: asyncio.Task[LoadedRelease]
    waiting: int = 0


class Loader:
    """Loads versions."""

    def __init__(
        self,
        repository: Repository,
        nursery: Nursery,
        ledger: Ledger,
        folder: Path,
        limits: LoadLimits,
    ) -> None:
        self._repository = repository
        self._nursery = nursery
        self._ledger = ledger
        self._folder = folder
        self._limits = limits
        self._digests = DigestCache()
        self._ids = count(1)
        self._slots: dict[tuple[ModelVersion, str], int] = {}
        self._running: dict[ModelVersion, _Running] = {}

    async def digest(self, version: ModelVersion, named: tuple[str, ...]) -> str:
        """Give the digest that the version's files have now; cheap when they did not change."""
        return await asyncio.to_thread(self._digest, version, named)

    def _digest(self, version: ModelVersion, named: tuple[str, ...]) -> str:
        folder = self._repository.folder(version, named)
        return digest_of(folder, read_manifest(folder), self._digests)

    async def load(
        self, version: ModelVersion, named: tuple[str, ...], pin: str | None
    ) -> LoadedRelease:
        """Load a version, joining a load of it that runs already.

        The load goes on when one who waits for it gives up, unless it was the last.
        """
        running = self._running.get(version)
        if running is None:
            running = self._running[version] = _Running(
                asyncio.create_task(self._load(version, named, pin))
            )
            running.task.add_done_callback(lambda done: self._ended(version, done))
        running.waiting += 1
        try:
            return await asyncio.shield(running.task)
        finally:
            running.waiting -= 1
            if not running.waiting:
                running.task.cancel()

    def _ended(self, version: ModelVersion, task: asyncio.Task[LoadedRelease]) -> None:
        del self._running[version]
        if not task.cancelled():
            task.exception()

    async def _load(
        self, version: ModelVersion, named: tuple[str, ...], pin: str | None
    ) -> LoadedRelease:
        staged, manifest = await self._stage_whole(version, named)
        try:
            artifact = await asyncio.to_thread(self._identify, staged, manifest, pin)
            host = self._nursery.start_host()
            try:
                loaded = await self._try(host, artifact)
                await asyncio.to_thread(self._ledger.remember_digest, version, artifact.digest)
            except BaseException:
                host.kill()
                raise
        except BaseException:
            staging.discard(staged)
            raise
        log.info(
            "version.loaded",
            version=str(version),
            seconds=round(loaded.seconds, 3),
            row_ms=round(loaded.row_seconds * 1e3, 3),
            in_place=loaded.in_place,
        )
        return LoadedRelease(self._spec(artifact, loaded, host), artifact, staged, loaded, host)

    async def _stage_whole(
        self, version: ModelVersion, named: tuple[str, ...]
    ) -> tuple[staging.Staged, Manifest | None]:
        """Stage in a thread; a copy that nobody waits for any more is deleted."""
        work = asyncio.create_task(asyncio.to_thread(self._stage, version, named))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(_discard_staged)
            raise

    def _stage(
        self, version: ModelVersion, named: tuple[str, ...]
    ) -> tuple[staging.Staged, Manifest | None]:
        folder = self._repository.folder(version, named)
        manifest = read_manifest(folder)
        return staging.stage(version, folder, manifest, self._folder), manifest

    def _identify(
        self, staged: staging.Staged, manifest: Manifest | None, pin: str | None
    ) -> Artifact:
        """Check everything that can be checked without interpreting a byte of the model."""
        if manifest is not None:
            check_supported(staged.version, manifest)
        self._check_digest(staged, pin)
        wanted = manifest.format if manifest else None
        format_name, path = detect(staged.folder, [f.path for f in staged.files], wanted)
        is_pinned = pin is not None or bool(manifest and manifest.files)
        check_trust(staged.version, format_name, self._limits.trust, is_pinned=is_pinned)
        if staged.samples is not None:
            read_samples(staged.samples)
        return Artifact(
            version=staged.version,
            format=format_name,
            path=str(path),
            digest=staged.digest,
            size=staged.size,
            pinned=is_pinned,
            samples=str(staged.samples) if staged.samples else "",
            columns=manifest.columns if manifest else (),
            rank=manifest.rank if manifest else -1,
            classes=manifest.classes if manifest else (),
            batching=manifest.batching if manifest else True,
        )

    def _check_digest(self, staged: staging.Staged, pin: str | None) -> None:
        if pin is not None and pin != staged.digest:
            raise DigestMismatch(
                f"{staged.version}: state/active.yaml pins {pin[:19]}…, "
                f"the files have {staged.digest[:19]}…"
            )
        first = self._ledger.first_digest(staged.version)
        if pin is None and first is not None and first != staged.digest:
            raise BytesChanged(
                f"{staged.version} has other bytes than when it was first used "
                f"({staged.digest[:19]}…, first {first[:19]}…); versions never change: "
                "put the old files back and keep these as a new version"
            )

    async def _try(self, host: Host, artifact: Artifact) -> Loaded:
        try:
            return await host.load(
                artifact, inplace_max=self._limits.inplace_max, seconds=self._limits.timeout
            )
        except ModeldError as error:
            raise _named(error, artifact.version) from error

    def _spec(self, artifact: Artifact, loaded: Loaded, host: Host) -> ReleaseSpec:
        runtime = "onnx" if artifact.format == "onnx" else "native"
        return ReleaseSpec(
            id=next(self._ids),
            version=artifact.version,
            digest=artifact.digest,
            runtime=runtime,
            path=artifact.path,
            host=0 if loaded.in_place else host.number,
            signature=loaded.signature,
            row_seconds=loaded.row_seconds,
            slot=self._slot(artifact.version, runtime),
            batching=artifact.batching,
        )

    def _slot(self, version: ModelVersion, runtime: str) -> int:
        """Give a version's metric slots; they stay its own for the life of the process."""
        key = (version, runtime)
        index = self._slots.setdefault(key, len(self._slots))
        return release_slot(index)

    def metric_slots(self) -> dict[tuple[ModelVersion, str], int]:
        """Say which slots belong to which version and runtime."""
        return {key: release_slot(index) for key, index in self._slots.items()}

    async def reload(self, release: LoadedRelease) -> Host:
        """Load a release again, into a new host, from its staged copy; raises `LoadFailed`."""
        host = self._nursery.start_host()
        try:
            await self._try(host, release.artifact)
        except BaseException:
            host.kill()
            raise
        return host

    def unload(self, release: LoadedRelease) -> None:
        """Let go of a release that no snapshot has any more."""
        if release.host is not None:
            release.host.leave()
        staging.discard(release.staged)
        log.info("version.unloaded", version=str(release.version))


def _discard_staged(work: asyncio.Task[tuple[staging.Staged, Manifest | None]]) -> None:
    if not work.cancelled() and work.exception() is None:
        staging.discard(work.result()[0])


def _named(error: ModeldError, version: ModelVersion) -> ModeldError:
    """Put the version's name in front of what its host reported."""
    message = str(error)
    if message.startswith(str(version)):
        return error
    if isinstance(error, LoadFailed):
        return type(error)(f"{version}: {message}")
    return LoadFailed(f"{version}: {message}")
