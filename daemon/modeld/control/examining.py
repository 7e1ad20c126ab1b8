"""Load versions as a server would, compare them with what was compiled, and say what is wrong.

Nothing is served. A version with a compiled file beside it is opened twice: by that file, as a
server would, and natively, to see that both still answer the same.
"""

import time
from dataclasses import dataclass
from enum import IntEnum

from modeld.config import Settings
from modeld.control.compilations import LIMIT_SECONDS
from modeld.control.loader import Loader
from modeld.control.offline import Offline, offline
from modeld.control.release import LoadedRelease
from modeld.domain import ModelVersion
from modeld.errors import CompileFailed, LoadFailed, ModeldError, SamplesDiffer
from modeld.repository import staging
from modeld.repository.manifest import COMPILED
from modeld.repository.versions import Repository
from modeld.runtimes.formats import is_native

Wished = tuple[tuple[ModelVersion, str | None], ...]


class Failure(IntEnum):
    """What kind of thing is wrong. The number is the command's exit code."""

    NONE = 0
    STATIC = 1
    LOAD = 2
    SAMPLES = 3
    COMPILED = 4


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found of a version. `seconds` is what loading took, `rows` what was compared.

    `samples` tells whether it has golden samples.
    `compiled` is empty where there is no compiled file, else `equal`, `differs` or `not compared`.
    """

    version: ModelVersion
    failure: Failure = Failure.NONE
    problem: str = ""
    seconds: float = 0.0
    compiled: str = ""
    rows: int = 0
    samples: bool = False


async def examine(
    settings: Settings, repository: Repository, versions: Wished, named: tuple[str, ...]
) -> tuple[Examined, ...]:
    """Load and try each version, one after another, with the digest that it is pinned to."""
    with offline(settings, repository) as tools:
        examiner = _Examiner(tools)
        return tuple([await examiner.examine(each, named, pin) for each, pin in versions])


async def load_once(
    loader: Loader, version: ModelVersion, named: tuple[str, ...], pin: str | None = None
) -> LoadedRelease:
    """Load a version and end it; gives what it was. Raises a `ModeldError` or `OSError`."""
    release = await loader.load(version, named, pin)
    for host in release.hosts:
        host.kill()
    staging.discard(release.staged)
    return release


class _Examiner:
    def __init__(self, tools: Offline) -> None:
        self._trust = tools.settings.trust
        self._intake = tools.intake
        self._nursery = tools.nursery
        self._loader = tools.loader()

    async def examine(
        self, version: ModelVersion, named: tuple[str, ...], pin: str | None
    ) -> Examined:
        """Load a version and compare it with its compiled file."""
        started = time.perf_counter()
        try:
            release = await load_once(self._loader, version, named, pin)
        except (ModeldError, OSError) as error:
            return Examined(version, failure_of(error), _said(version, error))
        seconds = time.perf_counter() - started
        try:
            compiled, rows = await self._compare(version, named, pin)
        except (ModeldError, OSError) as error:
            failure = Failure.SAMPLES if isinstance(error, SamplesDiffer) else Failure.COMPILED
            problem = _said(version, error, f"{COMPILED}: " if failure == Failure.COMPILED else "")
            return Examined(version, failure, problem, seconds, "differs")
        has_samples = bool(release.artifact.samples)
        return Examined(version, seconds=seconds, compiled=compiled, rows=rows, samples=has_samples)

    async def _compare(
        self, version: ModelVersion, named: tuple[str, ...], pin: str | None
    ) -> tuple[str, int]:
        """Compare the native answers with those of the compiled file, where both may be opened."""
        taken = await self._intake.take(version, named, pin)
        compiled = taken.staged.folder / COMPILED
        try:
            if not compiled.exists() or not is_native(taken.artifact.format):
                return "", 0
            if self._trust == "safe":
                return "not compared", 0
            host = self._nursery.start_host(taken.artifact)
            try:
                path = str(compiled)
                proven = await host.prove(taken.artifact, path, seconds=LIMIT_SECONDS)
            finally:
                host.kill()
            return "equal", proven.proof.rows
        finally:
            staging.discard(taken.staged)


def failure_of(error: Exception) -> Failure:
    """Say what kind of thing an error of a version is."""
    if isinstance(error, CompileFailed):
        return Failure.COMPILED
    if isinstance(error, SamplesDiffer):
        return Failure.SAMPLES
    return Failure.LOAD if isinstance(error, LoadFailed) else Failure.STATIC


def _said(version: ModelVersion, error: Exception, part: str = "") -> str:
    text = str(error).removeprefix(f"{version}: ")
    return f"{version}: {part}{text}" if not text.startswith(str(version)) else text
