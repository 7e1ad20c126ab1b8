"""Give proven releases of what a wish names: warm, just loaded, or loaded now.

What is loaded and not yet published stays at hand for a minute: whoever asks next takes
it from here. A native version that is loaded for a switch without hurry is waited for to
be compiled, a while; the others are compiled once they serve.
"""

import asyncio
import contextlib
import time
from collections.abc import Collection

from modeld.control.changes import Gathered
from modeld.control.compilations import LIMIT_SECONDS
from modeld.control.ledger import Ledger
from modeld.control.loader import Loader
from modeld.control.publisher import Publisher
from modeld.control.release import LoadedRelease
from modeld.desired.document import DesiredState
from modeld.domain import ModelVersion
from modeld.errors import BytesChanged, CompileFailed, DigestMismatch, ModeldError

_FRESH_SECONDS = 60.0
_LOOK_SECONDS = 2.0


class Gathering:
    """Loads; `patience` is how many seconds a switch without hurry waits for compiling."""

    def __init__(
        self, loader: Loader, publisher: Publisher, ledger: Ledger, *, patience: float
    ) -> None:
        self._loader = loader
        self._publisher = publisher
        self._ledger = ledger
        self._patience = patience
        self._fresh: dict[ModelVersion, tuple[float, LoadedRelease]] = {}
        self._asked: dict[ModelVersion, float] = {}
        """Which warm versions were asked for and when: they must not go before they are served."""

    async def load(
        self, version: ModelVersion, desired: DesiredState | None, *, is_urgent: bool = True
    ) -> LoadedRelease:
        """Give a proven release of a version, warm or loaded now; raises why it cannot be.

        One that is loaded now is waited for to be compiled, a while, unless it is urgent.
        """
        named = tuple(wish.model for wish in desired.models) if desired else ()
        wish = desired.model(version.model) if desired else None
        pin = wish.pin_of(version.version) if wish else None
        ready = self._publisher.loaded.get(version)
        if ready is not None:
            self._asked[version] = time.monotonic()
        else:
            ready = self._take_fresh(version)
        if ready is None:
            return await self._load(version, named, pin, is_urgent=is_urgent)
        await self._publisher.bring_back(ready)
        digest = await self._loader.digest(version, named)
        if pin is not None and pin != digest:
            raise DigestMismatch(f"{version}: pinned to {pin[:19]}…, the files have {digest[:19]}…")
        if digest == ready.spec.digest:
            return ready
        if pin is None:
            raise BytesChanged(
                f"the files of {version} have changed since it was loaded; versions never change: "
                "put the old files back and keep the new ones as another version"
            )
        return await self._load(version, named, pin, is_urgent=is_urgent)

    async def _load(
        self, version: ModelVersion, named: tuple[str, ...], pin: str | None, *, is_urgent: bool
    ) -> LoadedRelease:
        release = self._keep_fresh(await self._loader.load(version, named, pin))
        if release.artifact.compile == "required" and release.is_native:
            return await self._insist(release)
        if not is_urgent and self._loader.wants_compiling(release):
            with contextlib.suppress(CompileFailed, TimeoutError):
                async with asyncio.timeout(self._patience):
                    return self._became(release, await self._loader.compiled(release))
        return release

    async def _insist(self, release: LoadedRelease) -> LoadedRelease:
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                return self._became(release, await self._loader.compiled(release))
        except (CompileFailed, TimeoutError) as error:
            self._drop_fresh(release)
            raise CompileFailed(
                f"{release.version}: model.yaml has compile: required, and it cannot be: {error}"
            ) from error

    def _became(self, native: LoadedRelease, compiled: LoadedRelease) -> LoadedRelease:
        """Use the compiled release, unless the native one serves by now.

        Then it is replaced as whatever serves is: by a publication.
        """
        if self._publisher.loaded.get(native.version) is native:
            return native
        return self._keep_fresh(compiled)

    def _take_fresh(self, version: ModelVersion) -> LoadedRelease | None:
        """Give what was loaded and not yet published, for another while."""
        found = self._fresh.get(version)
        return self._keep_fresh(found[1]) if found else None

    def _keep_fresh(self, release: LoadedRelease) -> LoadedRelease:
        before = self._fresh.get(release.version)
        if before is not None and before[1] is not release:
            self._loader.unload(before[1])
        self._fresh[release.version] = (time.monotonic(), release)
        return release

    def _drop_fresh(self, release: LoadedRelease) -> None:
        found = self._fresh.get(release.version)
        if found is not None and found[1] is release:
            del self._fresh[release.version]
            self._loader.unload(release)

    def asked(self) -> frozenset[ModelVersion]:
        """Give the warm versions that somebody was given who may be about to publish them."""
        return frozenset(self._asked)

    def forget_published(self, versions: Collection[ModelVersion]) -> None:
        """Leave what is published by now to the publisher; `versions` were to be."""
        for version in versions:
            self._asked.pop(version, None)
        for version, release in self._publisher.loaded.items():
            if version in self._fresh and self._fresh[version][1] is release:
                del self._fresh[version]
                release.last_used = time.monotonic()

    def forget_stale(self, now: float, wanted: Collection[ModelVersion]) -> None:
        """Unload what nobody came for."""
        for version, (since, release) in list(self._fresh.items()):
            if now - since > _FRESH_SECONDS and version not in wanted:
                self._drop_fresh(release)
        for version, since in list(self._asked.items()):
            if now - since > _FRESH_SECONDS:
                del self._asked[version]

    async def check_known(self, version: ModelVersion, desired: DesiredState | None) -> None:
        """Raise `VersionNotFound` or `ModelNotFound` now rather than after waiting for a load."""
        named = tuple(wish.model for wish in desired.models) if desired else ()
        await self._loader.digest(version, named)

    async def fingerprint(self, desired: DesiredState) -> tuple[str, ...]:
        """Give what the files of the wanted versions are like: their digests, or why not."""
        named = tuple(wish.model for wish in desired.models)
        found = []
        for wish in desired.models:
            try:
                version = ModelVersion(wish.model, wish.active)
                found.append(await self._loader.digest(version, named))
            except (ModeldError, OSError) as error:
                found.append(str(error))
        return tuple(found)

    async def files_change(self, desired: DesiredState, known: tuple[str, ...]) -> None:
        """Wait until the fingerprint is another than the known one."""
        while known == await self.fingerprint(desired):  # noqa: ASYNC110 - the disk tells nobody
            await asyncio.sleep(_LOOK_SECONDS)

    async def gather(self, desired: DesiredState, *, is_urgent: bool = True) -> Gathered:
        """Load what is to be live; what fails is named and keeps what serves.

        Models that the text does not name are kept too, unless all that it names loads: what
        is refused takes nothing down.
        """
        live: dict[str, LoadedRelease] = {}
        failures: dict[ModelVersion, ModeldError] = {}
        for wish in desired.models:
            version = ModelVersion(wish.model, wish.active)
            try:
                was_live = await asyncio.to_thread(self._was_live, version)
                urgent = is_urgent or was_live
                live[wish.model] = await self.load(version, desired, is_urgent=urgent)
            except ModeldError as error:
                failures[version] = error
        if failures:
            live = {**self._publisher.live, **live}
        return Gathered(live, failures)

    def _was_live(self, version: ModelVersion) -> bool:
        """Tell a step back, which is in a hurry, from a first switch to a version."""
        entries = self._ledger.history(version.model)
        return any(entry.version == version.version for entry in entries)

    async def gather_one(self, version: ModelVersion, desired: DesiredState) -> Gathered:
        """Load one version and leave everything else as it serves: for who is in a hurry."""
        release = await self.load(version, desired)
        return Gathered({**self._publisher.live, version.model: release}, {})
