"""Make what a wish names live: load what is missing, publish, write down what happened."""

import asyncio
import time
from collections.abc import Callable, Mapping

from modeld.control.changes import Cause, Gathered, Steps, Wish, named_by
from modeld.control.ledger import Entry, Ledger
from modeld.control.loader import LoadedRelease, Loader
from modeld.control.plan import to_unload
from modeld.control.publisher import Publisher
from modeld.desired.document import DesiredState
from modeld.domain import ModelVersion
from modeld.errors import BytesChanged, DigestMismatch, ModeldError, RuntimeUnwritable
from modeld.log import get_logger

log = get_logger()

_FRESH_SECONDS = 60.0
_LOOK_SECONDS = 2.0


class Switch:
    """Loads and publishes; `keep_warm` seconds and `max_loaded` bound what stays loaded."""

    def __init__(
        self,
        loader: Loader,
        publisher: Publisher,
        ledger: Ledger,
        *,
        keep_warm: float,
        max_loaded: int,
    ) -> None:
        self._loader = loader
        self._publisher = publisher
        self._ledger = ledger
        self._keep_warm = keep_warm
        self._max_loaded = max_loaded
        self._fresh: dict[ModelVersion, tuple[float, LoadedRelease]] = {}
        """Loaded and not yet published: the next one who asks takes it from here."""
        self.since: dict[str, float] = {}
        self._wanted: frozenset[ModelVersion] = frozenset()
        self._publishing: set[asyncio.Task[None]] = set()

    @property
    def is_publishing(self) -> bool:
        """Whether a publication is on its way."""
        return bool(self._publishing)

    def live_versions(self) -> dict[str, str]:
        """Name the live version of each model."""
        return self._publisher.live_versions()

    def digest_of_live(self, model: str) -> str:
        """Give the digest of a model's live version; empty when none is live."""
        release = self._publisher.live.get(model)
        return release.spec.digest if release else ""

    async def load(self, version: ModelVersion, desired: DesiredState | None) -> LoadedRelease:
        """Give a proven release of a version, warm or loaded now; raises why it cannot be."""
        named = tuple(wish.model for wish in desired.models) if desired else ()
        wish = desired.model(version.model) if desired else None
        pin = wish.pin_of(version.version) if wish else None
        ready = self._publisher.loaded.get(version) or self._take_fresh(version)
        if ready is None:
            return self._keep_fresh(await self._loader.load(version, named, pin))
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
        return self._keep_fresh(await self._loader.load(version, named, pin))

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

    async def gather(self, desired: DesiredState) -> Gathered:
        """Load what is to be live; what fails is named and keeps what serves."""
        live: dict[str, LoadedRelease] = {}
        failures: dict[ModelVersion, ModeldError] = {}
        for wish in desired.models:
            version = ModelVersion(wish.model, wish.active)
            try:
                live[wish.model] = await self.load(version, desired)
            except ModeldError as error:
                failures[version] = error
                if kept := self._publisher.live.get(wish.model):
                    live[wish.model] = kept
        return Gathered(live, failures)

    async def gather_one(self, version: ModelVersion, desired: DesiredState) -> Gathered:
        """Load one version and leave everything else as it serves: for who is in a hurry."""
        release = await self.load(version, desired)
        return Gathered({**self._publisher.live, version.model: release}, {})

    def is_served(self, desired: DesiredState) -> bool:
        """Tell whether all that a wish names is loaded, and live where it is to be."""
        live = self.live_versions()
        is_live = all(live.get(wish.model) == wish.active for wish in desired.models)
        return is_live and all(version in self._publisher.loaded for version in named_by(desired))

    async def load_also(self, desired: DesiredState) -> tuple[str, ...]:
        """Load and publish the further versions that a wish lists; gives what went wrong."""
        problems = []
        for version in named_by(desired):
            if version in self._publisher.loaded:
                continue
            try:
                await self.want(version, desired)
            except ModeldError as error:
                problems.append(str(error))
        return tuple(problems)

    async def publish(
        self, wish: Wish, gathered: Gathered, *, generation: int, cause: Cause, steps: Steps
    ) -> None:
        """Serve what was gathered from now on, and write it down.

        Goes through even when its caller is cancelled: from the first commit there is no
        way back, and what was published must be written down. What was overtaken ends
        itself before that, in `before_commit`.
        """
        task = asyncio.create_task(self._publish(wish, gathered, generation, cause, steps))
        self._publishing.add(task)
        task.add_done_callback(self._published)
        await asyncio.shield(task)

    def _published(self, task: asyncio.Task[None]) -> None:
        self._publishing.discard(task)
        if not task.cancelled():
            task.exception()

    async def _publish(
        self, wish: Wish, gathered: Gathered, generation: int, cause: Cause, steps: Steps
    ) -> None:
        async with self._publisher.turn:
            before = self._publisher.live_versions()
            wanted = frozenset(named_by(wish.desired))
            named = {release.version: release for release in gathered.live.values()}
            everything = {**self._publisher.loaded, **named}
            loaded = self._without_idle(everything, wanted | frozenset(named))
            live = dict(gathered.live)
            if live == self._publisher.live and loaded == self._publisher.loaded:
                await steps.before_commit()
            else:
                await self._publisher.publish(live, loaded, steps.before_commit)
            self._wanted = wanted
            self._forget_fresh()
            try:
                await asyncio.to_thread(self._write_down, wish, before, generation, cause)
            except RuntimeUnwritable as error:
                # It serves already; the file that asked for it is what a restart reads.
                log.warning("history.not_written", error=str(error))
            await steps.after_commit()

    def _write_down(
        self, wish: Wish, before: Mapping[str, str], generation: int, cause: Cause
    ) -> None:
        for model, release in self._publisher.live.items():
            version = release.version.version
            if before.get(model) == version:
                continue
            entries = self._ledger.history(model, limit=1)
            last = entries[-1] if entries else None
            if last is not None and last.version == version and model not in before:
                # The same version as before a restart: nothing was switched.
                self.since[model] = last.at
                continue
            entry = Entry(
                number=0,
                at=time.time(),
                model=model,
                version=version,
                previous=last.version if last else None,
                digest=release.spec.digest,
                trigger=cause.trigger,
                actor=cause.actor,
                reason=cause.reason,
                generation=generation,
                blob=wish.blob,
            )
            self._ledger.record(entry)
            self.since[model] = entry.at
            log.info(
                "version.live",
                version=str(release.version),
                previous=entry.previous,
                trigger=cause.trigger,
                generation=generation,
            )

    async def want(self, version: ModelVersion, desired: DesiredState | None) -> int:
        """Load a version that a request names and publish it beside the others."""
        release = await self.load(version, desired)
        async with self._publisher.turn:
            if self._publisher.loaded.get(version) is not release:
                release.last_used = time.monotonic()
                loaded = {**self._publisher.loaded, version: release}
                kept = {**self._without_idle(loaded, self._wanted), version: release}
                await self._publisher.publish(self._publisher.live, kept)
                self._forget_fresh()
        return release.spec.id

    async def collect(self, counts: Callable[[int], int]) -> None:
        """Unload what was idle for too long. `counts` gives the predictions at a metric slot."""
        now = time.monotonic()
        for release in self._publisher.loaded.values():
            seen = counts(release.spec.slot)
            if seen != release.predictions_seen or release.version in self._wanted:
                release.predictions_seen, release.last_used = seen, now
        if self._publisher.turn.locked():
            return
        async with self._publisher.turn:
            for version, (since, release) in list(self._fresh.items()):
                if now - since > _FRESH_SECONDS and version not in self._wanted:
                    del self._fresh[version]
                    self._loader.unload(release)
            kept = self._without_idle(self._publisher.loaded, self._wanted)
            if kept != self._publisher.loaded:
                await self._publisher.publish(self._publisher.live, kept)

    def _without_idle(
        self, loaded: Mapping[ModelVersion, LoadedRelease], wanted: frozenset[ModelVersion]
    ) -> dict[ModelVersion, LoadedRelease]:
        live = {release.version for release in self._publisher.live.values()}
        gone = to_unload(
            wanted | live,
            {version: release.last_used for version, release in loaded.items()},
            time.monotonic(),
            keep_warm=self._keep_warm,
            max_loaded=self._max_loaded,
        )
        return {version: r for version, r in loaded.items() if version not in gone}

    def _forget_fresh(self) -> None:
        for version, release in self._publisher.loaded.items():
            if version in self._fresh and self._fresh[version][1] is release:
                del self._fresh[version]
                release.last_used = time.monotonic()
