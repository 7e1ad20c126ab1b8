"""Answer one prediction: route, decode, predict, encode, count.

Every way in ends here, so that limits, errors and metrics are the same for all.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from modeld.domain import ModelVersion, WorkerSettings
from modeld.errors import (
    InternalError,
    ModeldError,
    ModelNotFound,
    NoProbabilities,
    RequestError,
    VersionNotFound,
)
from modeld.http import wire
from modeld.http.errors import body_of, headers_of, status_of
from modeld.log import get_logger
from modeld.serving.router import Target, find, parse_target
from modeld.serving.snapshot import EMPTY, Release, Snapshot
from modeld.slots import Slots

log = get_logger()

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_THREAD_BODY = 1 << 17
"""Bodies above this are parsed in a thread, so that they do not hold up the loop."""


class Reply(NamedTuple):
    """An answer, not yet bound to HTTP's framing."""

    status: int
    body: bytes
    headers: Mapping[str, str] = NO_HEADERS


class Predictor:
    """Answers predictions from the current snapshot."""

    def __init__(
        self,
        settings: WorkerSettings,
        slots: Slots,
        want: Callable[[ModelVersion], Awaitable[None]],
    ) -> None:
        self.snapshot: Snapshot = EMPTY
        self._settings = settings
        self._slots = slots
        self._want = want

    async def answer(self, query: str, body: bytes, request_id: str) -> Reply:
        """Answer a prediction; whatever goes wrong becomes a reply too."""
        try:
            target = parse_target(query)
            release = find(self.snapshot, target) or await self._find_elsewhere(target)
        except ModeldError as error:
            return Reply(status_of(error), body_of(error, request_id), headers_of(error))
        release.enter()
        try:
            return await self._answer(release, target, body, request_id)
        finally:
            release.leave()

    async def _find_elsewhere(self, target: Target) -> Release:
        """Have the control process load a version that is not in the snapshot."""
        if target.version is None:
            known = tuple(self.snapshot.live)
            raise ModelNotFound(f"no model '{target.model}' is live", known)
        version = ModelVersion(target.model, target.version)
        await self._want(version)
        release = self.snapshot.releases.get(version)
        if release is None:
            raise VersionNotFound(f"{version} was unloaded again; try once more")
        return release

    async def _answer(
        self, release: Release, target: Target, body: bytes, request_id: str
    ) -> Reply:
        started = time.perf_counter()
        spec = release.spec
        try:
            answer = await self._predict(release, target, body)
        except ModeldError as error:
            return self._failure(release, error, request_id)
        except Exception as error:
            # A defect of ours must not cost the connection; the log has the traceback.
            log.exception("predict.failed", version=str(spec.version), request_id=request_id)
            failure = InternalError(f"{type(error).__name__} inside modeld; the log says more")
            return self._failure(release, failure, request_id)
        self._slots.ok(spec.slot, time.perf_counter() - started)
        return Reply(200, answer, release.headers)

    async def _predict(self, release: Release, target: Target, body: bytes) -> bytes:
        signature = release.spec.signature
        limit = self._settings.max_rows
        if len(body) > _THREAD_BODY:
            rows = await asyncio.to_thread(wire.decode, body, signature, limit)
        else:
            rows = wire.decode(body, signature, limit)
        if target.wants_probabilities and not signature.has_probabilities:
            raise NoProbabilities(f"{release.spec.version} has no probabilities to give")
        result = release.model.predict(rows, target.wants_probabilities)
        predictions = await result if isinstance(result, asyncio.Future) else result
        return wire.encode(predictions, rows, release.spec.version.version, signature)

    def _failure(self, release: Release, error: ModeldError, request_id: str) -> Reply:
        is_client = isinstance(error, RequestError)
        self._slots.failed(release.spec.slot, error.code, is_client_error=is_client)
        if not is_client:
            log.warning(
                "predict.refused",
                version=str(release.spec.version),
                code=error.code,
                error=str(error),
                request_id=request_id,
            )
        headers = {**release.headers, **headers_of(error)}
        return Reply(status_of(error), body_of(error, request_id), headers)
