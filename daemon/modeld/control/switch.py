"""Make what was gathered for a wish live: publish it, and write down what happened."""

import asyncio
import time
from collections.abc import Callable, Mapping

from modeld.control.changes import Cause, Gathered, Steps, Wish, named_by
from modeld.control.gathering import Gathering
from modeld.control.history import ROLLBACK
from modeld.control.improving import Improving
from modeld.control.ledger import Entry
from modeld.control.loader import Loader
from modeld.control.plan import to_unload
from modeld.control.publisher import Publisher
from modeld.control.recording import Recording
from modeld.control.release import LoadedRelease
from modeld.desired.document import DesiredState
from modeld.domain import ModelVersion
from modeld.errors import ModeldError, RuntimeUnwritable
from modeld.log import get_logger

log = get_logger()


class Switch:
    """Publishes; `keep_warm` seconds and `max_loaded` bound what stays loaded."""

    def __init__(
        self,
        loader: Loader,
        publisher: Publisher,
        recording: Recording,
        *,
        keep_warm: float,
        max_loaded: int,
        compile_timeout: float,
    ) -> None:
        self._publisher = publisher
        self._ledger = recording.ledger
        self.recording = recording
        self._keep_warm = keep_warm
        self._max_loaded = max_loaded
        self._improving = Improving(loader, publisher)
        self.gathering = Gathering(loader, publisher, recording.ledger, patience=compile_timeout)
        self.since: dict[str, float] = {}
        self.rollbacks = 0
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
            newest = map(self._newest, gathered.live.values())
            named = {release.version: release for release in newest}
            everything = {**self._publisher.loaded, **named}
            loaded = self._without_idle(everything, wanted | frozenset(named))
            live = {model: named[release.version] for model, release in gathered.live.items()}
            if live == self._publisher.live and loaded == self._publisher.loaded:
                await steps.before_commit()
            else:
                await self._publisher.publish(live, loaded, steps.before_commit)
            self._wanted = wanted
            self.gathering.forget_published(named)
            self._improving.later()
            try:
                await asyncio.to_thread(self._write_down, wish, before, generation, cause)
            except RuntimeUnwritable as error:
                # It serves already; the file that asked for it is what a restart reads.
                log.warning("history.not_written", error=str(error))
            await steps.after_commit()

    def _newest(self, release: LoadedRelease) -> LoadedRelease:
        """Give what a gathered release became meanwhile: it may have been compiled."""
        now = self._publisher.loaded.get(release.version)
        return now if now is not None and now.spec.digest == release.spec.digest else release

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
            previous = last.version if last else None
            entry = self.recording.switched(release, previous, wish, generation, cause)
            self.since[model] = entry.at
            self.rollbacks += cause.trigger == ROLLBACK
            log.info(
                "version.live",
                version=str(release.version),
                previous=entry.previous,
                trigger=cause.trigger,
                actor=entry.actor,
                reason=entry.reason,
                seconds=entry.seconds,
                generation=generation,
            )

    async def want(self, version: ModelVersion, desired: DesiredState | None) -> int:
        """Load a version that a request names and publish it beside the others."""
        release = await self.gathering.load(version, desired)
        async with self._publisher.turn:
            if self._publisher.loaded.get(version) is not release:
                release.last_used = time.monotonic()
                loaded = {**self._publisher.loaded, version: release}
                kept = {**self._without_idle(loaded, self._wanted), version: release}
                await self._publisher.publish(self._publisher.live, kept)
                self._improving.later()
            self.gathering.forget_published((version,))
        return release.spec.id

    async def history(self, model: str) -> tuple[Entry, ...]:
        """Give the history of a model with what is live now, which may just be written down."""
        async with self._publisher.turn:
            return await asyncio.to_thread(self._ledger.history, model)

    def stop(self) -> None:
        """Stop what goes on in the background."""
        self._improving.stop()

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
            self.gathering.forget_stale(now, self._wanted)
            kept = self._without_idle(self._publisher.loaded, self._wanted)
            if kept != self._publisher.loaded:
                await self._publisher.publish(self._publisher.live, kept)

    def _without_idle(
        self, loaded: Mapping[ModelVersion, LoadedRelease], wanted: frozenset[ModelVersion]
    ) -> dict[ModelVersion, LoadedRelease]:
        live = {release.version for release in self._publisher.live.values()}
        gone = to_unload(
            wanted | live | self.gathering.asked(),
            {version: release.last_used for version, release in loaded.items()},
            time.monotonic(),
            keep_warm=self._keep_warm,
            max_loaded=self._max_loaded,
        )
        return {version: r for version, r in loaded.items() if version not in gone}
