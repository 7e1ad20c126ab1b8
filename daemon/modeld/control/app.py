"""Put the control process together, run it, and end it in order.

`serve` builds every object by hand, top to bottom, starts the workers, reconciles, and
on SIGTERM drains: the workers answer what they accepted, then everything ends.
"""

import asyncio
import contextlib
import signal
import socket
from pathlib import Path
from shlex import quote

import uvloop

from modeld.config import Settings
from modeld.control.applying import Applying
from modeld.control.compilations import Compilations
from modeld.control.environment import passed_sockets
from modeld.control.hosts import Nursery
from modeld.control.intake import Intake
from modeld.control.ledger import Ledger
from modeld.control.listener import is_loopback, open_listener, port_of
from modeld.control.loader import Loader, LoadLimits
from modeld.control.operations import Operations
from modeld.control.progress import Progress
from modeld.control.publisher import Publisher
from modeld.control.reconciler import Reconciler
from modeld.control.requests import Requests
from modeld.control.runtime_folder import admin_token, locked, write_server_file
from modeld.control.status import Status
from modeld.control.supervisor import Supervisor
from modeld.control.switch import Switch
from modeld.control.web.admin import Admin
from modeld.control.web.calls import Calls
from modeld.control.web.index import add_index
from modeld.control.web.metrics import Metrics, Sources
from modeld.control.web.server import ControlServer, socket_path
from modeld.desired.file import StateFile
from modeld.domain import DEFAULT_MODEL, WorkerSettings
from modeld.http.auth import AdminAccess
from modeld.log import configure, get_logger
from modeld.repository import staging
from modeld.repository.versions import Repository

log = get_logger()

_COLLECT_SECONDS = 2.0
_GREETING_SECONDS = 15.0
_DRAIN_GRACE_SECONDS = 6.0


def serve(settings: Settings) -> int:
    """Serve until told to stop; gives the exit code. Raises `ConfigError` before anything runs."""
    configure(settings.log_format)
    with locked(settings.runtime_dir) as folder:
        listener = open_listener(settings.host, settings.port, passed_sockets())
        server = Control(
            settings, folder, listener, admin_token(settings, is_local=is_loopback(listener))
        )
        return uvloop.run(server.run())


