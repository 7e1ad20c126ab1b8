"""Answer one prediction: route, decode, predict, encode, count.

Every way in ends here, so that limits, errors and metrics are the same for all. Where a
model answers at once, so does `begin`: no task, no future, nothing to wait for.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

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
from modeld.http.answer import NO_FIELDS
from modeld.http.errors import body_of, headers_of, status_of
from modeld.http.wire import Predictions, Rows
from modeld.log import get_logger
from modeld.serving.later import Later
from modeld.serving.router import Target, find, parse_target
from modeld.serving.snapshot import EMPTY, Aim, Release, Snapshot
from modeld.slots import Slots

log = get_logger()

THREAD_BODY = 1 << 16
"""Bodies above this are parsed in a thread, so that they do not hold up the loop."""


@dataclass(slots=True)
class Reply:
    """An answer, not yet bound to HTTP's framing. With `chunks` it has no body and goes on."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: NO_FIELDS)
    chunks: AsyncGenerator[bytes, None] | None = None


class Predictor:
    """Answers predictions from the current snapshot."""

    def __init__(
        self,
        settings: WorkerSettings,
        slots: Slots,
        want: Callable[[ModelVersion], Awaitable[None]],
    ) -> None:
        self.snapshot: Snapshot = EMPTY
        self.max_rows = settings.max_rows
        self.slots = slots
        self._want = want

    async def answer(self, query: str, body: bytes, request_id: str) -> Reply:
        """Answer a prediction; whatever goes wrong becomes a reply too."""
        try:
            target = parse_target(query)
            release = find(self.snapshot, target) or await self._find_elsewhere(target)
        except ModeldError as error:
            return Reply(status_of(error), body_of(error, request_id), headers_of(error))
        begun = Prediction(self, Aim(release, target.wants_probabilities), request_id)
        if len(body) <= THREAD_BODY:
            return begun.begin(body) or await begun.end()
        return await begun.begin_in_thread(body) or await begun.end()

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

    def refuse(self, release: Release, error: Exception, request_id: str) -> Reply:
        """Make a reply of whatever went wrong, and count it."""
        spec = release.spec
        if not isinstance(error, ModeldError):
            # A defect of ours must not cost the connection; the log has the traceback.
            log.error(
                "predict.failed", version=str(spec.version), request_id=request_id, exc_info=error
            )
            error = InternalError(f"{type(error).__name__} inside modeld; the log says more")
        is_client = isinstance(error, RequestError)
        self.slots.failed(spec.slot, error.code, is_client_error=is_client)
        if not is_client:
            log.warning(
                "predict.refused",
                version=str(spec.version),
                code=error.code,
                error=str(error),
                request_id=request_id,
            )
        more = headers_of(error)
        headers = {**release.headers, **more} if more else release.headers
        return Reply(status_of(error), body_of(error, request_id), headers)


class Prediction:
    """A prediction under way. It keeps its release open until it has given its reply."""

    __slots__ = ("_aim", "_predictor", "_rows", "later", "request_id", "started")

    def __init__(self, predictor: Predictor, aim: Aim, request_id: str) -> None:
        self._predictor = predictor
        self._aim = aim
        self.request_id = request_id
        self._rows: Rows
        self.later: Later | asyncio.Future[Predictions]
        self.started = time.perf_counter()
        aim.release.enter()

    def begin(self, body: bytes) -> Reply | None:
        """Answer at once where the model does; else `later` is what it will answer."""
        try:
            return self._run(self._decode(body))
        except Exception as error:
            # The edge: whatever goes wrong becomes a reply.
            return self._refuse(error)

    async def begin_in_thread(self, body: bytes) -> Reply | None:
        """Do what `begin` does for a body that takes long to read."""
        try:
            return self._run(await asyncio.to_thread(self._decode, body))
        except asyncio.CancelledError:
            self._aim.release.leave()
            raise
        except Exception as error:
            # The edge: whatever goes wrong becomes a reply.
            return self._refuse(error)

    def _decode(self, body: bytes) -> Rows:
        release = self._aim.release
        return wire.decode(
            body,
            release.spec.signature,
            self._predictor.max_rows,
            release.row_type,
            keeps_lone=release.keeps_lone and len(body) <= THREAD_BODY,
        )

    def _run(self, rows: Rows) -> Reply | None:
        release, wants_probabilities = self._aim.release, self._aim.wants_probabilities
        if wants_probabilities and not release.spec.signature.has_probabilities:
            raise NoProbabilities(
                f"{release.spec.version} has no probabilities to give: a classifier has them that "
                "answers one label a row and has predict_proba"
            )
        self._rows = rows
        result = release.model.predict(rows, wants_probabilities)
        if isinstance(result, Predictions):
            return self._finish(result)
        self.later = result
        return None

    async def end(self) -> Reply:
        """Wait for what the model answers later."""
        try:
            return self._finish(await self.later)
        except asyncio.CancelledError:
            self._aim.release.leave()
            raise
        except Exception as error:
            # The edge: whatever goes wrong becomes a reply.
            return self._refuse(error)

    def reply(self) -> Reply | None:
        """Give the reply once `later` is done; `None` where it was cancelled."""
        try:
            return self._finish(self.later.result())
        except asyncio.CancelledError:
            self._aim.release.leave()
            return None
        except Exception as error:
            # The edge: whatever goes wrong becomes a reply.
            return self._refuse(error)

    def _finish(self, predictions: Predictions) -> Reply:
        release = self._aim.release
        spec = release.spec
        body = wire.encode(predictions, self._rows, spec.version.version, spec.signature)
        self._predictor.slots.ok(spec.slot, time.perf_counter() - self.started)
        release.leave()
        return Reply(200, body, release.headers)

    def _refuse(self, error: Exception) -> Reply:
        reply = self._predictor.refuse(self._aim.release, error, self.request_id)
        self._aim.release.leave()
        return reply
