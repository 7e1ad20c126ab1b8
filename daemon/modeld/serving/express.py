"""Answer plain predictions without aiohttp: the express lane.

A plain request is a POST whose target the snapshot knows and whose body is short and
comes as it is (`http/head.py` decides what is plain). It is answered straight from the
snapshot, by the same predictor and with the same bytes as behind aiohttp. Whatever is
not plain is none of the lane's business, so it has no HTTP errors of its own.
"""

import asyncio
import time
from collections.abc import Callable

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


class Express:
    """The express lane of a worker."""

    def __init__(self, settings: WorkerSettings, predictor: Predictor, slots: Slots) -> None:
        self.predictor = predictor
        self._slots = slots
        self._longest = min(settings.max_body, THREAD_BODY)
        self._requests = request_log(settings.log_requests)
        self.ids = RequestIds()
        self.is_draining = False

    def aim(self, head: Head) -> Aim | None:
        """Find what a request asks for; `None` when it is none for this lane."""
        if not head.is_plain or head.length > self._longest:
            return None
        return self.predictor.snapshot.aims.get(head.target) or self._find(head.target)

    def _find(self, target: bytes) -> Aim | None:
        path, _, query = target.partition(b"?")
        if path != _PATH or b"#" in query:
            return None
        snapshot = self.predictor.snapshot
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
        asked = _Asked(self, aim, head, done)
        reply = asked.begin(body)
        if reply is not None:
            self.answer(reply, asked)
            return None
        asked.later.add_done_callback(asked.told)
        return asked.later

    def answer(self, reply: Reply, asked: "_Asked") -> None:
        """Write a reply and count it."""
        must_close = self.is_draining or not asked.keeps_alive
        connection = "close" if must_close else ""
        status, request_id = reply.status, asked.request_id
        asked.done(
            render(status, request_id, reply.headers, reply.body, connection=connection), must_close
        )
        slot = http_slot("/predict", "POST", status)
        self._slots.observe(slot, time.perf_counter() - asked.started)
        if self._requests is not None:
            self._requests.note("POST", "/predict", reply, request_id, asked.started)


class _Asked(Prediction):
    """A prediction that this lane was asked for."""

    __slots__ = ("_express", "done", "keeps_alive")

    def __init__(self, express: Express, aim: Aim, head: Head, done: Done) -> None:
        super().__init__(express.predictor, aim, express.ids.of(head.request_id))
        self._express = express
        self.keeps_alive = head.keep_alive
        self.done = done

    def told(self, _: object) -> None:
        """Answer: what was waited for is known."""
        reply = self.reply()
        if reply is not None:
            self._express.answer(reply, self)
