"""Publish a snapshot to all workers in two phases: prepare everywhere, then commit.

Everything that changes what serves ends here. A refusal by a living worker aborts and
nothing has changed; a worker that dies or stays silent is killed and leaves the set.
From the first commit there is no way back: each worker acknowledges within a second
or is killed, so that after `publish` no answer comes from the previous snapshot.

Only one publication runs at a time: callers hold `turn`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from modeld.control.hosts import Host
from modeld.control.loader import Loader
from modeld.control.release import LoadedRelease
from modeld.control.supervisor import Supervisor, WorkerDied, WorkerProcess
from modeld.domain import ModelVersion, Route, SnapshotSpec
from modeld.errors import ModeldError, PublishFailed
from modeld.log import get_logger
from modeld.messages import Abort, Attach, Commit, Prepare, PrepareRefused

log = get_logger()

_COMMIT_SECONDS = 1.0
_SWAP_SECONDS = 1.0
_REVIVE_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STABLE_SECONDS = 60.0


class Publisher:
    """What serves now, and the only way to change it."""

    def __init__(self, supervisor: Supervisor, loader: Loader, *, load_timeout: float) -> None:
        self.turn = asyncio.Lock()
        self.live: Mapping[str, LoadedRelease] = {}
        self.loaded: Mapping[ModelVersion, LoadedRelease] = {}
        self.down: dict[ModelVersion, str] = {}
        self.host_restarts = 0
        """Versions whose host died and is not back yet, with how it ended."""
        self._supervisor = supervisor
        self._loader = loader
        self._load_timeout = load_timeout
        self._number = 1
        self._tasks: set[asyncio.Task[None]] = set()
        supervisor.on_start = self._started

    def live_versions(self) -> dict[str, str]:
        """Name the live version of each model."""
        return {model: release.version.version for model, release in self.live.items()}

    async def publish(
        self,
        live: Mapping[str, LoadedRelease],
        loaded: Mapping[ModelVersion, LoadedRelease],
        before_commit: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Have every worker serve this; raises `PublishFailed`, or what `before_commit` raises."""
        spec = self._spec(self._number + 1, live, loaded)
        members = self._supervisor.members()
        try:
            prepared = (self._prepare(worker, spec, loaded) for worker in members)
            if refusal := next(filter(None, await asyncio.gather(*prepared)), ""):
                raise PublishFailed(f"a worker cannot serve this: {refusal}")
            if before_commit is not None:
                await before_commit()
        except BaseException as error:
            for worker in members:
                worker.channel.send(Abort(spec.number))
            self._restore_connections(loaded)
            # The next publication must not be taken for this one.
            self._number = spec.number
            if isinstance(error, OSError):
                raise PublishFailed(f"the system refuses a connection: {error}") from error
            raise
        previous = self.loaded
        self._number, self.live, self.loaded = spec.number, live, loaded
        await asyncio.gather(*(self._commit(worker, spec.number) for worker in members))
        self._settle(previous)

    def _spec(
        self,
        number: int,
        live: Mapping[str, LoadedRelease],
        loaded: Mapping[ModelVersion, LoadedRelease],
    ) -> SnapshotSpec:
        return SnapshotSpec(
            number,
            tuple(Route(model, release.spec.id) for model, release in live.items()),
            tuple(release.spec for release in loaded.values()),
        )

    async def _prepare(
        self,
        worker: WorkerProcess,
        spec: SnapshotSpec,
        loaded: Mapping[ModelVersion, LoadedRelease],
    ) -> str:
        """Have one worker open what it lacks; gives its refusal, or nothing."""
        hosts, descriptors, is_swap = [], [], True
        for release in loaded.values():
            if worker.connected.get(release.spec.id) == release.spec.hosts:
                continue
            is_swap = False
            for host in release.hosts if release.spec.hosts else ():
                hosts.append(host.number)
                descriptors.append(host.connect())
            worker.connected[release.spec.id] = release.spec.hosts
        order = Prepare(spec, tuple(hosts))
        # A worker that has just been started may still be importing.
        is_quick = is_swap and worker.is_member
        timeout = _SWAP_SECONDS if is_quick else self._load_timeout
        try:
            answer = await worker.ask(order, spec.number, descriptors, timeout)
        except TimeoutError:
            worker.kill("did not prepare in time")
            return ""
        except WorkerDied:
            return ""
        return answer.message if isinstance(answer, PrepareRefused) else ""

    async def _commit(self, worker: WorkerProcess, number: int) -> None:
        try:
            await worker.ask(Commit(number), number, [], _COMMIT_SECONDS)
        except TimeoutError:
            worker.kill("did not commit in time")
        except WorkerDied:
            pass

    def _restore_connections(self, wanted: Mapping[ModelVersion, LoadedRelease]) -> None:
        """After an abort the workers have closed what they opened for it."""
        kept = {release.spec.id for release in self.loaded.values()}
        for release in wanted.values():
            if release.spec.id not in kept:
                for worker in self._supervisor.living():
                    worker.connected.pop(release.spec.id, None)

    def _settle(self, previous: Mapping[ModelVersion, LoadedRelease]) -> None:
        """Let go of what no snapshot has any more, and of hosts that nobody needs."""
        kept = {id(release) for release in self.loaded.values()}
        for release in previous.values():
            if id(release) not in kept:
                self.down.pop(release.version, None)
                for worker in self._supervisor.living():
                    worker.connected.pop(release.spec.id, None)
                self._loader.unload(release)
        for release in self.loaded.values():
            self._settle_hosts(release)

    def _settle_hosts(self, release: LoadedRelease) -> None:
        if not release.spec.hosts:
            for host in release.hosts:
                host.leave()
            release.hosts = []
        for host in release.hosts:
            self._watch(release, host)
            if not host.is_alive and release.version not in self.down:
                self._host_died(release, host, "ended")

    # Workers that start

    def _started(self, worker: WorkerProcess) -> None:
        self._keep(asyncio.create_task(self._join(worker)))

    async def _join(self, worker: WorkerProcess) -> None:
        """Give a new worker the current snapshot; only then does it listen."""
        async with self.turn:
            spec = self._spec(self._number, self.live, self.loaded)
            try:
                refusal = await self._prepare(worker, spec, self.loaded)
            except OSError as error:
                refusal = str(error)
            if refusal:
                worker.kill(f"cannot serve the current snapshot: {refusal}")
                return
            await self._commit(worker, spec.number)
            if worker.is_alive:
                self._supervisor.became_member(worker)

    # Hosts that die

    def _watch(self, release: LoadedRelease, host: Host) -> None:
        host.on_death = lambda how: self._host_died(release, host, how)

    def _host_died(self, release: LoadedRelease, host: Host, how: str) -> None:
        if self.loaded.get(release.version) is not release or host not in release.hosts:
            return
        log.warning("host.died", version=str(release.version), how=how)
        self.down[release.version] = how
        self._keep(asyncio.create_task(self._revive(release)))

    async def _revive(self, release: LoadedRelease) -> None:
        """Start the host again, with pauses that grow, and introduce the workers to it."""
        if time.monotonic() - release.revived_at > _STABLE_SECONDS:
            release.revivals = 0
        while self.loaded.get(release.version) is release:
            pause = _REVIVE_PAUSES[min(release.revivals, len(_REVIVE_PAUSES) - 1)]
            release.revivals += 1
            await asyncio.sleep(pause)
            try:
                await self.bring_back(release)
            except (ModeldError, OSError) as error:
                log.warning("host.not_revived", version=str(release.version), error=str(error))
                self.down[release.version] = str(error)
            else:
                return

    async def bring_back(self, release: LoadedRelease) -> None:
        """See to it that the hosts of a release live; raises why one cannot.

        The host loads while others take their turns: only its introduction is a turn.
        """
        async with release.reviving:
            while dead := [host for host in release.hosts if not host.is_alive]:
                host = await self._loader.reload(release)
                async with self.turn:
                    self._introduce(release, host, dead[0])
            self.down.pop(release.version, None)

    def _introduce(self, release: LoadedRelease, host: Host, instead_of: Host) -> None:
        release.hosts[release.hosts.index(instead_of)] = host
        release.spec = replace(release.spec, hosts=tuple(each.number for each in release.hosts))
        release.revived_at = time.monotonic()
        self.host_restarts += 1
        self._watch(release, host)
        for worker in self._supervisor.living():
            if release.spec.id in worker.connected:
                worker.connected[release.spec.id] = release.spec.hosts
                order = Attach(release.spec.id, host.number, instead_of.number)
                worker.channel.send(order, take=[host.connect()])
        log.info("host.revived", version=str(release.version), pid=host.pid)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Stop reviving and joining."""
        for task in list(self._tasks):
            task.cancel()
