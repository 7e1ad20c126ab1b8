"""Compile what serves natively, and replace it.

That is published as any change of what serves is, under the same version: only the runtime
is another.
"""

import asyncio

from modeld.control.loader import Loader
from modeld.control.publisher import Publisher
from modeld.control.release import LoadedRelease
from modeld.errors import CompileFailed, ModeldError
from modeld.log import get_logger

log = get_logger()


class Improving:
    """Compiles in the background."""

    def __init__(self, loader: Loader, publisher: Publisher) -> None:
        self._loader = loader
        self._publisher = publisher
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def later(self) -> None:
        """Compile in the background whatever serves and could be compiled."""
        for release in self._publisher.loaded.values():
            number = release.spec.id
            if number not in self._tasks and self._loader.wants_compiling(release):
                self._tasks[number] = asyncio.create_task(self._improve(release))

    async def _improve(self, release: LoadedRelease) -> None:
        try:
            await self._compile_and_publish(release)
        except ModeldError as error:
            release.why_native = str(error)
            log.warning("compiled.not_published", version=str(release.version), error=str(error))
        finally:
            del self._tasks[release.spec.id]

    async def _compile_and_publish(self, release: LoadedRelease) -> None:
        try:
            compiled = await self._loader.compiled(release)
        except CompileFailed:
            return  # noted by the loader
        async with self._publisher.turn:
            await self._publish(release, compiled)

    async def _publish(self, release: LoadedRelease, compiled: LoadedRelease) -> None:
        publisher = self._publisher
        serving = publisher.loaded.get(release.version)
        if serving is not release:
            if serving is not compiled:
                self._loader.unload(compiled)
            return
        compiled.last_used = release.last_used
        loaded = {**publisher.loaded, release.version: compiled}
        live = {
            model: compiled if each is release else each for model, each in publisher.live.items()
        }
        try:
            await publisher.publish(live, loaded)
        except BaseException:
            self._loader.unload(compiled)
            raise

    def stop(self) -> None:
        """Stop compiling in the background."""
        for task in list(self._tasks.values()):
            task.cancel()
