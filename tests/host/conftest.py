"""A real nursery, started once, and hosts forked from it."""

import os
import socket
import subprocess
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modeld import launch
from modeld.domain import Artifact
from modeld.host.protocol import BlockingChannel, Frame
from modeld.messages import (
    Batch,
    BatchAnswer,
    Exited,
    Fork,
    Forked,
    Load,
    Loaded,
    LoadRefused,
    Message,
    Peer,
)
from modeld.runtimes.model import unpack

PATIENCE_SECONDS = 30.0


class Talk:
    """One end of a connection; every wait has an end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_SECONDS)
        self.channel = BlockingChannel(sock)
        self._frames: deque[Frame] = deque()

    def send(self, message: Message, payload: bytes = b"", *, take: int | None = None) -> None:
        """Send a message, and a descriptor that is closed here."""
        self.channel.send(message, payload, descriptors=[] if take is None else [take])
        if take is not None:
            os.close(take)

    def receive(self) -> Frame | None:
        """Wait for the next frame; `None` when the other side is gone."""
        while not self._frames:
            try:
                frames = self.channel.receive()
            except ConnectionResetError:
                return None
            if frames is None:
                return None
            self._frames.extend(frames)
        return self._frames.popleft()

    def close(self) -> None:
        self.channel.sock.close()


class HostProcess:
    """A forked host, as the control process and its workers see it."""

    def __init__(self, number: int, pid: int, pidfd: int, control: Talk) -> None:
        self.number = number
        self.pid = pid
        self.pidfd = pidfd
        self.control = control
        self.peers: list[Talk] = []

    def load(self, artifact: Artifact, *, seconds: float = 20.0) -> Loaded | LoadRefused | None:
        """Load a version; `None` when the host died of it."""
        self.control.send(Load(artifact, 64 << 20, seconds))
        frame = self.control.receive()
        if frame is None:
            return None
        assert isinstance(frame.message, Loaded | LoadRefused)
        return frame.message

    def introduce(self) -> Talk:
        """Make a connection as a worker has it."""
        ours, theirs = socket.socketpair()
        self.control.send(Peer(), take=theirs.detach())
        self.peers.append(Talk(ours))
        return self.peers[-1]

    def close(self) -> None:
        for talk in (self.control, *self.peers):
            talk.close()
        os.close(self.pidfd)


def ask(
    peer: Talk, *requests: list[list[float]], proba: bool = False, seconds: float = 10.0
) -> list[object] | None:
    """Send the rows of some requests as one batch; `None` when the host died of it."""
    rows = np.array([row for request in requests for row in request], dtype="<f8")
    segments = tuple(map(len, requests))
    peer.send(Batch(1, segments, rows.shape, proba, seconds), rows.tobytes())
    return answers_in(peer.receive())


def answers_in(frame: Frame | None) -> list[object] | None:
    """Give what each outcome holds: a list for each of its arrays, or its code."""
    if frame is None:
        return None
    assert isinstance(frame.message, BatchAnswer)
    found: list[object] = []
    at = 0
    for outcome in frame.message.outcomes:
        arrays = [values for values in (outcome.predictions, outcome.probabilities) if values]
        for values in arrays:
            found.append(unpack(values, frame.payload[at : at + values.size]))
            at += values.size
        if not arrays:
            found.append(outcome.code)
    return found


class NurseryProcess:
    """A real nursery."""

    def __init__(self, log: Path) -> None:
        ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as errors:
            self.process = subprocess.Popen(
                launch.command("modeld.host.nursery", theirs.fileno(), os.getpid()),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        self.control = Talk(ours)
        self.log = log
        self.exits: dict[int, int] = {}
        self.hosts: list[HostProcess] = []

    def fork(self, *, memory: int = 0, needs_tables: bool = False) -> HostProcess:
        """Fork a host."""
        number = len(self.hosts) + 1
        ours, theirs = socket.socketpair()
        order = Fork(number, memory, needs_libraries=True, needs_tables=needs_tables)
        self.control.send(order, take=theirs.detach())
        forked = self._next(Forked)
        assert isinstance(forked, Forked)
        assert forked.host == number
        pidfd = self.control.channel.descriptors.popleft()
        self.hosts.append(HostProcess(number, forked.pid, pidfd, Talk(ours)))
        return self.hosts[-1]

    def exit_of(self, host: HostProcess) -> int:
        """Wait until the nursery reports a host's end; gives what `waitpid` gave."""
        while host.number not in self.exits:
            self._next(Exited)
        return self.exits[host.number]

    def _next(self, kind: type) -> Message:
        while True:
            frame = self.control.receive()
            assert frame is not None, self.log.read_text()
            if isinstance(frame.message, Exited):
                self.exits[frame.message.host] = frame.message.status
            if isinstance(frame.message, kind):
                return frame.message

    def close(self) -> None:
        self.control.close()
        self.process.wait(PATIENCE_SECONDS)


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NurseryProcess]:
    """One nursery for all tests of a process: its imports take seconds."""
    nursery = NurseryProcess(tmp_path_factory.mktemp("nursery") / "log")
    yield nursery
    nursery.close()


@pytest.fixture
def host(nursery: NurseryProcess) -> Iterator[HostProcess]:
    """A host of its own for each test."""
    host = nursery.fork()
    yield host
    host.close()
    nursery.exit_of(host)
