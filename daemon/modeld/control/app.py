"""Put the control process together, run it, and end it in order.

`serve` builds every object by hand, top to bottom, starts the workers, reconciles, and
on SIGTERM drains: the workers answer what they accepted, then everything ends.
"""

import asyncio
import signal
import socket
from pathlib import Path

import uvloop

from modeld.config import Settings
from modeld.config_values import url_of
from modeld.control.applying import Applying
from modeld.control.committing import Committing
from modeld.control.compilations import Compilations
from modeld.control.dumping import DECISIONS_KEPT, answer_signal
from modeld.control.emergency import Emergency
from modeld.control.environment import passed_sockets
from modeld.control.falling_back import FallingBack
from modeld.control.greeting import Greeting
from modeld.control.handover import take
from modeld.control.holds import Holds
from modeld.control.intake import Intake
from modeld.control.judging import Judging
from modeld.control.ledger import Ledger
from modeld.control.listener import is_loopback, open_listener, port_of
from modeld.control.loader import Loader
from modeld.control.notifying import Notifying
from modeld.control.nursery import Nursery
from modeld.control.operations import Operations
from modeld.control.originals import Originals
from modeld.control.overlay import Overlay
from modeld.control.progress import Progress
from modeld.control.publisher import Publisher
from modeld.control.receivers import receivers
from modeld.control.reconciler import Reconciler
from modeld.control.recording import Recording
from modeld.control.requests import Requests
from modeld.control.runtime_folder import admin_token, locked, write_server_file
from modeld.control.source import Source, open_source
from modeld.control.status import Status
from modeld.control.supervisor import Supervisor
from modeld.control.switch import Switch
from modeld.control.systemd import keep_told
from modeld.control.targets import open_target
from modeld.control.tracking import open_tracking
from modeld.control.web.calls import Calls
from modeld.control.web.metrics import Sources
from modeld.control.web.routes import Parts, add_routes
from modeld.control.web.server import ControlServer, socket_path
from modeld.control.wish_facts import WishFacts
from modeld.control.worker_settings import worker_settings
from modeld.desired.file import StateFile
from modeld.http.auth import AdminAccess
from modeld.log import configure, get_logger
from modeld.repository import staging
from modeld.repository.versions import Repository

log = get_logger()

_COLLECT_SECONDS = 2.0
_DRAIN_GRACE_SECONDS = 6.0
_HANDOVER_GRACE_SECONDS = 30.0


def serve(settings: Settings, *, replaces: bool = False) -> int:
    """Serve until told to stop, instead of a server that runs if so asked; gives the exit code.

    Raises `ConfigError` before anything runs.
    """
    configure(settings.log_format, keeps=DECISIONS_KEPT)
    listener = take(settings) if replaces else None
    patience = _drain_seconds(settings) + _HANDOVER_GRACE_SECONDS if listener else 0.0
    with locked(settings.runtime_dir, patience=patience) as folder:
        source = open_source(settings, folder)
        listener = listener or open_listener(settings.host, settings.port, passed_sockets())
        token = admin_token(settings, is_local=is_loopback(listener))
        server = Control(settings, folder, listener, token, source)
        return uvloop.run(server.run())


