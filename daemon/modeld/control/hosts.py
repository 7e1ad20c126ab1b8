"""Start hosts through the nursery, introduce workers to them, and hear of their deaths.

The nursery is started when a host is first needed and ends when none has been for a
while. A host is addressed by a pidfd where the system has them, so that a number that
the system gave to another process is never killed.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from itertools import count

from modeld.control.environment import child_environment
from modeld.domain import Artifact
from modeld.errors import HostDied, LoadTimeout
from modeld.host.channel import Channel, connected_pair
from modeld.host.protocol import Frame, ProtocolError
from modeld.http.errors import error_of
from modeld.log import get_logger
from modeld.messages import (
    Compile,
    Compiled,
    Exited,
    Fork,
    Forked,
    Load,
    Loaded,
    LoadRefused,
    Peer,
)

log = get_logger()

_IDLE_SECONDS = 5.0
_STATUS_SECONDS = 1.0


class Host:
    """A process that has one version loaded."""

    def __init__(self, number: int, sock: socket.socket) -> None:
        self.number = number
        self.pid = 0
        self.on_death: Callable[[str], None] = lambda _: None
        self._channel = Channel(sock, self._received, self._lost)
        self._pidfd = -1
        self._loading: asyncio.Future[Loaded | Compiled] | None = None
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._ending: asyncio.Task[None] | None = None
        self.is_alive = True
        self._is_killed = False

    def born(self, pid: int, pidfd: int) -> None:
        """Note how the system names the process; one that was killed before is ended now."""
        self.pid, self._pidfd = pid, pidfd
        if self._is_killed:
            self.kill()

    def exited(self, status: int) -> None:
        """Note how the process ended."""
        if not self._status.done():
            self._status.set_result(status)

    async def load(self, artifact: Artifact, *, inplace_max: int, seconds: float) -> Loaded:
        """Have the host open and try a version; raises `LoadFailed` and its kin."""
        try:
            answer = await self._ask(Load(artifact, inplace_max, seconds + 5), seconds)
        except TimeoutError:
            raise LoadTimeout(f"{artifact.version} did not load within {seconds:g} s") from None
        if not isinstance(answer, Loaded):
            raise ProtocolError(f"a host does not answer {type(answer).__name__} to Load")
        return answer

    async def compile(self, artifact: Artifact, target: str, *, seconds: float) -> Compiled:
        """Have the host compile a version into a file; raises `CompileFailed`, `HostDied`…"""
        try:
            answer = await self._ask(Compile(artifact, target, seconds + 5), seconds)
        except TimeoutError:
            raise LoadTimeout(f"it was not compiled within {seconds:g} s") from None
        if not isinstance(answer, Compiled):
            raise ProtocolError(f"a host does not answer {type(answer).__name__} to Compile")
        return answer

    async def _ask(self, order: Load | Compile, seconds: float) -> Loaded | Compiled:
        self._loading = asyncio.get_running_loop().create_future()
        self._channel.send(order)
        try:
            async with asyncio.timeout(seconds):
                return await self._loading
        finally:
            self._loading = None

    def connect(self) -> int:
        """Make a connection for a worker; gives the worker's end."""
        ours, theirs = connected_pair()
        self._channel.send(Peer(), take=[ours.detach()])
        return theirs.detach()

    def leave(self) -> None:
        """Let go of the host; it ends when the workers have let go as well."""
        self.is_alive = False
        self._channel.close()

    def kill(self) -> None:
        """End the process now, or as soon as the nursery has told its name."""
        self._is_killed = True
        self.leave()
        with contextlib.suppress(ProcessLookupError):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            elif self.pid and not self._status.done():
                os.kill(self.pid, signal.SIGKILL)

    def forget(self) -> None:
        """Close what names the process in the system."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _received(self, frame: Frame) -> None:
        match frame.message:
            case (Loaded() | Compiled()) as loaded if self._loading is not None:
                if not self._loading.done():
                    self._loading.set_result(loaded)
            case LoadRefused(code, message) if self._loading is not None:
                if not self._loading.done():
                    self._loading.set_exception(error_of(code, message))
            case message:
                raise ProtocolError(f"a host does not send {type(message).__name__}")

    def _lost(self) -> None:
        self.is_alive = False
        self._ending = asyncio.create_task(self._report())

    async def _report(self) -> None:
        """Say how the process ended, as soon as the nursery has told."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STATUS_SECONDS):
                await asyncio.shield(self._status)
        how = describe_status(self._status.result()) if self._status.done() else "ended"
        if self._loading is not None and not self._loading.done():
            self._loading.set_exception(HostDied(f"its process {how} while loading"))
        self.forget()
        self.on_death(how)


def describe_status(status: int) -> str:
    """Say in words what `waitpid` reported."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(number).name}"
        return f"was ended by signal {number}"
    return f"exited with {os.waitstatus_to_exitcode(status)}"


class Nursery:
    """The control process's side of the nursery."""

    def __init__(self, *, memory: int, is_quiet: bool = False) -> None:
        self._memory = memory
        self._errors = subprocess.DEVNULL if is_quiet else None
        """Where hosts write what models print, and their tracebacks; by default as we do."""
        self._numbers = count(1)
        self._hosts: dict[int, Host] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._idle: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int:
        """The process's number; 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    def hosts(self) -> tuple[Host, ...]:
        """All hosts that have not been seen to end."""
        return tuple(self._hosts.values())

    def start(self) -> None:
        """Start ahead of the first host; it ends again if none comes."""
        if self._channel is None:
            self._start()
            self._end_when_idle()

    def start_host(self, *, needs_libraries: bool) -> Host:
        """Fork a host, with scikit-learn imported or not, starting the nursery where needed."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        channel = self._channel or self._start()
        ours, theirs = connected_pair()
        host = Host(next(self._numbers), ours)
        self._hosts[host.number] = host
        channel.send(Fork(host.number, self._memory, needs_libraries), take=[theirs.detach()])
        return host

    def _start(self) -> Channel:
        ours, theirs = connected_pair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "modeld.host.nursery",
                    str(theirs.fileno()),
                    str(os.getpid()),
                ],
                pass_fds=[theirs.fileno()],
                env=child_environment(is_host=True),
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                start_new_session=True,
            )
        self._channel = Channel(ours, self._received, self._lost)
        return self._channel

    def _received(self, frame: Frame) -> None:
        match frame.message:
            case Forked(number, pid):
                pidfd = self._channel.take_descriptor() if self._channel and _HAS_PIDFD else -1
                if number in self._hosts:
                    self._hosts[number].born(pid, pidfd)
            case Exited(number, status):
                host = self._hosts.pop(number, None)
                if host is not None:
                    host.exited(status)
                    host.forget()
                self._end_when_idle()
            case message:
                raise ProtocolError(f"a nursery does not send {type(message).__name__}")

    def _end_when_idle(self) -> None:
        if not self._hosts and self._idle is None:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(_IDLE_SECONDS, self._end_if_idle)

    def _end_if_idle(self) -> None:
        self._idle = None
        if not self._hosts:
            self.close()

    def _lost(self) -> None:
        """The nursery died: its hosts live on, but their ends will not be reported."""
        log.warning("nursery.died", pid=self.pid)
        self._channel = None
        self._reap()
        self._hosts.clear()

    def close(self) -> None:
        """End the nursery; hosts that still live are not touched."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._reap()

    def _reap(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()


_HAS_PIDFD = hasattr(os, "pidfd_open")
