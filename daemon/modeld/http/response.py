"""Give an answer to aiohttp's handler in one write.

aiohttp's own response spends a third of a request's time on headers that are always
the same here; this one writes what `http.answer` rendered.
"""

from collections.abc import Mapping

from aiohttp import HttpVersion10, web
from aiohttp.abc import AbstractStreamWriter

from modeld.http.answer import render


class Response(web.StreamResponse):
    """A whole answer: status, headers and body."""

    def __init__(
        self, status: int, headers: Mapping[str, str], body: bytes, *, must_close: bool = False
    ) -> None:
        super().__init__(status=status)
        self._answer_headers = headers
        self._answer_body = body
        if must_close:
            self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the answer; raises `ConnectionResetError` when the client is gone."""
        if self.keep_alive is None:
            self._keep_alive = request.keep_alive
        connection = "" if self.keep_alive else "close"
        if self.keep_alive and request.version == HttpVersion10:
            connection = "keep-alive"
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        data = render(
            self.status,
            self._answer_headers,
            self._answer_body,
            connection=connection,
            is_head=request.method == "HEAD",
        )
        transport.write(data)
        self._payload_writer = request.writer
        request.writer.output_size += len(data)
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Wait until the client reads, before the next request of this connection is handled."""
        if self._payload_writer is not None:
            await self._payload_writer.drain()
