"""Give orders to hosts, introduce workers to them, and hear of their deaths.

A host is addressed by a pidfd where the system has them, so that a number that
the system gave to another process is never killed.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from typing import TypeVar

from modeld.domain import Artifact
from modeld.errors import HostDied, LoadTimeout
from modeld.host.channel import Channel, connected_pair
from modeld.host.protocol import Frame, ProtocolError
from modeld.http.errors import error_of
from modeld.log import get_logger
from modeld.messages import (
    Clock,
    Clocked,
    Compile,
    Compiled,
    Describe,
    Described,
    Load,
    Loaded,
    LoadRefused,
    Look,
    Looked,
    Peer,
    Prove,
    Proven,
    Score,
    Scored,
    Scoring,
)

log = get_logger()

_STATUS_SECONDS = 1.0
HAS_PIDFD = hasattr(os, "pidfd_open")
"""Whether the system can name a process so that the name is never given to another."""

Order = Load | Compile | Prove | Describe | Score | Clock | Look
Achieved = Loaded | Compiled | Proven | Described | Scored | Clocked | Looked
A = TypeVar("A", Loaded, Compiled, Proven, Described, Scored, Clocked, Looked)


class Host:
    """A process that has one version loaded."""

    def __init__(self, number: int, sock: socket.socket) -> None:
        self.number = number
        self.pid = 0
        self.on_death: Callable[[str], None] = lambda _: None
        self._channel = Channel(sock, self._received, self._lost)
        self._pidfd = -1
        self.on_progress: Callable[[Scoring], None] = lambda _: None
        self._loading: asyncio.Future[Achieved] | None = None
        self._goes_on: Callable[[], None] = lambda: None
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
        order = Load(artifact, inplace_max, seconds + 5)
        return await self.ask(order, Loaded, seconds, f"{artifact.version} did not load")

    async def compile(self, artifact: Artifact, target: str, *, seconds: float) -> Compiled:
        """Have the host compile a version into a file; raises `CompileFailed`, `HostDied`…"""
        order = Compile(artifact, target, seconds + 5)
        return await self.ask(order, Compiled, seconds, "it was not compiled")

    async def prove(self, artifact: Artifact, compiled: str, *, seconds: float) -> Proven:
        """Have the host compare a version with its compiled file; raises `CompileFailed`…"""
        order = Prove(artifact, compiled, seconds + 5)
        return await self.ask(order, Proven, seconds, "it was not compared")

    async def describe(self, order: Describe) -> Described:
        """Have the host find out what a manifest says of a version; raises `LoadFailed`…"""
        late = f"{order.artifact.version} did not load and answer"
        return await self.ask(order, Described, order.limit_seconds - 5, late)

    async def ask(self, order: Order, kind: type[A], seconds: float, late: str) -> A:
        """Send an order, and wait for the answer of its kind; `late` says what did not happen.

        Each word of progress gives the host so many seconds more.
        """
        loop = asyncio.get_running_loop()
        self._loading = loop.create_future()
        self._channel.send(order)
        try:
            async with asyncio.timeout(seconds) as limit:
                self._goes_on = lambda: limit.reschedule(loop.time() + seconds)
                answer = await self._loading
        except TimeoutError:
            raise LoadTimeout(f"{late} within {seconds:g} s") from None
        finally:
            self._loading = None
        if not isinstance(answer, kind):
            raise ProtocolError(f"a host does not answer {type(answer).__name__} to that")
        return answer

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
            case Scoring() as progress if self._loading is not None:
                self._goes_on()
                self.on_progress(progress)
            case message if isinstance(message, Achieved) and self._loading is not None:
                if not self._loading.done():
                    self._loading.set_result(message)
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
            self._loading.set_exception(HostDied(f"its process {how} at work"))
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
