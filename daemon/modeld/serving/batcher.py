"""Gather requests for a host while it is busy, and send them as one batch.

There is no timer: what has gathered when a host becomes free is the next batch, so
that a lone request never waits and a crowd shares one call. Where a version has several
hosts, those that are free at the same time share what has gathered. Among many clients a
batch leaves a few turns of the loop later, some microseconds when nothing else is to be
done: those that were answered send their next requests in that time, and batches grow by
half. A request that was in a batch when its host died is sent once more, alone, when the
host is back; it fails if that kills the host as well. Time in the queue is the request's
own, never the host's.
"""

import asyncio
import json
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import numpy as np

from modeld.domain import ReleaseSpec
from modeld.errors import DeadlineExceeded, ModelCrashed, ModelOutputInvalid, Overloaded
from modeld.host.channel import Channel
from modeld.host.protocol import Frame, ProtocolError
from modeld.http.errors import error_of
from modeld.http.wire import Predictions, Rows
from modeld.messages import Batch, BatchAnswer, Outcome
from modeld.runtimes.model import unpack
from modeld.serving.later import Later
from modeld.slots import Slots

_MAX_BATCH_ROWS = 512
_TURNS = 6


@dataclass(slots=True, eq=False)
class _Waiting:
    rows: Rows
    wants_probabilities: bool
    answer: Later
    since: float
    is_retry: bool = False


@dataclass(slots=True, eq=False)
class _Host:
    """A connection to a host, and what that host is working on."""

    number: int
    channel: Channel | None = None
    batch: list[_Waiting] = field(default_factory=list)
    batch_number: int = 0

    def close(self) -> None:
        if self.channel is not None:
            self.channel.close()


