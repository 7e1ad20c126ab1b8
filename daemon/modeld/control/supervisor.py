"""Keep the workers running: start them, hear their hearts beat, replace the dead.

The control process keeps the listening socket open, so that connections which wait are
taken by another worker, or by a successor, instead of being reset. A worker
that is silent for 4.5 seconds is killed: nothing that waits for it may wait for ever.
"""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace

from modeld import launch
from modeld.control.environment import child_environment
from modeld.domain import WorkerSettings
from modeld.host.channel import Channel, connected_pair
from modeld.host.protocol import Frame
from modeld.log import get_logger
from modeld.messages import (
    Beat,
    Commit,
    Committed,
    Drain,
    Prepare,
    Prepared,
    PrepareRefused,
    Start,
)
from modeld.slots import Slots, create_file

log = get_logger()

_SILENCE_SECONDS = 4.5
"""Short enough that a successor serves within six seconds of a worker's last beat."""
_BIRTH_SECONDS = 60.0
"""How long a worker may take to start on a slow disk, before its first word."""
_LOOK_SECONDS, _HELD_UP_SECONDS = 0.1, 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_STABLE_SECONDS = 10.0


class WorkerDied(Exception):
    """The worker ended before it answered."""


class WorkerProcess:
    """The control process's view of one worker."""

    def __init__(
        self, slot: int, process: subprocess.Popen[bytes], supervisor: "Supervisor"
    ) -> None:
        self.slot = slot
        self.process = process
        self.started = self.last_frame = time.monotonic()
        self.is_alive = True
        self.has_spoken = False
        self.is_draining = False
        self.is_member = False
        self.connected: dict[int, tuple[int, ...]] = {}
        """Which hosts each release of this worker is connected to."""
        self._supervisor = supervisor
        self._answers: dict[type, asyncio.Future[Prepared | PrepareRefused | Committed]] = {}
        self.channel: Channel

    @property
    def pid(self) -> int:
        """The process's number."""
        return self.process.pid

    def received(self, frame: Frame) -> None:
        """Note a sign of life, and pass on what the worker asks."""
        self.last_frame = time.monotonic()
        self.has_spoken = True
        match frame.message:
            case Beat():
                pass
            case Prepared() | PrepareRefused() as answer:
                self._settle(Prepare, answer)
            case Committed() as answer:
                self._settle(Commit, answer)
            case _:
                self._supervisor.on_request(self, frame)

    def _settle(self, kind: type, answer: Prepared | PrepareRefused | Committed) -> None:
        future = self._answers.get(kind)
        if future is not None and not future.done():
            future.set_result(answer)

    async def ask(
        self, order: Prepare | Commit, number: int, descriptors: list[int], seconds: float
    ) -> Prepared | PrepareRefused | Committed:
        """Send an order and wait for the answer to it; raises `WorkerDied` or `TimeoutError`."""
        if not self.is_alive:
            for descriptor in descriptors:
                os.close(descriptor)
            raise WorkerDied
        answered = self._expect(type(order))
        # Sending may be what finds the worker dead; whoever waits by then is told.
        self.channel.send(order, take=descriptors)
        async with asyncio.timeout(seconds):
            while True:
                answer = await answered
                if answer.number == number:
                    return answer
                answered = self._expect(type(order))

    def _expect(self, kind: type) -> asyncio.Future[Prepared | PrepareRefused | Committed]:
        future: asyncio.Future[Prepared | PrepareRefused | Committed]
        future = self._answers[kind] = asyncio.get_running_loop().create_future()
        return future

    def kill(self, why: str) -> None:
        """End the process; whoever waits for it hears of its death."""
        if self.is_alive:
            log.warning("worker.killed", pid=self.pid, slot=self.slot, why=why)
            self.process.kill()
            self.channel.close()
            self.lost()

    def lost(self) -> None:
        """The worker is gone: reap it and wake whoever waits."""
        if not self.is_alive:
            return
        self.is_alive = self.is_member = False
        self.process.kill()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(WorkerDied())
                future.exception()
        self._supervisor.lost(self)