class Control:
    """The control process: all its parts, and the order in which they start and end."""

    def __init__(
        self, settings: Settings, folder: Path, listener: socket.socket, token: str | None
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._listener = listener
        self._token = token

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT."""
        self._build()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop, stop)
        loop.add_signal_handler(signal.SIGHUP, self._reconciler.wake)
        await self._server.listen_on_socket(socket_path(self._folder))
        # It imports while the workers do.
        self._nursery.start()
        self._supervisor.start()
        tasks = [
            asyncio.create_task(self._reconciler.run()),
            asyncio.create_task(self._requests.tell_health()),
            asyncio.create_task(self._collect()),
            asyncio.create_task(self._greet()),
        ]
        write_server_file(
            self._folder, self._settings.host, port_of(self._listener), socket_path(self._folder)
        )
        await stop.wait()
        await self._end(tasks)
        return 0

    def _told_to_stop(self, stop: asyncio.Event) -> None:
        if stop.is_set():
            # Asked twice: somebody is in a hurry.
            self._supervisor.cut()
        stop.set()

    def _build(self) -> None:
        settings = self._settings
        staged = self._folder / "staged"
        staged.mkdir(mode=0o700, exist_ok=True)
        staging.sweep(staged)
        self._ledger = Ledger(self._folder / "modeld.sqlite")
        repository = Repository(settings.models_dir)
        self._nursery = Nursery(memory=settings.host_memory)
        compiled = self._folder / "compiled"
        compiled.mkdir(mode=0o700, exist_ok=True)
        self._compilations = Compilations(self._nursery, compiled, most_bytes=settings.runtime_max)
        limits = LoadLimits(
            settings.trust,
            settings.load_timeout,
            settings.inplace_max,
            compiles=settings.compile != "never",
        )
        intake = Intake(repository, staged)
        loader = Loader(intake, self._nursery, self._compilations, self._ledger, limits)
        self._supervisor = Supervisor(
            worker_settings(settings),
            self._listener,
            settings.worker_count,
        )
        self._publisher = Publisher(self._supervisor, loader, load_timeout=settings.load_timeout)
        self._switch = Switch(
            loader,
            self._publisher,
            self._ledger,
            keep_warm=settings.keep_warm,
            max_loaded=settings.max_loaded,
            compile_timeout=settings.compile_timeout,
        )
        self._progress = Progress(self._ledger)
        file = StateFile(settings.state_file, self._folder / "state.lock")
        file.sweep()
        applying = Applying(file, self._switch, self._ledger, self._progress)
        self._reconciler = Reconciler(file, applying, self._progress)
        self._build_web(repository, loader)

    def _build_web(self, repository: Repository, loader: Loader) -> None:
        settings = self._settings
        access = AdminAccess(
            token=self._token,
            port=port_of(self._listener),
            is_loopback=is_loopback(self._listener),
            public_url=settings.public_origin,
        )
        self._status = Status(
            self._progress,
            self._publisher,
            self._switch,
            self._ledger,
            repository,
            str(settings.state_file),
        )
        self._status.supervisor, self._status.nursery = self._supervisor, self._nursery
        operations = Operations(
            repository, self._reconciler, self._progress, self._switch, self._ledger
        )
        self._metrics = self._build_metrics(loader, access)
        calls = Calls(access)
        Admin(
            operations, self._reconciler, self._progress, self._publisher, self._status, repository
        ).add_to(calls)
        calls.add("GET", "/metrics", self._metrics.get, is_public=True)
        add_index(calls, self._status)
        self._server = ControlServer(calls)
        self._requests = Requests(
            calls, self._switch, self._progress, self._status, self._supervisor,
            serves_all=settings.serves_all_versions(is_loopback=is_loopback(self._listener)),
        )  # fmt: skip
        self._supervisor.on_request = self._requests.received
        self._supervisor.on_count = self._count_changed

    def _build_metrics(self, loader: Loader, access: AdminAccess) -> Metrics:
        return Metrics(
            Sources(
                self._supervisor,
                self._nursery,
                loader,
                self._publisher,
                self._progress,
                self._status,
                access,
            )
        )

    def _count_changed(self, _members: int) -> None:
        self._progress.tell()
        self._requests.keep(self._server.follow(self._supervisor.members, self._listener))

    async def _collect(self) -> None:
        while True:
            await asyncio.sleep(_COLLECT_SECONDS)
            try:
                await self._switch.collect(self._metrics.predictions_at)
            except Exception:
                # Collecting is housekeeping: what fails once is tried again.
                log.exception("collect.failed")

    async def _greet(self) -> None:
        """Say on standard output what is live, and a line that works."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GREETING_SECONDS):
                while not (self._publisher.live and self._supervisor.members()):
                    await self._progress.changed()
        host = self._settings.host if self._settings.host != "0.0.0.0" else "127.0.0.1"  # noqa: S104
        host = f"[{host}]" if ":" in host else host
        url = f"http://{host}:{port_of(self._listener)}"
        print(f"modeld on {url}: {self._status.summary()}", flush=True)  # noqa: T201
        live = self._publisher.live.get(DEFAULT_MODEL)
        if live is not None:
            body = f'{{"features": {live.loaded.example}}}'
            print(f"Try: curl {url}/predict -d {quote(body)}", flush=True)  # noqa: T201

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        """Drain the workers, then end the hosts and the rest."""
        log.info("control.draining")
        for task in tasks:
            task.cancel()
        self._switch.stop()
        self._publisher.stop()
        # A worker accepts what waits and then closes the socket: it must be the last to do so.
        self._listener.close()
        settings = self._settings
        await self._supervisor.drain(
            settings.drain_delay + settings.drain_timeout + _DRAIN_GRACE_SECONDS
        )
        for host in self._nursery.hosts():
            host.kill()
        self._nursery.close()
        await self._server.close()
        socket_path(self._folder).unlink(missing_ok=True)
        (self._folder / "server.json").unlink(missing_ok=True)
        self._ledger.close()
        log.info("control.ended")


def worker_settings(settings: Settings) -> WorkerSettings:
    """Pick the few settings that a worker needs."""
    return WorkerSettings(
        slot=0,
        max_body=settings.max_body,
        max_rows=settings.max_rows,
        max_queue=settings.max_queue,
        max_connections=settings.max_connections,
        keepalive=settings.keepalive,
        request_timeout=settings.request_timeout,
        load_timeout=settings.load_timeout,
        drain_delay=settings.drain_delay,
        drain_timeout=settings.drain_timeout,
        express=settings.express == "on",
        log_format=settings.log_format,
    )