class Control:
    """The control process: all its parts, and the order in which they start and end."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        listener: socket.socket,
        token: str | None,
        source: Source,
    ) -> None:
        self._source = source
        self._following = source.following
        self._settings = settings
        self._folder = folder
        self._listener = listener
        self._token = token

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT."""
        self._stop = asyncio.Event()
        self._build()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reconciler.wake)
        answer_signal(loop)
        await self._server.listen_on_socket(socket_path(self._folder))
        # It imports while the workers do.
        self._nursery.start()
        self._supervisor.start()
        tasks = [
            asyncio.create_task(self._reconciler.run()),
            asyncio.create_task(self._requests.tell_health()),
            asyncio.create_task(self._collect()),
            asyncio.create_task(self._greeting.say()),
            asyncio.create_task(self._tell_systemd()),
            asyncio.create_task(self._notifying.run()),
            asyncio.create_task(self._wish.committing.run(self._wish.overlay.asks_for)),
        ]
        if self._following is not None:
            tasks.append(asyncio.create_task(self._following.run()))
        write_server_file(
            self._folder, self._settings.host, port_of(self._listener), socket_path(self._folder)
        )
        await self._stop.wait()
        await self._end(tasks)
        return 0

    async def _tell_systemd(self) -> None:
        await keep_told(self._progress, self._supervisor.members, self._status.summary)

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            # Asked twice: somebody is in a hurry.
            self._supervisor.cut()
        self._stop.set()

    def _build(self) -> None:
        settings = self._settings
        staged = self._folder / "staged"
        staged.mkdir(mode=0o700, exist_ok=True)
        staging.sweep(staged)
        self._ledger = Ledger(self._folder / "modeld.sqlite")
        repository = Repository(self._source.models)
        self._nursery = Nursery(memory=settings.host_memory, environments=settings.environments)
        compiled = self._folder / "compiled"
        compiled.mkdir(mode=0o700, exist_ok=True)
        self._compilations = Compilations(self._nursery, compiled, most_bytes=settings.runtime_max)
        intake = Intake(repository, staged)
        loader = Loader(intake, self._nursery, self._compilations, self._ledger, settings)
        told = worker_settings(settings)
        self._supervisor = Supervisor(told, self._listener, settings.worker_count)
        self._publisher = Publisher(self._supervisor, loader, load_timeout=settings.load_timeout)
        self._switch = Switch(
            loader,
            self._publisher,
            Recording(self._ledger, self._source.log),
            keep_warm=settings.keep_warm,
            max_loaded=settings.max_loaded,
            compile_timeout=settings.compile_timeout,
        )
        self._progress = Progress(self._ledger)
        self._originals = Originals(loader, self._publisher, self._progress)
        self._build_reconciler()
        self._build_web(repository, loader)

    def _build_reconciler(self) -> None:
        settings, path, following = self._settings, self._source.state, self._following
        database = self._ledger.database
        file = StateFile(path, self._folder / "state.lock")
        file.sweep()
        overlay = Overlay(file, database, is_ours=following is None)
        holds = Holds(database)
        tracking = open_tracking(settings, path, following)
        judging = Judging(holds, path, tracking)
        back = FallingBack(self._switch, self._ledger, holds, self._progress, tracking)
        applying = Applying(overlay, self._switch, self._ledger, self._progress, judging, back)
        self._reconciler = Reconciler(overlay, applying, self._progress, judging)
        target = open_target(settings, tracking, following)
        committing = Committing(database, settings.git_commit, target, self._git_moved)
        self._wish = WishFacts(str(path), settings.source, overlay, holds, tracking, committing)

    def _git_moved(self) -> None:
        if self._following is not None:
            self._following.hint()
        self._reconciler.wake()

    def _build_web(self, repository: Repository, loader: Loader) -> None:
        settings = self._settings
        access = AdminAccess(
            token=self._token,
            port=port_of(self._listener),
            is_loopback=is_loopback(self._listener),
            public_url=settings.public_origin,
        )
        operations = self._build_operations(repository)
        self._status.access = access
        url = url_of(settings.host, port_of(self._listener))
        parts = (self._progress, self._publisher, self._supervisor, self._status)
        self._greeting = Greeting(url, *parts)
        self._notifying = Notifying(
            receivers(settings.notify_urls), self._progress, self._ledger,
            self._status.sentences, self._publisher.live_versions,
            f"{settings.public_origin or url}/ui",
        )  # fmt: skip
        calls = Calls(access, self._status.sentences)
        self._added = add_routes(
            calls,
            Parts(
                operations, self._reconciler, repository, self._ledger, self._wish,
                self._source.log, self._following, settings.hook_secret,
            ),
            Sources(
                self._supervisor, self._nursery, loader, self._publisher,
                self._progress, self._status, access, self._switch, self._wish.holds,
            ),
        )  # fmt: skip
        self._server = ControlServer(calls, self._listener, self._progress.started, self._stop.set)
        self._requests = Requests(
            calls, self._switch, self._progress, self._status, self._supervisor,
            serves_all=settings.serves_all_versions(is_loopback=is_loopback(self._listener)),
        )  # fmt: skip
        self._supervisor.on_request = self._requests.received
        self._supervisor.on_count = self._count_changed

    def _build_operations(self, repository: Repository) -> Operations:
        wish = self._wish
        self._status = Status(
            self._progress, self._publisher, self._switch, self._ledger, repository, wish
        )
        self._status.supervisor, self._status.nursery = self._supervisor, self._nursery
        self._status.originals = self._originals
        self._status.watching = self._reconciler.watching
        self._status.following = self._following
        if self._following is not None:
            self._following.on_switch = self._reconciler.wake
            self._following.live = self._publisher.live_versions
        emergency = Emergency(wish.holds, self._ledger, wish.tracking, wish.committing)
        return Operations(
            repository, self._reconciler, self._progress, self._switch, self._ledger, emergency
        )  # fmt: skip

    def _count_changed(self, _members: int) -> None:
        self._progress.tell()
        self._requests.streams.forget_dead()
        self._requests.keep(self._server.follow(self._supervisor.members))

    async def _collect(self) -> None:
        while True:
            await asyncio.sleep(_COLLECT_SECONDS)
            try:
                await self._switch.collect(self._added.metrics.predictions_at)
                await self._originals.look()
            except Exception:
                # Collecting is housekeeping: what fails once is tried again.
                log.exception("collect.failed")

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        """Drain the workers, then end the hosts and the rest."""
        log.info("control.draining")
        self._added.events.stop()
        for task in tasks:
            task.cancel()
        if self._following is not None:
            self._following.stop()
        self._switch.stop()
        self._publisher.stop()
        # A worker accepts what waits and then closes the socket: it must be the last to do so.
        self._listener.close()
        await self._supervisor.drain(_drain_seconds(self._settings))
        for host in self._nursery.hosts():
            host.kill()
        self._nursery.close()
        await self._server.close()
        socket_path(self._folder).unlink(missing_ok=True)
        (self._folder / "server.json").unlink(missing_ok=True)
        self._ledger.close()
        log.info("control.ended")


def _drain_seconds(settings: Settings) -> float:
    """Give the time within which a server that was told to stop has ended."""
    return settings.drain_delay + settings.drain_timeout + _DRAIN_GRACE_SECONDS