class Batcher:
    """The queue of one release in one worker, and its connections to the hosts."""

    def __init__(
        self, spec: ReleaseSpec, slots: Slots, *, max_queue: int, timeout_seconds: float
    ) -> None:
        self._spec = spec
        self._slots = slots
        self._max_queue = max_queue
        self._timeout = timeout_seconds
        self._queue: deque[_Waiting] = deque()
        self._outstanding: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._hosts: list[_Host] = []
        self._numbers = count(1)
        self._is_scheduled = False
        self._turns = 1
        """How many turns of the loop the next batch waits for company."""
        self._loop = asyncio.get_running_loop()

    def attach(self, sock: socket.socket, number: int, instead_of: int = 0) -> None:
        """Use this connection to a host as well, and no more the one to the host it replaces."""
        for replaced in [host for host in self._hosts if host.number == instead_of]:
            replaced.close()
            self._lost(replaced)
        host = _Host(number)
        host.channel = Channel(sock, partial(self._received, host), partial(self._lost, host))
        self._hosts.append(host)
        self._send()

    def close(self) -> None:
        """Leave the hosts; each ends when its last peer has."""
        for host in self._hosts:
            host.close()
        self._hosts = []

    def submit(self, rows: Rows, wants_probabilities: bool) -> Later:
        """Queue one request; raises `Overloaded` when the queue is full."""
        if len(self._queue) >= self._max_queue:
            raise Overloaded(
                f"{len(self._queue)} requests wait for {self._spec.version} already; try again"
            )
        waiting = _Waiting(rows, wants_probabilities, Later(), time.perf_counter())
        self._queue.append(waiting)
        self._outstanding.append(waiting)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._expire)
        self._soon()
        return waiting.answer

    def _expire(self) -> None:
        """Fail what is out of time. One timer serves all: they are in order of their age."""
        now = time.perf_counter()
        outstanding = self._outstanding
        while outstanding and (
            outstanding[0].answer.done() or now - outstanding[0].since >= self._timeout
        ):
            outstanding.popleft().answer.settle(
                DeadlineExceeded(f"no answer within {self._timeout:g} s")
            )
        while self._queue and self._queue[0].answer.done():
            # Nobody waits for these any more: they must not make the queue look full.
            self._queue.popleft()
        self._timer = None
        if outstanding:
            left = self._timeout - (now - outstanding[0].since)
            self._timer = self._loop.call_later(left, self._expire)

    def _forget_answered(self) -> None:
        while self._outstanding and self._outstanding[0].answer.done():
            self._outstanding.popleft()

    def _send(self) -> None:
        """Give every free host its part of what waits."""
        free = [host for host in self._hosts if not host.batch]
        for left, host in zip(range(len(free), 0, -1), free, strict=True):
            batch = self._gather(-(-len(self._queue) // left))
            if not batch:
                return
            self._send_to(host, batch)

    def _send_to(self, host: _Host, batch: list[_Waiting]) -> None:
        host.batch, host.batch_number = batch, next(self._numbers)
        self._turns = _TURNS if len(batch) > 1 else 1
        now = time.perf_counter()
        for waiting in batch:
            self._slots.queued(self._spec.slot, now - waiting.since)
        message, payload = self._message(host)
        self._slots.batch(self._spec.slot, sum(message.segments))
        if host.channel is not None:
            host.channel.send(message, payload)

    def _gather(self, most: int) -> list[_Waiting]:
        """Take at most so many that fit into one batch; a retried request goes alone."""
        batch: list[_Waiting] = []
        rows = 0
        while self._queue:
            following = self._queue[0]
            if following.answer.done():
                self._queue.popleft()
                continue
            if batch and (
                len(batch) >= most
                or rows + following.rows.length > _MAX_BATCH_ROWS
                or not self._can_join(batch[0], following)
            ):
                break
            batch.append(self._queue.popleft())
            rows += following.rows.length
        return batch

    def _can_join(self, first: _Waiting, other: _Waiting) -> bool:
        if first.is_retry or other.is_retry or not self._spec.batching:
            return False
        if first.wants_probabilities != other.wants_probabilities:
            return False
        return self._spec.signature.rank == 0 or (
            first.rows.values.shape[1:] == other.rows.values.shape[1:]
        )

    def _message(self, host: _Host) -> tuple[Batch, bytes]:
        batch = host.batch
        segments = tuple(waiting.rows.length for waiting in batch)
        if self._spec.signature.rank == 0:
            texts = [text for waiting in batch for text in waiting.rows.values]
            shape: tuple[int, ...] = (len(texts),)
            payload = json.dumps(texts).encode()
        else:
            parts = [waiting.rows.values for waiting in batch]
            array = parts[0] if len(parts) == 1 else np.concatenate(parts)
            shape = array.shape
            is_mixed = self._spec.signature.is_mixed
            payload = json.dumps(array.tolist()).encode() if is_mixed else array.tobytes()
        wants = batch[0].wants_probabilities
        return Batch(host.batch_number, segments, shape, wants, self._timeout), payload

    def _received(self, host: _Host, frame: Frame) -> None:
        message = frame.message
        if not isinstance(message, BatchAnswer) or message.id != host.batch_number:
            raise ProtocolError(f"a worker does not expect {type(message).__name__} of a host")
        batch, host.batch = host.batch, []
        try:
            _deliver(batch, message.outcomes, frame.payload)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            invalid = ModelOutputInvalid(f"the host's answer makes no sense: {error}")
            for waiting in batch:
                waiting.answer.settle(invalid)
        self._forget_answered()
        self._soon()

    def _soon(self) -> None:
        """Send in a few turns of the loop: what is on its way in by then shares the batch."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._wait, self._turns - 1)

    def _wait(self, turns: int) -> None:
        if turns:
            self._loop.call_soon(self._wait, turns - 1)
        else:
            self._is_scheduled = False
            self._send()

    def _lost(self, host: _Host) -> None:
        """The host died: what it was working on goes once more, alone."""
        self._hosts.remove(host)
        batch, host.batch = host.batch, []
        for waiting in reversed(batch):
            if waiting.is_retry:
                waiting.answer.settle(
                    ModelCrashed("the model's process ended twice on this request")
                )
            else:
                waiting.is_retry = True
                self._queue.appendleft(waiting)
        self._soon()


def _deliver(batch: list[_Waiting], outcomes: tuple[Outcome, ...], payload: memoryview) -> None:
    if len(outcomes) == 1:
        whole = _read(outcomes[0], payload, 0)[0]
        start = 0
        for waiting in batch:
            end = start + waiting.rows.length
            _settle(waiting, _part(whole, start, end))
            start = end
        return
    at = 0
    for waiting, outcome in zip(batch, outcomes, strict=True):
        answer, at = _read(outcome, payload, at)
        _settle(waiting, answer)


def _read(outcome: Outcome, payload: memoryview, at: int) -> tuple[Predictions | Exception, int]:
    if outcome.predictions is None:
        return error_of(outcome.code, outcome.message), at
    end = at + outcome.predictions.size
    values = unpack(outcome.predictions, payload[at:end])
    if outcome.probabilities is None:
        return Predictions(values), end
    last = end + outcome.probabilities.size
    return Predictions(values, unpack(outcome.probabilities, payload[end:last])), last


def _part(whole: Predictions | Exception, start: int, end: int) -> Predictions | Exception:
    if isinstance(whole, Exception):
        return whole
    scores = whole.probabilities
    return Predictions(whole.values[start:end], None if scores is None else scores[start:end])


def _settle(waiting: _Waiting, answer: Predictions | Exception) -> None:
    if isinstance(answer, Predictions) and not _is_complete(answer, waiting.rows.length):
        answer = ModelOutputInvalid("the model gave another number of answers than rows")
    waiting.answer.settle(answer)


def _is_complete(answer: Predictions, rows: int) -> bool:
    scores = answer.probabilities
    return len(answer.values) == rows and (scores is None or len(scores) == rows)
