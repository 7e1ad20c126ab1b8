"""Hold what a worker serves from: an immutable view of releases and routes.

A request reads the snapshot once. A switch replaces it by one assignment; a release
that is no longer in it closes when its last request has been answered.
"""

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modeld.domain import ModelVersion, ReleaseSpec, WorkerSettings
from modeld.host.child import step_back, trim_heap
from modeld.http.answer import Fields
from modeld.http.wire import Rows
from modeld.runtimes.model import Model
from modeld.serving.batcher import Batcher
from modeld.serving.inplace import InPlaceModel
from modeld.serving.later import Later
from modeld.slots import Slots


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

    def predict(self, rows: Rows, wants_probabilities: bool) -> Later:
        """Queue the rows for the next free host."""
        return self._batcher.submit(rows, wants_probabilities)

    def close(self) -> None:
        """Leave the hosts."""
        self._batcher.close()


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
        self.keeps_lone: bool = getattr(model, "keeps_lone", False)
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


@dataclass(frozen=True, slots=True)
class Aim:
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
