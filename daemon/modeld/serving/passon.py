"""Pass requests that are not a worker's on to the control process.

They travel over the worker's own connection, with the addresses of the client's
connection in a head that only the worker writes.
"""

import asyncio
from collections.abc import Callable
from itertools import count

from aiohttp import web

from modeld.errors import DeadlineExceeded
from modeld.http.auth import is_forwarding
from modeld.messages import AdminAnswer, AdminCall, AdminChunk, AdminStop, Header, Message
from modeld.serving.predictor import Reply
from modeld.serving.streams import Streams

_LIMIT_SECONDS = 660.0
_HEADERS = frozenset(
    [
        "accept",
        "authorization",
        "content-type",
        "host",
        "if-match",
        "if-none-match",
        "origin",
        "sec-fetch-site",
        "traceparent",
        "x-hub-signature-256",
        "x-request-id",
    ]
)


class PassOn:
    """Requests that wait for the control process."""

    def __init__(self, send: Callable[[Message, bytes], None]) -> None:
        self._send = send
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._streams = Streams(send)

    async def answer(self, request: web.BaseRequest, body: bytes, request_id: str) -> Reply:
        """Pass a request on and wait for its answer."""
        number = next(self._numbers)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._send(_call(request, number, request_id), body)
        try:
            async with asyncio.timeout(_LIMIT_SECONDS):
                return await future
        except TimeoutError:
            raise DeadlineExceeded("the control process did not answer") from None
        finally:
            del self._waiting[number]

    def received(self, message: AdminAnswer | AdminChunk, payload: memoryview) -> None:
        """Take the control process's answer, or the next part of one that goes on."""
        if isinstance(message, AdminChunk):
            self._streams.received(message, payload)
            return
        future = self._waiting.get(message.id)
        if future is not None and not future.done():
            headers = {header.name: header.value for header in message.headers}
            chunks = self._streams.open(message.id) if message.goes_on else None
            future.set_result(Reply(message.status, bytes(payload), headers, chunks))
        elif message.goes_on:
            self._send(AdminStop(message.id), b"")

    def end_streams(self) -> None:
        """End the answers that go on, so that a drain need not wait for their clients."""
        self._streams.end()


def _call(request: web.BaseRequest, number: int, request_id: str) -> AdminCall:
    peer, peer_port = _address(request, "peername")
    return AdminCall(
        id=number,
        method=request.method,
        target=request.raw_path,
        headers=tuple(
            Header(name.lower(), value)
            for name, value in request.headers.items()
            if name.lower() in _HEADERS or is_forwarding(name.lower())
        ),
        peer=peer,
        peer_port=peer_port,
        local=_address(request, "sockname")[0],
        http_version=f"{request.version.major}.{request.version.minor}",
        request_id=request_id,
    )


def _address(request: web.BaseRequest, name: str) -> tuple[str, int]:
    transport = request.transport
    address = transport.get_extra_info(name) if transport is not None else None
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) else ("", 0)
