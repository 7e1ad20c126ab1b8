"""Answer plain predictions without aiohttp: the express lane.

A plain request is a POST whose target the snapshot knows and whose body is short and
comes as it is (`http/head.py` decides what is plain). It is answered straight from the
snapshot, by the same predictor and with the same bytes as behind aiohttp. Whatever is
not plain is none of the lane's business, so it has no HTTP errors of its own.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from modeld.domain import WorkerSettings
from modeld.errors import ModeldError
from modeld.http.answer import render
from modeld.http.head import Head
from modeld.http.limits import RequestIds
from modeld.http.wire import Predictions
from modeld.serving.later import Later
from modeld.serving.predictor import THREAD_BODY, Prediction, Predictor, Reply
from modeld.serving.request_log import request_log
from modeld.serving.router import find, parse_target
from modeld.serving.snapshot import Aim
from modeld.slots import Slots, http_slot

_PATH = b"/predict"
_AIMS_KEPT = 256

Done = Callable[[bytes, bool], None]
"""Takes an answer, and whether the connection must close after it."""


class _Asked(NamedTuple):
    head: Head
    request_id: str
    started: float
    done: Done


class Express:
    """The express lane of a worker."""

    def __init__(self, settings: WorkerSettings, predictor: Predictor, slots: Slots) -> None:
        self._predictor = predictor
        self._slots = slots
        self._longest = min(settings.max_body, THREAD_BODY)
        self._requests = request_log(settings.log_requests)
        self._ids = RequestIds()
        self.is_draining = False

    def aim(self, head: Head) -> Aim | None:
        """Find what a request asks for; `None` when it is none for this lane."""
        if not head.is_plain or head.length > self._longest:
            return None
        return self._predictor.snapshot.aims.get(head.target) or self._find(head.target)

    def _find(self, target: bytes) -> Aim | None:
        path, _, query = target.partition(b"?")
        if path != _PATH or b"#" in query:
            return None
        snapshot = self._predictor.snapshot
        try:
            asked = parse_target(query.decode("ascii"))
            release = find(snapshot, asked)
        except ModeldError:
            return None
        if release is None:
            return None
        if len(snapshot.aims) >= _AIMS_KEPT:
            snapshot.aims.clear()
        aim = snapshot.aims[target] = Aim(release, asked.wants_probabilities)
        return aim

    def ask(
        self, aim: Aim, head: Head, body: bytes, done: Done
    ) -> Later | asyncio.Future[Predictions] | None:
        """Answer a request: at once, or when what is returned is done."""
        started = time.perf_counter()
        request_id = self._ids.of(head.request_id)
        prediction = Prediction(self._predictor, aim, request_id)
        reply = prediction.begin(body)
        asked = _Asked(head, request_id, started, done)
        if reply is not None:
            self._answer(reply, asked)
            return None
        prediction.later.add_done_callback(partial(self._answer_later, prediction, asked))
        return prediction.later

    def _answer_later(self, prediction: Prediction, asked: _Asked, _: object) -> None:
        reply = prediction.reply()
        if reply is not None:
            self._answer(reply, asked)

    def _answer(self, reply: Reply, asked: _Asked) -> None:
        head, request_id, started, done = asked
        must_close = self.is_draining or not head.keep_alive
        connection = "close" if must_close else ""
        status, body, headers, _ = reply
        done(render(status, request_id, headers, body, connection=connection), must_close)
        slot = http_slot("/predict", "POST", status)
        self._slots.observe(slot, time.perf_counter() - started)
        if self._requests is not None:
            self._requests.note("POST", "/predict", reply, request_id, started)
