"""Open versions as a server would and have their hosts answer the rows of a table.

For commands, without a server: nothing is served, and no process is left.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from modeld.config import Settings
from modeld.control.choosing import Wanted
from modeld.control.hosts import Host
from modeld.control.loader import Loader
from modeld.control.offline import offline
from modeld.domain import ModelVersion
from modeld.errors import DigestMismatch, ModeldError, VersionError, VersionNotFound
from modeld.messages import Clock, Clocked, Loaded, Look, Looked, Score, Scored
from modeld.repository.versions import Repository

PART_SECONDS = 600.0
"""How long a host may take for a part of a table; one that hangs is ended."""


A = TypeVar("A", Scored, Clocked, Looked)


class OpenedVersion(NamedTuple):
    """A version that a host has open."""

    version: ModelVersion
    loaded: Loaded
    host: Host

    async def score(self, order: Score) -> Scored:
        """Have all rows answered and written; raises `TableInvalid`, `ModelError`, `HostDied`…"""
        return await self._ask(order, Scored, "no part of the table was answered")

    async def clock(self, rows: int) -> tuple[float, ...]:
        """Have rows answered alone; gives the seconds that each took."""
        done = await self._ask(Clock(rows, PART_SECONDS), Clocked, "lone rows were not answered")
        return done.seconds

    async def look(self, table: Path, rows: Sequence[int], truth: str) -> tuple[str, ...]:
        """Give the inputs of some rows of a table, as JSON."""
        order = Look(str(table), tuple(rows), truth, PART_SECONDS)
        return (await self._ask(order, Looked, "the table was not read")).rows

    async def _ask(self, order: Score | Clock | Look, kind: type[A], late: str) -> A:
        try:
            return await self.host.ask(order, kind, PART_SECONDS, late)
        except ModeldError as error:
            raise type(error)(f"{self.version}: {error}") from error


@asynccontextmanager
async def opened(
    settings: Settings, wanted: Sequence[Wanted]
) -> AsyncIterator[tuple[OpenedVersion, ...]]:
    """Open each version in a host of its own; raises a `VersionError`."""
    hosts: list[Host] = []
    with offline(settings, Repository(settings.models_dir)) as tools:
        try:
            found = []
            for each in wanted:
                # A loader each: one version may be wanted twice.
                found.append(await _open(tools.loader(), each, hosts))
            yield tuple(found)
        finally:
            for host in hosts:
                host.kill()


async def _open(loader: Loader, wanted: Wanted, hosts: list[Host]) -> OpenedVersion:
    version = wanted.version
    named = (version.model,)
    if wanted.digest is not None:
        await _check(loader, wanted, wanted.digest)
    release = await loader.load(version, named, wanted.digest)
    hosts += release.hosts
    return OpenedVersion(version, release.loaded, release.hosts[0])


async def _check(loader: Loader, wanted: Wanted, promised: str) -> None:
    """Refuse a version whose files are not those that are meant, and say whose they were."""
    version = wanted.version
    those = f"those that {wanted.why} ({promised[:19]}…)"
    cure = "check out a commit that has them"
    try:
        digest = await loader.digest(version, (version.model,))
    except VersionNotFound as error:
        raise VersionError(f"the files of {version} are gone, {those}: {cure}") from error
    if digest != promised:
        raise DigestMismatch(f"{version} has other bytes now ({digest[:19]}…) than {those}: {cure}")
