"""Have aiohttp answer malformed requests as JSON, and tell when its handler waits for more."""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.web_protocol import RequestHandler

from modeld.errors import BadRequest, HeadersTooLarge, InternalError, ModeldError
from modeld.http.answer import NO_FIELDS
from modeld.http.errors import body_of, status_of
from modeld.http.limits import RequestIds
from modeld.http.response import respond
from modeld.log import get_logger

log = get_logger()


class Handler(RequestHandler):
    """aiohttp's handler, answering malformed requests as JSON."""

    __slots__ = ("_following",)
    ids = RequestIds()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._following: asyncio.Task[Any] | None = None

    def follow(self) -> None:
        """Have the request that is being answered end with its client: its answer goes on."""
        self._following = asyncio.current_task()

    def is_followed(self) -> bool:
        """Tell whether an answer is going on."""
        return self._following is not None

    def connection_lost(self, exc: BaseException | None) -> None:
        """End an answer that goes on: nobody else would tell it before its next words."""
        super().connection_lost(exc)
        if self._following is not None:
            self._following.cancel()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never became a request of ours, and close."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        error = _error_for(status, exc)
        if isinstance(error, InternalError):
            log.error("http.failed", exc_info=exc)
        request_id = self.ids.of(None)
        body = body_of(error, request_id)
        return respond(status_of(error), request_id, NO_FIELDS, body, must_close=True)

    def is_idle(self) -> bool:
        """Tell whether aiohttp waits for a next request.

        Reads two private attributes, because aiohttp has no word for it; their being
        there is asserted when a worker starts.
        """
        waiter: asyncio.Future[None] | None = self._waiter
        return waiter is not None and not waiter.done() and not self._messages

    def has_requests(self) -> bool:
        """Tell whether a head is complete whose request is not being answered yet.

        Not the same as being busy: a handler that has not started is neither idle nor has any.
        """
        return bool(self._messages)


def _error_for(status: int, exc: BaseException | None) -> ModeldError:
    if isinstance(exc, LineTooLong) or "too many headers" in str(exc).lower():
        return HeadersTooLarge("the request line or a header is longer than 8190 bytes")
    if isinstance(exc, BadHttpMessage) or status == 400:
        return BadRequest("this is not a request that HTTP/1.1 allows")
    return InternalError("an error inside modeld; the log says more")


def check_aiohttp() -> None:
    """Raise at start when aiohttp no longer is what this module builds on."""
    for name in ("_waiter", "_messages"):
        if name not in RequestHandler.__slots__:
            raise RuntimeError(f"aiohttp's RequestHandler has no {name} any more")