class Supervisor:
    """All worker slots."""

    def __init__(self, settings: WorkerSettings, listener: socket.socket, count: int) -> None:
        self._settings = settings
        self._listener = listener
        self._metrics = [create_file() for _ in range(count)]
        self.slots = [Slots(descriptor) for descriptor in self._metrics]
        for slots in self.slots:
            slots.set_connections(-1)
        self.workers: list[WorkerProcess | None] = [None] * count
        self._pauses = [0.0] * count
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self.restarts = 0
        self.on_start: Callable[[WorkerProcess], None] = lambda _: None
        self.on_request: Callable[[WorkerProcess, Frame], None] = lambda *_: None
        self.on_count: Callable[[int], None] = lambda _: None

    def start(self) -> None:
        """Start every worker and begin to listen for their hearts."""
        for slot in range(len(self.workers)):
            self._spawn(slot)
        self._keep(asyncio.create_task(self._watch()))

    def living(self) -> list[WorkerProcess]:
        """All workers that are alive."""
        return [w for w in self.workers if w is not None and w.is_alive]

    def members(self) -> list[WorkerProcess]:
        """The living workers that have a snapshot, draining ones too."""
        return [worker for worker in self.living() if worker.is_member]

    def became_member(self, worker: WorkerProcess) -> None:
        """The worker has its first snapshot and listens."""
        worker.is_member = True
        self.on_count(len(self.members()))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _spawn(self, slot: int) -> None:
        if self._is_stopping:
            return
        ours, theirs = connected_pair()
        inherited = (theirs.fileno(), self._listener.fileno(), *self._metrics)
        with theirs:
            process = subprocess.Popen(
                launch.command("modeld.serving.worker", *inherited),
                pass_fds=inherited,
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        worker = WorkerProcess(slot, process, self)
        worker.channel = Channel(ours, worker.received, worker.lost)
        self.workers[slot] = worker
        worker.channel.send(Start(replace(self._settings, slot=slot)))
        log.info("worker.started", pid=process.pid, slot=slot)
        self.on_start(worker)

    def lost(self, worker: WorkerProcess) -> None:
        """Reap a worker and start its successor after a pause that grows with its failures."""
        self.slots[worker.slot].clear_gauges()
        self._keep(asyncio.create_task(self._replace(worker)))
        self.on_count(len(self.members()))

    async def _replace(self, worker: WorkerProcess) -> None:
        status = await asyncio.to_thread(worker.process.wait)
        if self._is_stopping or worker.is_draining:
            log.info("worker.ended", pid=worker.pid, status=status)
            return
        log.warning("worker.died", pid=worker.pid, slot=worker.slot, status=status)
        self.restarts += 1
        lived = time.monotonic() - worker.started
        pause = 0.0 if lived > _STABLE_SECONDS else self._pauses[worker.slot]
        self._pauses[worker.slot] = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        await asyncio.sleep(pause)
        while True:
            try:
                self._spawn(worker.slot)
            except OSError as error:
                log.warning("worker.not_started", slot=worker.slot, error=str(error))
                await asyncio.sleep(_LONGEST_PAUSE)
            else:
                return

    async def _watch(self) -> None:
        due = time.monotonic() + _LOOK_SECONDS
        while True:
            await asyncio.sleep(max(due - time.monotonic(), 0))
            now = time.monotonic()
            # Where this process itself was held up, the beats still wait to be read.
            if now - due < _HELD_UP_SECONDS:
                for worker in self.living():
                    limit = _SILENCE_SECONDS if worker.has_spoken else _BIRTH_SECONDS
                    if now - worker.last_frame > limit:
                        worker.kill(f"silent for {limit:g} s")
            due = now + _LOOK_SECONDS

    async def drain(self, seconds: float) -> None:
        """Have every worker answer what it accepted and end; kill what is late."""
        self._is_stopping = True
        workers = self.living()
        for worker in workers:
            worker.is_draining = True
            worker.channel.send(Drain())
        waits = [asyncio.to_thread(_wait, worker.process, seconds) for worker in workers]
        await asyncio.gather(*waits)
        for worker in workers:
            worker.channel.close()
            worker.is_alive = False
        for task in list(self._tasks):
            task.cancel()

    def cut(self) -> None:
        """End every worker now."""
        self._is_stopping = True
        for worker in self.living():
            worker.process.kill()


def _wait(process: subprocess.Popen[bytes], timeout: float) -> None:
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
