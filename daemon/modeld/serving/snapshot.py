"""Hold what a worker serves from: an immutable view of releases and routes.

A request reads the snapshot once. A switch replaces it by one assignment; a release
that is no longer in it closes when its last request has been answered.
"""

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from modeld.domain import ModelVersion, ReleaseSpec, WorkerSettings
from modeld.errors import DeadlineExceeded, ModeldError, ModelError, Overloaded
from modeld.host.child import step_back, trim_heap
from modeld.http.answer import Fields
from modeld.http.wire import Predictions, Rows
from modeld.runtimes.model import Model, as_plain
from modeld.serving.batcher import Batcher
from modeld.slots import Slots

_ON_LOOP_SECONDS = 0.0002


class HostedModel:
    """A version that its hosts answer for."""

    def __init__(self, spec: ReleaseSpec, slots: Slots, settings: WorkerSettings) -> None:
        self._batcher = Batcher(
            spec,
            slots,
            max_queue=settings.max_queue,
            timeout_seconds=settings.request_timeout,
        )

    def attach(self, sock: socket.socket, host: int, instead_of: int = 0) -> None:
        """Talk to a host over this socket, and no more to the one that it replaces."""
        self._batcher.attach(sock, host, instead_of)

    def predict(self, rows: Rows, wants_probabilities: bool) -> asyncio.Future[Predictions]:
        """Queue the rows for the next free host."""
        return self._batcher.submit(rows, wants_probabilities)

    def close(self) -> None:
        """Leave the hosts."""
        self._batcher.close()


class InPlaceModel:
    """A version that this worker runs: small work on the loop, the rest in its one thread."""

    def __init__(self, spec: ReleaseSpec, model: Model, settings: WorkerSettings) -> None:
        self._spec = spec
        self._model = model
        self._settings = settings
        # Rows are best made of what the model reads; a model that does not say reads any.
        self.row_type = getattr(model, "row_type", np.float64)
        self._thread = ThreadPoolExecutor(1, f"{spec.version}")
        self._waiting = 0
        quick = _ON_LOOP_SECONDS / spec.row_seconds if spec.row_seconds else settings.max_rows
        self._most_rows_on_loop = int(quick)

    def predict(
        self, rows: Rows, wants_probabilities: bool
    ) -> Predictions | asyncio.Future[Predictions]:
        """Answer at once where that is quick; raises `Overloaded` when too many wait."""
        if rows.length <= self._most_rows_on_loop:
            return self._run(rows, wants_probabilities)
        if self._waiting >= self._settings.max_queue:
            raise Overloaded(f"{self._waiting} requests wait for {self._spec.version} already")
        return asyncio.ensure_future(self._run_in_thread(rows, wants_probabilities))

    async def _run_in_thread(self, rows: Rows, wants_probabilities: bool) -> Predictions:
        self._waiting += 1
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.request_timeout):
                return await loop.run_in_executor(
                    self._thread, self._run, rows, wants_probabilities
                )
        except TimeoutError:
            limit = self._settings.request_timeout
            raise DeadlineExceeded(f"no answer within {limit:g} s") from None
        finally:
            self._waiting -= 1

    def _run(self, rows: Rows, wants_probabilities: bool) -> Predictions:
        try:
            values = as_plain(self._model.predict(rows.values), rows.length)
            if not wants_probabilities:
                return Predictions(values)
            return Predictions(
                values, as_plain(self._model.probabilities(rows.values), rows.length)
            )
        except ModeldError:
            raise
        except Exception as error:
            # onnxruntime raises classes of its own for whatever a graph meets.
            raise ModelError(f"{type(error).__name__}: {str(error)[:150]}") from error

    def close(self) -> None:
        """Let go of the session and its thread."""
        self._thread.shutdown(wait=False)


class Release:
    """A version being served, and how many requests are in it."""

    def __init__(self, spec: ReleaseSpec, model: HostedModel | InPlaceModel) -> None:
        self.spec = spec
        self.model = model
        self.in_flight = 0
        self.headers = Fields(
            {"X-Model-Version": spec.version.version, "X-Model-Runtime": spec.runtime}
        )
        self.row_type: Any = getattr(model, "row_type", np.float64)
        self._is_retired = False

    def enter(self) -> None:
        """Take a lease: the release stays open until it is given back."""
        self.in_flight += 1

    def leave(self) -> None:
        """Give a lease back."""
        self.in_flight -= 1
        if self._is_retired and not self.in_flight:
            self.model.close()

    def retire(self) -> None:
        """Close now, or when the last request has been answered."""
        self._is_retired = True
        if not self.in_flight:
            self.model.close()


class Aim(NamedTuple):
    """What a request's target asks for."""

    release: Release
    wants_probabilities: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the worker serves: the live release of each model, and all by version.

    `aims` remembers what targets of requests, as they were sent, ask for.
    """

    number: int
    live: Mapping[str, Release]
    releases: Mapping[ModelVersion, Release]
    aims: dict[bytes, Aim] = field(default_factory=dict, compare=False)

    def retire_all_but(self, kept: "Snapshot") -> None:
        """Close the releases that the snapshot after this one no longer has."""
        remaining = set(map(id, kept.releases.values()))
        for release in self.releases.values():
            if id(release) not in remaining:
                release.retire()


EMPTY = Snapshot(0, {}, {})


class Opener:
    """Opens sessions one at a time in a thread that yields to everybody else."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "opener", initializer=step_back)

    async def open(self, path: str) -> Model:
        """Open an ONNX model by path; raises `LoadFailed`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, _open, path)


def _open(path: str) -> Model:
    # Imported on demand: a worker without ONNX models saves its memory.
    from modeld.runtimes.onnx import OnnxModel

    model = OnnxModel(path)
    trim_heap()
    return model
