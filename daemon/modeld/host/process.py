"""Answer batches for one version: the process that may die.

It loads the version that the control process names, tries it, and then answers
batches from every worker that it was introduced to, one after another. It ends when
its last peer has gone. A host may also be started to describe, compile or prove a
version, and does nothing else then. Loading and compiling yield the processor to
whatever serves. Before each batch it arms a kernel timer that ends it, so that a model
that hangs in C code needs nobody to kill it.
"""

import json
import os
import selectors
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from modeld.errors import ModeldError, ModelError
from modeld.host.child import arm_timer, give_up_privileges, step_back
from modeld.host.compiling import compile_version, prove_version
from modeld.host.describing import describe_version
from modeld.host.failures import describe
from modeld.host.protocol import BlockingChannel, ProtocolError
from modeld.host.scoring import Scorer
from modeld.host.trial import try_out
from modeld.messages import (
    Batch,
    BatchAnswer,
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
    Message,
    Outcome,
    Peer,
    Prove,
    Proven,
    Score,
    Scored,
    Values,
)
from modeld.runtimes.columns import to_table
from modeld.runtimes.model import Model, Rows, as_array, pack

_REFUSED = "load_failed"
_LOAD_NICENESS = 5
"""A version that somebody waits for: a rollback must not starve on a busy machine."""
_COMPILE_NICENESS = 19
_LOOK_SECONDS = 0.2
_SCORE_NICENESS = 10

Order = Load | Compile | Prove | Describe | Score | Clock | Look
Achieved = Loaded | Compiled | Proven | Described | Scored | Clocked | Looked
"""What a host that did as it was told answers."""


class Host:
    """One loaded version and the peers that it answers."""

    def __init__(self, sock: socket.socket) -> None:
        self._control = BlockingChannel(sock)
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ, self._control)
        self._model: Model | None = None
        self._scorer: Scorer | None = None

    def run(self) -> None:
        """Serve until the last peer has gone."""
        while self._selector.get_map():
            for key, _ in self._selector.select():
                self._serve(key.data)

    def _serve(self, channel: BlockingChannel) -> None:
        try:
            frames = channel.receive()
            for frame in frames or ():
                self._handle(channel, frame.message, frame.payload)
        except (OSError, ProtocolError):
            frames = None
        if frames is None:
            self._selector.unregister(channel.sock)
            channel.sock.close()

    def _handle(self, channel: BlockingChannel, message: Any, payload: memoryview) -> None:
        match message:
            case Batch() if self._model is not None:
                answer, data = _answer(self._model, message, payload)
                channel.send(answer, data)
            case Load() if channel is self._control:
                self._attempt(message, lambda: self._load(message), _LOAD_NICENESS)
            case Compile() if channel is self._control:
                self._attempt(message, lambda: compile_version(message), _COMPILE_NICENESS)
            case Prove() if channel is self._control:
                self._attempt(message, lambda: prove_version(message), _COMPILE_NICENESS)
            case Describe() if channel is self._control:
                self._attempt(message, lambda: describe_version(message), _LOAD_NICENESS)
            case Score() | Clock() | Look() if channel is self._control and self._scorer:
                work = partial(self._scorer.obey, message, self._control.send)
                self._attempt(message, work, 0 if isinstance(message, Clock) else _SCORE_NICENESS)
            case Peer() if channel is self._control:
                sock = socket.socket(fileno=channel.descriptors.popleft())
                self._selector.register(sock, selectors.EVENT_READ, BlockingChannel(sock))
            case _:
                raise ProtocolError(f"a host does not expect {type(message).__name__}")

    def _attempt(self, order: Order, work: Callable[[], Achieved], niceness: int) -> None:
        """Do what may take long, in a thread that yields to whatever serves, and report."""
        results: list[Message] = []

        def run() -> None:
            step_back(niceness)
            results.append(_outcome(work))

        arm_timer(order.limit_seconds)
        thread = threading.Thread(target=run)
        thread.start()
        while thread.is_alive():
            thread.join(_LOOK_SECONDS)
            if self._control.is_closed():
                # Nobody waits for it any more: whoever gave the order was killed.
                os._exit(1)
        arm_timer(0)
        self._control.send(results[0])

    def _load(self, order: Load) -> Loaded:
        self._model, loaded = try_out(order.artifact, order.inplace_max)
        self._scorer = Scorer(self._model)
        return loaded


def _outcome(work: Callable[[], Achieved]) -> Message:
    """Do it, and turn whatever goes wrong into a refusal."""
    try:
        return work()
    except ModeldError as error:
        return LoadRefused(error.code, str(error))
    except MemoryError:
        return LoadRefused(
            _REFUSED,
            "it needs more memory than MODELD_HOST_MEMORY allows, or max_memory in model.yaml",
        )
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        # Opening a pickle runs somebody's code, which may raise anything.
        traceback.print_exc()
        return LoadRefused(_REFUSED, describe(error))


def _answer(model: Model, batch: Batch, payload: memoryview) -> tuple[BatchAnswer, bytes]:
    """Answer a batch; when it fails as a whole, every request of it alone."""
    started = time.perf_counter()
    rows = _read_rows(model, batch, payload)
    arm_timer(batch.limit_seconds)
    parts = [_attempt(model, rows, batch.wants_probabilities)]
    if parts[0][0].code and len(batch.segments) > 1:
        parts = [
            _attempt(model, part, batch.wants_probabilities) for part in _cut(rows, batch.segments)
        ]
    arm_timer(0)
    seconds = time.perf_counter() - started
    outcomes = tuple(outcome for outcome, _ in parts)
    return BatchAnswer(batch.id, outcomes, seconds), b"".join(data for _, data in parts)


def _read_rows(model: Model, batch: Batch, payload: memoryview) -> Rows:
    if model.signature.rank == 0:
        return json.loads(bytes(payload))
    if model.signature.is_mixed:
        return to_table(json.loads(bytes(payload)))
    return np.frombuffer(payload, dtype="<f8").reshape(batch.shape)


def _cut(rows: Rows, segments: tuple[int, ...]) -> Iterator[Rows]:
    start = 0
    for length in segments:
        yield rows[start : start + length]
        start += length


def _attempt(model: Model, rows: Rows, wants_probabilities: bool) -> tuple[Outcome, bytes]:
    """Predict, and turn whatever goes wrong into an outcome."""
    try:
        # A copy each: models may write into their rows, and these are needed again.
        values, data = pack(as_array(model.predict(rows.copy()), len(rows)))
        if not wants_probabilities:
            return Outcome(values), data
        scores, more = _pack_probabilities(model, rows)
        return Outcome(values, scores), data + more
    except ModeldError as error:
        return Outcome(None, None, error.code, str(error)), b""
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        # A model is somebody's code and may raise anything; the log has the traceback.
        traceback.print_exc()
        return Outcome(None, None, ModelError().code, describe(error)), b""


def _pack_probabilities(model: Model, rows: Rows) -> tuple[Values, bytes]:
    scores = as_array(model.probabilities(rows.copy()), len(rows))
    if scores.ndim != 2:
        scores = scores.reshape(len(rows), -1)
    return pack(scores)


def main(sock: socket.socket, memory: int) -> None:
    """Run a host on the connection to its control process, then end the process."""
    give_up_privileges(memory)
    np.random.seed(int.from_bytes(os.urandom(4), "little"))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Names are checked at the door; scikit-learn warns of an array that has none.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    Host(sock).run()
