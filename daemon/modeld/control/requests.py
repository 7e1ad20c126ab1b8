"""Answer what workers ask of the control process: versions on demand, passed-on calls."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from modeld.control.progress import Progress
from modeld.control.status import Status
from modeld.control.streams import Streams
from modeld.control.supervisor import Supervisor, WorkerProcess
from modeld.control.switch import Switch
from modeld.control.web.calls import Calls
from modeld.domain import ModelVersion
from modeld.errors import InternalError, ModeldError, VersionNotFound
from modeld.host.protocol import Frame
from modeld.http.auth import Caller, joined
from modeld.log import get_logger
from modeld.messages import (
    AdminAnswer,
    AdminCall,
    AdminMore,
    AdminStop,
    Header,
    Health,
    Want,
    WantAnswer,
)

log = get_logger()

_HEALTH_SECONDS = 1.0


class Requests:
    """The workers' counter."""

    def __init__(
        self,
        calls: Calls,
        switch: Switch,
        progress: Progress,
        status: Status,
        supervisor: Supervisor,
        *,
        serves_all: bool,
    ) -> None:
        self._calls = calls
        self._switch = switch
        self._progress = progress
        self._status = status
        self._supervisor = supervisor
        self._serves_all = serves_all
        self._loading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.streams = Streams()

    def received(self, worker: WorkerProcess, frame: Frame) -> None:
        """Take a worker's request and answer it later."""
        match frame.message:
            case Want() as want:
                self.keep(self._want(worker, want))
            case AdminCall() as call:
                self.keep(self._call(worker, call, bytes(frame.payload)))
            case AdminMore() | AdminStop() as message:
                self.streams.received(worker, message)
            case message:
                log.warning("worker.unexpected", message=type(message).__name__, pid=worker.pid)

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background and hold on to it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _want(self, worker: WorkerProcess, want: Want) -> None:
        try:
            release = await self._load(want.version)
        except ModeldError as error:
            known = tuple(getattr(error, "known", ()))
            answer = WantAnswer(want.id, 0, error.code, str(error), known)
        except Exception:
            # The worker waits for an answer whatever happens here.
            log.exception("want.failed", version=str(want.version))
            answer = WantAnswer(want.id, 0, InternalError().code, "the log says more")
        else:
            answer = WantAnswer(want.id, release)
        worker.channel.send(answer)

    async def _load(self, version: ModelVersion) -> int:
        """Load one version at a time for requests that name it."""
        desired = self._progress.desired
        wish = desired.model(version.model) if desired else None
        is_named = wish is not None and version.version in (wish.active, *wish.also)
        if not (self._serves_all or is_named):
            raise VersionNotFound(
                f"{version} is not served: only what state/active.yaml names is "
                "(list it under also:, or set MODELD_VERSIONS=all)"
            )
        await self._switch.gathering.check_known(version, desired)
        async with self._loading:
            return await self._switch.want(version, desired)

    async def _call(self, worker: WorkerProcess, call: AdminCall, body: bytes) -> None:
        caller = Caller(
            joined((header.name, header.value) for header in call.headers),
            call.peer,
            call.local,
            call.http_version,
            call.peer_port,
        )
        answer = await self._calls.answer(call.method, call.target, caller, body, call.request_id)
        headers = tuple(Header(name, value) for name, value in answer.headers.items())
        goes_on = answer.chunks is not None
        worker.channel.send(AdminAnswer(call.id, answer.status, headers, goes_on), answer.body)
        if answer.chunks is not None:
            self.streams.open(worker, call.id, answer.chunks)

    def _tell_once(self) -> None:
        is_fine = self._status.health()[0] in ("Healthy", "Progressing")
        status = "ok" if is_fine else "degraded"
        health = Health(status, self._status.summary(), self._progress.is_starting)
        for worker in self._supervisor.living():
            worker.channel.send(health)

    async def tell_health(self) -> None:
        """Keep every worker's `/healthz` up to date."""
        while True:
            try:
                self._tell_once()
            except Exception:
                # What cannot be said now is said at the next turn.
                log.exception("health.failed")
            try:
                async with asyncio.timeout(_HEALTH_SECONDS):
                    await self._progress.changed()
            except TimeoutError:
                continue
