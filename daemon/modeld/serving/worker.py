"""Run a worker: take orders from the control process, answer HTTP until told to drain.

A worker listens only once it has a snapshot. It never unpickles: an audit hook raises
on every attempt. When the control process is gone it drains by itself, and a thread
ends it should the drain not finish.
"""

import asyncio
import contextlib
import gc
import os
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

import uvloop

from modeld.domain import ReleaseSpec, SnapshotSpec, WorkerSettings
from modeld.host.channel import Channel
from modeld.host.child import reset_signals
from modeld.host.protocol import Frame, ProtocolError
from modeld.log import configure, get_logger
from modeld.messages import (
    Abort,
    AdminAnswer,
    AdminChunk,
    Attach,
    Beat,
    Commit,
    Committed,
    Drain,
    Health,
    Prepare,
    Prepared,
    PrepareRefused,
    Start,
    WantAnswer,
)
from modeld.serving.connections import Connections
from modeld.serving.express import Express
from modeld.serving.handler import check_aiohttp
from modeld.serving.inplace import InPlaceModel
from modeld.serving.listener import Listener
from modeld.serving.passon import PassOn
from modeld.serving.predictor import Predictor
from modeld.serving.routes import Routes
from modeld.serving.snapshot import HostedModel, Opener, Release, Snapshot
from modeld.serving.ticker import Ticker
from modeld.serving.wants import Wants
from modeld.slots import Slots

log = get_logger()

_BEAT_SECONDS = 1.0
_GRACE_SECONDS = 5.0


