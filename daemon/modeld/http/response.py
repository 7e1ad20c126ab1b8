"""Give an answer to aiohttp's handler in one write.

aiohttp's own response spends a third of a request's time on headers that are always
the same here; this one writes what `http.answer` rendered. It has what the handler asks
of a response and nothing else: `prepare`, `write_eof` and `keep_alive`.
"""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import cast

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from modeld.http.answer import render, render_head


def respond(
    status: int,
    request_id: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    must_close: bool = False,
) -> web.StreamResponse:
    """Make a whole answer for aiohttp's handler."""
    response = _Response(status, request_id, headers, body, must_close=must_close)
    return cast(web.StreamResponse, response)


def stream(
    status: int, request_id: str, headers: Mapping[str, str], chunks: AsyncGenerator[bytes, None]
) -> web.StreamResponse:
    """Make an answer that goes on: each chunk is written once the client has read the others."""
    return cast(web.StreamResponse, _Stream(status, request_id, headers, chunks))


class _Response:
    __slots__ = (
        "_body",
        "_headers",
        "_must_close",
        "_request_id",
        "_status",
        "_writer",
        "keep_alive",
    )

    def __init__(
        self,
        status: int,
        request_id: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        must_close: bool,
    ) -> None:
        self.keep_alive = not must_close
        self._status = status
        self._request_id = request_id
        self._headers = headers
        self._body = body
        self._must_close = must_close
        self._writer: AbstractStreamWriter

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the answer; raises `ConnectionResetError` when the client is gone."""
        self.keep_alive = request.keep_alive and not self._must_close
        connection = "" if self.keep_alive else "close"
        if self.keep_alive and request.version == HttpVersion10:
            connection = "keep-alive"
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        data = render(
            self._status,
            self._request_id,
            self._headers,
            self._body,
            connection=connection,
            is_head=request.method == "HEAD",
        )
        transport.write(data)
        self._writer = request.writer
        self._writer.output_size += len(data)
        return self._writer

    async def write_eof(self, _data: bytes = b"") -> None:
        """Wait until the client reads, before the next request of this connection is handled."""
        await self._writer.drain()


class _Stream:
    """Its end is the end of the connection, so that whoever drains need not wait for another."""

    __slots__ = ("_chunks", "_headers", "_request", "_request_id", "_status", "keep_alive")

    def __init__(
        self,
        status: int,
        request_id: str,
        headers: Mapping[str, str],
        chunks: AsyncGenerator[bytes, None],
    ) -> None:
        self.keep_alive = False
        self._status = status
        self._request_id = request_id
        self._headers = headers
        self._chunks = chunks
        self._request: web.BaseRequest

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the head; raises `ConnectionResetError` when the client is gone."""
        self._request = request
        coding = "chunked" if request.version >= HttpVersion11 else ""
        head = render_head(self._status, self._request_id, self._headers, coding)
        self._write(head)
        request.writer.output_size += len(head)
        return request.writer

    async def write_eof(self, _data: bytes = b"") -> None:
        """Write chunk after chunk until there are no more, or nobody reads them."""
        is_chunked = self._request.version >= HttpVersion11
        async with contextlib.aclosing(self._chunks):
            async for chunk in self._chunks:
                self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk)
                await self._request.writer.drain()
        if is_chunked:
            self._write(b"0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        transport.write(data)
