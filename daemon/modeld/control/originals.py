"""Look whether the files of live versions are still those that serve.

What serves is a private copy, so that nothing happens at once. But a restart could not load
such a version again, and somebody should hear of it before.
"""

from modeld.control.loader import Loader
from modeld.control.progress import Progress
from modeld.control.publisher import Publisher
from modeld.control.release import LoadedRelease
from modeld.domain import ModelVersion
from modeld.errors import ModeldError
from modeld.log import get_logger

log = get_logger()


class Originals:
    """What is wrong with the files of live versions."""

    def __init__(self, loader: Loader, publisher: Publisher, progress: Progress) -> None:
        self._loader = loader
        self._publisher = publisher
        self._progress = progress
        self.problems: dict[ModelVersion, str] = {}

    async def look(self) -> None:
        """Look at all of them; cheap where nothing has changed."""
        desired = self._progress.desired
        named = tuple(wish.model for wish in desired.models) if desired else ()
        found: dict[ModelVersion, str] = {}
        for release in tuple(self._publisher.live.values()):
            if problem := await self._problem(release, named):
                found[release.version] = problem
        if found != self.problems:
            for version, problem in found.items():
                log.warning("version.files_changed", version=str(version), problem=problem)
            self.problems = found
            self._progress.tell()

    async def _problem(self, release: LoadedRelease, named: tuple[str, ...]) -> str:
        try:
            digest = await self._loader.digest(release.version, named)
        except ModeldError as error:
            reason = str(error).removeprefix(f"{release.version}: ")
            return f"it serves, but could not be loaded again: {reason}"
        if digest != release.spec.digest:
            return "it serves, but its files have changed since and would be refused: put them back"
        return ""