class Worker:
    """One worker process."""

    def __init__(
        self, control: socket.socket, listener: socket.socket, metrics: Sequence[int]
    ) -> None:
        self._listener = listener
        self._all_slots = [Slots(descriptor) for descriptor in metrics]
        self._slots: Slots
        self._opener = Opener()
        self._channel = Channel(control, self._received, self._orphaned)
        self._prepared: Snapshot | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._server: Listener | None = None
        self._drain = asyncio.Event()
        self._settings: WorkerSettings
        self._predictor: Predictor
        self._connections: Connections
        self._routes: Routes

    async def run(self) -> None:
        """Work until drained."""
        beats = asyncio.create_task(self._beat())
        await self._drain.wait()
        threading.Thread(target=self._end_by_force, daemon=True).start()
        await self._finish()
        beats.cancel()

    # Orders

    def _received(self, frame: Frame) -> None:
        match frame.message:
            case Start(settings):
                self._start(settings)
            case Prepare() | Commit() | Abort() | Attach() as order:
                self._obey(order)
            case WantAnswer() as answer:
                self._wants.settle(answer)
            case AdminAnswer() | AdminChunk() as part:
                self._pass_on.received(part, frame.payload)
            case Health() as health:
                self._routes.take_health(health)
            case Drain():
                self._drain.set()
            case message:
                raise ProtocolError(f"a worker does not expect {type(message).__name__}")

    def _obey(self, order: Prepare | Commit | Abort | Attach) -> None:
        match order:
            case Prepare(snapshot, hosts):
                sockets = [self._take_socket() for _ in hosts]
                self._prepare(snapshot, dict(zip(hosts, sockets, strict=True)))
            case Commit(number):
                self._commit(number)
            case Abort(number):
                self._abort(number)
            case Attach():
                self._attach(order, self._take_socket())

    def _take_socket(self) -> socket.socket:
        return socket.socket(fileno=self._channel.take_descriptor())

    def _start(self, settings: WorkerSettings) -> None:
        configure(settings.log_format)
        self._settings = settings
        self._slots = self._all_slots[settings.slot]
        self._others = [slots for slots in self._all_slots if slots is not self._slots]
        self._wants = Wants(self._channel.send, settings.load_timeout)
        self._predictor = Predictor(settings, self._slots, self._wants.ask)
        self._pass_on = PassOn(self._channel.send)
        self._routes = Routes(settings, self._slots, self._predictor, self._pass_on)
        self._express = Express(settings, self._predictor, self._slots)
        self._ticker = Ticker(self._slots.stalled)
        self._connections = Connections(
            settings,
            self._routes.handle,
            self._slots.set_connections,
            self._express if settings.express else None,
        )

    def _prepare(self, spec: SnapshotSpec, hosts: dict[int, socket.socket]) -> None:
        self._forget_prepared()
        self._preparing = asyncio.create_task(self._open(spec, hosts))

    async def _open(self, spec: SnapshotSpec, hosts: dict[int, socket.socket]) -> None:
        opened: list[Release] = []
        try:
            releases = [await self._release(r, hosts, opened) for r in spec.releases]
        except asyncio.CancelledError:
            _close(opened, hosts)
            raise
        except Exception as error:
            # Whatever a library raises on opening a model, the control process must hear of it.
            _close(opened, hosts)
            log.warning("prepare.refused", number=spec.number, error=str(error))
            self._channel.send(PrepareRefused(spec.number, str(error)))
            return
        by_id = {release.spec.id: release for release in releases}
        live = {route.model: by_id[route.release] for route in spec.routes}
        by_version = {release.spec.version: release for release in releases}
        self._prepared = Snapshot(spec.number, live, by_version)
        self._channel.send(Prepared(spec.number))

    async def _release(
        self, spec: ReleaseSpec, hosts: dict[int, socket.socket], opened: list[Release]
    ) -> Release:
        """Reuse the release that serves now, or open it."""
        current = self._predictor.snapshot.releases.get(spec.version)
        if current is not None and current.spec.id == spec.id:
            return current
        model: HostedModel | InPlaceModel
        if spec.hosts:
            model = HostedModel(spec, self._slots, self._settings)
            for host in spec.hosts:
                model.attach(hosts.pop(host), host)
        else:
            session = await self._opener.open(spec.path)
            model = InPlaceModel(spec, session, self._settings)
        opened.append(Release(spec, model))
        return opened[-1]

    def _commit(self, number: int) -> None:
        if self._prepared is None or self._prepared.number != number:
            raise ProtocolError(f"snapshot {number} was not prepared")
        previous, self._predictor.snapshot = self._predictor.snapshot, self._prepared
        self._prepared = None
        previous.retire_all_but(self._predictor.snapshot)
        if self._predictor.snapshot.live:
            self._routes.let_through()
        if self._server is None:
            self._slots.set_connections(0)
            self._server = Listener(self._listener, self._connections, self._fewest)
            gc.collect()
            gc.freeze()
        self._channel.send(Committed(number))

    def _fewest(self) -> float:
        """Count the connections of the worker that has fewest of the others that listen."""
        counts = [slots.connections for slots in self._others]
        return min((count for count in counts if count >= 0), default=float("inf"))

    def _abort(self, number: int) -> None:
        if self._prepared is None or self._prepared.number == number:
            self._forget_prepared()

    def _forget_prepared(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
            self._preparing = None
        if self._prepared is not None:
            self._prepared.retire_all_but(self._predictor.snapshot)
            self._prepared = None

    def _attach(self, order: Attach, sock: socket.socket) -> None:
        snapshots = [s for s in (self._predictor.snapshot, self._prepared) if s is not None]
        for snapshot in snapshots:
            for release in snapshot.releases.values():
                if release.spec.id == order.release and isinstance(release.model, HostedModel):
                    release.model.attach(sock, order.host, order.instead_of)
                    return
        sock.close()

    # Life

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + _BEAT_SECONDS
        while True:
            await asyncio.sleep(due - loop.time())
            lag = max(loop.time() - due, 0.0)
            due = loop.time() + _BEAT_SECONDS
            connections = len(self._connections) if self._server else 0
            self._slots.set_lag(lag)
            releases = self._predictor.snapshot.releases.values()
            self._slots.note_in_flight({each.spec.slot: each.in_flight for each in releases})
            self._channel.send(Beat(lag, connections))

    def _orphaned(self) -> None:
        log.warning("worker.orphaned", hint="the control process is gone; draining")
        self._drain.set()

    def _end_by_force(self) -> None:
        bound = self._settings.drain_delay + self._settings.drain_timeout + _GRACE_SECONDS
        threading.Event().wait(bound)
        os._exit(1)

    async def _finish(self) -> None:
        """Drain: every accepted request is answered, then the connections close."""
        self._routes.drain()
        self._express.is_draining = True
        if self._server is None:
            return
        self._pass_on.end_streams()
        await asyncio.sleep(self._settings.drain_delay)
        await self._server.close()
        self._connections.is_draining = True
        self._slots.set_connections(-1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_timeout):
                await self._connections.all_closed()
        self._connections.cut()
        await self._connections.end()
        self._ticker.stop()


def _close(opened: list[Release], hosts: dict[int, socket.socket]) -> None:
    for release in opened:
        release.retire()
    for sock in hosts.values():
        sock.close()


def _forbid_pickles(event: str, _arguments: tuple[Any, ...]) -> None:
    if event == "pickle.find_class":
        raise RuntimeError("a worker does not unpickle")


async def _main(control: int, listener: int, metrics: Sequence[int]) -> None:
    worker = Worker(socket.socket(fileno=control), socket.socket(fileno=listener), metrics)
    await worker.run()


def main() -> None:
    """Run as `python -m modeld.launch modeld.serving.worker CONTROL LISTENER METRICS...`."""
    control, listener, *metrics = map(int, sys.argv[1:])
    reset_signals()
    sys.addaudithook(_forbid_pickles)
    check_aiohttp()
    uvloop.run(_main(control, listener, metrics))
