"""Answer what aiohttp parsed: one table from path to route.

Every answer has the same fixed set of headers and, while the worker drains, closes its
connection.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import NamedTuple

from aiohttp import HttpVersion10, hdrs, web
from multidict import istr

from modeld.domain import WorkerSettings
from modeld.errors import (
    BadRequest,
    BodyTimeout,
    BodyTooLarge,
    InternalError,
    MethodNotAllowed,
    ModeldError,
    NotFound,
)
from modeld.http.errors import body_of, headers_of, status_of
from modeld.http.limits import RequestIds, check_head
from modeld.http.response import respond, stream
from modeld.log import get_logger
from modeld.messages import Health
from modeld.serving.handler import Handler
from modeld.serving.passon import PassOn
from modeld.serving.predictor import Predictor, Reply
from modeld.serving.request_log import request_log
from modeld.slots import Slots, http_slot

log = get_logger()

_BODY_SECONDS = 10.0

_REQUEST_ID = istr("X-Request-Id")
_PASSED_ON = frozenset(["/", "/admin", "/badge.svg", "/hooks/push", "/metrics", "/ui"])


class Asked(NamedTuple):
    """A request whose body has been read. `query` is as it was sent."""

    request: web.BaseRequest
    query: str
    body: bytes
    request_id: str


Answer = Callable[[Asked], Awaitable[Reply]]


class Routes:
    """The routes of a worker."""

    def __init__(
        self, settings: WorkerSettings, slots: Slots, predictor: Predictor, pass_on: PassOn
    ) -> None:
        self._settings = settings
        self._slots = slots
        self._predictor = predictor
        self._pass_on = pass_on
        self._ids = RequestIds()
        self._requests = request_log(settings.log_requests)
        self.is_draining = False
        self._health = Health("ok", "Starting.", is_starting=True)
        self._has_started = asyncio.Event()
        self._table: dict[str, tuple[tuple[str, ...], Answer]] = {
            "/predict": (("POST",), self._predict),
            "/healthz": (("GET", "HEAD"), self._healthz),
            "/readyz": (("GET", "HEAD"), self._readyz),
        }

    def take_health(self, health: Health) -> None:
        """Note what `/healthz` is to say."""
        self._health = health
        if not health.is_starting:
            self.let_through()

    def let_through(self) -> None:
        """Let the predictions go on that wait for a first version."""
        self._has_started.set()

    def drain(self) -> None:
        """Have every answer close its connection from now on."""
        self.is_draining = True
        self.let_through()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it is."""
        started = time.perf_counter()
        request_id = self._ids.of(request.headers.get(_REQUEST_ID))
        path, query = _split(request)
        try:
            reply = await self._reply(request, path, query, request_id)
        except ModeldError as error:
            reply = Reply(status_of(error), body_of(error, request_id), headers_of(error))
        except (ConnectionError, web.RequestPayloadError) as error:
            # The client is gone in the middle of its request: nobody waits for an answer.
            raise ConnectionResetError("the client is gone") from error
        except Exception:
            # The last edge: a defect of ours becomes an answer, and the log has the traceback.
            log.exception("http.failed", path=path, request_id=request_id)
            failure = InternalError("an error inside modeld; the log says more")
            reply = Reply(500, body_of(failure, request_id))
        response = self._response(request, reply, request_id)
        slot = _cached_slot(path, request.method, reply.status)
        self._slots.observe(slot, time.perf_counter() - started)
        if self._requests is not None:
            self._requests.note(request.method, path, reply, request_id, started)
        return response

    def _response(
        self, request: web.BaseRequest, reply: Reply, request_id: str
    ) -> web.StreamResponse:
        if reply.chunks is not None:
            if isinstance(request.protocol, Handler):
                request.protocol.follow()
            return stream(reply.status, request_id, reply.headers, reply.chunks)
        must_close = self.is_draining or not request.content.is_eof()
        return respond(reply.status, request_id, reply.headers, reply.body, must_close=must_close)

    async def _reply(
        self, request: web.BaseRequest, path: str, query: str, request_id: str
    ) -> Reply:
        if request.version < HttpVersion10:
            raise BadRequest("a request line ends in HTTP/1.1")
        found = self._table.get(path)
        if found is None:
            if not _is_passed_on(path):
                raise NotFound("no such route; GET / lists them")
            answer: Answer = self._pass
        else:
            methods, answer = found
            if request.method not in methods:
                allowed = " or ".join(methods)
                raise MethodNotAllowed(f"{path} takes {allowed}", methods)
        body = await self._body(request) if request.can_read_body else b""
        return await answer(Asked(request, query, body, request_id))

    async def _body(self, request: web.BaseRequest) -> bytes:
        limit = self._settings.max_body
        check_head(request.headers, limit)
        if hdrs.EXPECT in request.headers:
            if request.transport is None:
                raise ConnectionResetError("the client is gone")
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            if request.content.is_eof():
                return self._at_hand(request)
            async with asyncio.timeout(_BODY_SECONDS):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise BodyTooLarge(_too_long(limit)) from None
        except TimeoutError:
            raise BodyTimeout(f"the body did not arrive within {_BODY_SECONDS:g} s") from None

    def _at_hand(self, request: web.BaseRequest) -> bytes:
        """Take a body that has arrived as a whole, in a quarter of the time of `read`."""
        body = request.content.read_nowait()
        if len(body) > self._settings.max_body:
            raise BodyTooLarge(_too_long(self._settings.max_body))
        return body

    async def _predict(self, asked: Asked) -> Reply:
        if not self._has_started.is_set():
            await self._first_version()
        return await self._predictor.answer(asked.query, asked.body, asked.request_id)

    async def _first_version(self) -> None:
        """Wait for what a server that has just been started is about to serve."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.request_timeout):
                await self._has_started.wait()

    async def _pass(self, asked: Asked) -> Reply:
        return await self._pass_on.answer(asked.request, asked.body, asked.request_id)

    async def _healthz(self, _asked: Asked) -> Reply:
        return Reply(200, self._health_body())

    async def _readyz(self, _asked: Asked) -> Reply:
        is_ready = bool(self._predictor.snapshot.live) and not self.is_draining
        return Reply(200 if is_ready else 503, self._health_body())

    def _health_body(self) -> bytes:
        status = "draining" if self.is_draining else self._health.status
        summary = "This server is about to stop." if self.is_draining else self._health.summary
        text = json.dumps({"status": status, "summary": summary}, ensure_ascii=False)
        return text.encode(errors="replace") + b"\n"


def _too_long(limit: int) -> str:
    return f"the body is longer than the {limit} bytes allowed"


def _is_passed_on(path: str) -> bool:
    return path in _PASSED_ON or path.startswith(("/admin/", "/ui/"))


def _split(request: web.BaseRequest) -> tuple[str, str]:
    """Give path and query as they were sent: nothing is decoded twice, or read in two ways."""
    target = request.raw_path
    if not target.startswith("/"):
        target = request.rel_url.raw_path_qs
    path, _, query = target.partition("?")
    return path, query


@lru_cache(maxsize=1024)
def _cached_slot(path: str, method: str, status: int) -> int:
    return http_slot("/admin" if path.startswith("/admin") else path, method, status)
