"""Bring a version from the repository to the point where it could serve.

Take it in, open it in a host, try it. A version whose compiled file is there is served by
that, and its pickle stays closed. One load of a version runs at a time, however many ask
for it. Nothing that serves is touched: what comes out is a proven release, or an error
that says why not.
"""

import asyncio
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from modeld.config import Settings
from modeld.control.admission import check_artifact
from modeld.control.compilations import Compilations
from modeld.control.hosts import Host
from modeld.control.intake import Intake, Taken
from modeld.control.ledger import Ledger
from modeld.control.nursery import Nursery
from modeld.control.release import LoadedRelease
from modeld.domain import Artifact, ModelVersion, ReleaseSpec
from modeld.errors import (
    BytesChanged,
    CompileFailed,
    HostDied,
    LoadFailed,
    LoadTimeout,
    ModeldError,
)
from modeld.log import get_logger
from modeld.messages import Loaded
from modeld.repository import staging
from modeld.repository.manifest import COMPILED as COMPILED_FILE
from modeld.runtimes.formats import COMPILED, is_native
from modeld.slots import release_slot

log = get_logger()


@dataclass(slots=True, eq=False)
class _Running:
    task: asyncio.Task[LoadedRelease]
    waiting: int = 0


class Loader:
    """Loads versions."""

    def __init__(
        self,
        intake: Intake,
        nursery: Nursery,
        compilations: Compilations,
        ledger: Ledger,
        settings: Settings,
    ) -> None:
        self._intake = intake
        self._nursery = nursery
        self._compilations = compilations
        self._ledger = ledger
        self._settings = settings
        self._ids = count(1)
        self._slots: dict[tuple[ModelVersion, str], int] = {}
        self._running: dict[ModelVersion, _Running] = {}

    async def digest(self, version: ModelVersion, named: tuple[str, ...]) -> str:
        """Give the digest that the version's files have now; cheap when they did not change."""
        return await self._intake.digest(version, named)

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
        taken = await self._intake.take(version, named, pin)
        try:
            await asyncio.to_thread(self._check_first_use, taken.artifact, pin)
            release = await self._load_compiled(taken) or await self._load_as_it_is(taken)
        except BaseException:
            staging.discard(taken.staged)
            raise
        return release

    def _check_first_use(self, artifact: Artifact, pin: str | None) -> None:
        first = self._ledger.first_digest(artifact.version)
        if pin is None and first is not None and first != artifact.digest:
            raise BytesChanged(
                f"{artifact.version} has other bytes than when it was first used "
                f"({artifact.digest[:19]}…, first {first[:19]}…); versions never change: "
                "put the old files back and keep these as a new version"
            )

    async def _load_as_it_is(self, taken: Taken) -> LoadedRelease:
        check_artifact(taken.artifact, self._settings.trust)
        return await self._open(taken.artifact, taken.staged)

    async def _load_compiled(self, taken: Taken) -> LoadedRelease | None:
        """Open the compiled file that lies beside the model or was made before, if it will do."""
        artifact = taken.artifact
        if not is_native(artifact.format) or self._why_not_compiled(artifact):
            return None
        path = self._find_compiled(taken)
        if path is None:
            return None
        try:
            release = await self._open_compiled(taken.staged, artifact, path)
        except LoadFailed as error:
            log.warning("compiled.unusable", version=str(artifact.version), error=str(error))
            if not isinstance(error, HostDied | LoadTimeout):
                # The file is at fault, not the moment.
                self._compilations.forget(artifact)
            if self._settings.trust == "safe":
                raise
            return None
        staging.discard(taken.staged)
        return release

    def _find_compiled(self, taken: Taken) -> Path | None:
        committed = taken.staged.folder / COMPILED_FILE
        return committed if committed.exists() else self._compilations.find(taken.artifact)

    def _why_not_compiled(self, artifact: Artifact) -> str:
        if not is_native(artifact.format):
            return ""
        if artifact.compile == "never":
            return "model.yaml has compile: never"
        return "" if self._settings.compile != "never" else "MODELD_COMPILE=never"

    async def _open_compiled(
        self, staged: staging.Staged, artifact: Artifact, path: Path
    ) -> LoadedRelease:
        """Load a version by its compiled file, from a private copy."""
        copy = await asyncio.to_thread(self._intake.take_compiled, staged, path)
        opened = replace(
            artifact,
            format=COMPILED,
            environment="",
            path=str(copy.folder / COMPILED_FILE),
            samples=str(copy.samples or ""),
        )
        try:
            return await self._open(opened, copy)
        except BaseException:
            staging.discard(copy)
            raise

    async def _open(self, artifact: Artifact, staged: staging.Staged) -> LoadedRelease:
        """Open a version in a host and try it; in more hosts where its manifest wants them."""
        hosts = [self._start_host(artifact)]
        try:
            loaded = await self._try(hosts[0], artifact)
            if not loaded.in_place:
                hosts += [self._start_host(artifact) for _ in range(artifact.hosts - 1)]
                await asyncio.gather(*(self._try(host, artifact) for host in hosts[1:]))
            await asyncio.to_thread(self._ledger.remember_digest, artifact.version, artifact.digest)
        except BaseException:
            for host in hosts:
                host.kill()
            raise
        log.info(
            "version.loaded",
            version=str(artifact.version),
            format=artifact.format,
            seconds=round(loaded.seconds, 3),
            row_ms=round(loaded.row_seconds * 1e3, 3),
            in_place=loaded.in_place,
        )
        spec = self._spec(artifact, loaded, hosts)
        why_native = loaded.why_native or self._why_not_compiled(artifact)
        return LoadedRelease(spec, artifact, staged, loaded, hosts, why_native)

    def _start_host(self, artifact: Artifact) -> Host:
        return self._nursery.start_host(artifact)

    async def _try(self, host: Host, artifact: Artifact) -> Loaded:
        try:
            return await host.load(
                artifact,
                inplace_max=self._settings.inplace_max,
                seconds=self._settings.load_timeout,
            )
        except ModeldError as error:
            raise _named(error, artifact.version) from error

    def wants_compiling(self, release: LoadedRelease) -> bool:
        """Tell whether a release could still become a compiled one."""
        return is_native(release.artifact.format) and not release.why_native

    async def compiled(self, release: LoadedRelease) -> LoadedRelease:
        """Compile a native release and load the result, once however many ask for it.

        The release goes on as it is; raises `CompileFailed` with the reason, which it keeps.
        """
        async with release.compiling:
            if release.became is None:
                try:
                    release.became = await self._compile(release)
                except CompileFailed as error:
                    release.why_native = str(error)
                    log.info("version.native", version=str(release.version), reason=str(error))
                    raise
            return release.became

    async def _compile(self, release: LoadedRelease) -> LoadedRelease:
        if release.why_native:
            raise CompileFailed(release.why_native)
        path = await self._compilations.compile(release.artifact)
        try:
            return await self._open_compiled(release.staged, release.artifact, path)
        except LoadFailed as error:
            self._compilations.forget(release.artifact)
            raise CompileFailed(f"the compiled model does not work: {error}") from error

    def _spec(self, artifact: Artifact, loaded: Loaded, hosts: list[Host]) -> ReleaseSpec:
        runtime = "native" if is_native(artifact.format) else artifact.format
        return ReleaseSpec(
            id=next(self._ids),
            version=artifact.version,
            digest=artifact.digest,
            runtime=runtime,
            path=artifact.path,
            hosts=() if loaded.in_place else tuple(host.number for host in hosts),
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
        host = self._start_host(release.artifact)
        try:
            await self._try(host, release.artifact)
        except BaseException:
            host.kill()
            raise
        return host

    def unload(self, release: LoadedRelease) -> None:
        """Let go of a release that no snapshot has any more."""
        for host in release.hosts:
            host.leave()
        staging.discard(release.staged)
        log.info("version.unloaded", version=str(release.version))


def _named(error: ModeldError, version: ModelVersion) -> ModeldError:
    """Put the version's name in front of what its host reported."""
    message = str(error)
    if message.startswith(str(version)):
        return error
    if isinstance(error, LoadFailed):
        return type(error)(f"{version}: {message}")
    return LoadFailed(f"{version}: {message}")
