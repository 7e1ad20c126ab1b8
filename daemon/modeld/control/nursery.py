"""Start hosts: fork them from the nursery process, or start one in an environment of its own.

The nursery is started when a host is first needed and ends when none has been for a
while.
"""

import asyncio
import os
import socket
import subprocess
from itertools import count
from pathlib import Path

from modeld import launch
from modeld.control.alone import start_alone
from modeld.control.environment import child_environment
from modeld.control.environments import Environments
from modeld.control.hosts import HAS_PIDFD, Host
from modeld.domain import Artifact
from modeld.host.channel import Channel, connected_pair
from modeld.host.protocol import Frame, ProtocolError
from modeld.log import get_logger
from modeld.messages import Exited, Fork, Forked
from modeld.runtimes.formats import is_native

log = get_logger()

_IDLE_SECONDS = 5.0


class Nursery:
    """The control process's side of the nursery."""

    def __init__(self, *, memory: int, environments: Path, is_quiet: bool = False) -> None:
        self._memory = memory
        self._environments = Environments(environments)
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

    def start_host(self, artifact: Artifact) -> Host:
        """Start a host for a version; raises `EnvironmentNotBuilt`."""
        # A version may ask for less than the server allows, not for more.
        memory = min(filter(None, (artifact.max_memory, self._memory)), default=0)
        if artifact.environment:
            name, version = artifact.environment, artifact.version
            return self._start_alone(self._environments.python(name, version), memory)
        return self._fork(artifact, memory)

    def _fork(self, artifact: Artifact, memory: int) -> Host:
        """Fork a host with what it needs imported, starting the nursery where needed."""
        needs_libraries = is_native(artifact.format)
        needs_tables = needs_libraries and any(column.is_text for column in artifact.columns)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        channel = self._channel or self._start()
        host, theirs = self._new_host()
        order = Fork(host.number, memory, needs_libraries, needs_tables)
        channel.send(order, take=[theirs.detach()])
        return host

    def _start_alone(self, python: Path, memory: int) -> Host:
        host, theirs = self._new_host()
        with theirs:
            pid = start_alone(
                python,
                theirs,
                memory,
                self._errors,
                lambda status: self._exited(host.number, status),
            )
        host.born(pid, os.pidfd_open(pid) if HAS_PIDFD else -1)
        return host

    def _new_host(self) -> tuple[Host, socket.socket]:
        ours, theirs = connected_pair()
        host = Host(next(self._numbers), ours)
        self._hosts[host.number] = host
        return host, theirs

    def _start(self) -> Channel:
        ours, theirs = connected_pair()
        with theirs:
            self._process = subprocess.Popen(
                launch.command("modeld.host.nursery", theirs.fileno(), os.getpid()),
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
                pidfd = self._channel.take_descriptor() if self._channel and HAS_PIDFD else -1
                if number in self._hosts:
                    self._hosts[number].born(pid, pidfd)
            case Exited(number, status):
                self._exited(number, status)
            case message:
                raise ProtocolError(f"a nursery does not send {type(message).__name__}")

    def _exited(self, number: int, status: int) -> None:
        host = self._hosts.pop(number, None)
        if host is not None:
            host.exited(status)
            host.forget()
        self._end_when_idle()

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
