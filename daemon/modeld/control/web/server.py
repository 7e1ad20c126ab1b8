"""Take calls over HTTP in the control process itself.

Its own socket in the runtime folder is for the commands of this user and needs no
token. While no worker lives it also answers on the port, so that admin works then too.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from aiohttp import web

from modeld.control.handover import HANDOVER, HANDOVER_PATIENCE, give
from modeld.control.web.calls import Answer, Calls, json_answer
from modeld.errors import BodyTooLarge
from modeld.http.auth import Caller, joined
from modeld.http.errors import body_of, status_of
from modeld.http.limits import RequestIds
from modeld.http.response import respond, stream
from modeld.log import get_logger

log = get_logger()

_MAX_BODY = 1 << 20
_BACKLOG = 1024
_PATIENCE_SECONDS = 2.0
_LONGEST_PATH = 100


class ControlServer:
    """HTTP in the control process."""

    def __init__(
        self,
        calls: Calls,
        listener: socket.socket,
        started: Callable[[], Awaitable[None]],
        on_handover: Callable[[], None],
    ) -> None:
        self._calls = calls
        self._listener = listener
        self._started = started
        self._on_handover = on_handover
        self._ids = RequestIds()
        self._servers: list[asyncio.Server] = []
        self._on_port: asyncio.Server | None = None
        self._turn = asyncio.Lock()
        self._is_open = True
        self._by_socket = web.Server(self._handle_socket, access_log=None, auto_decompress=False)
        self._by_port = web.Server(self._handle_port, access_log=None, auto_decompress=False)

    async def listen_on_socket(self, path: Path) -> None:
        """Listen on a socket file that only this user may open."""
        await asyncio.to_thread(path.unlink, missing_ok=True)
        before = os.umask(0o177)
        try:
            server = await asyncio.get_running_loop().create_unix_server(self._by_socket, str(path))
        finally:
            os.umask(before)
        self._servers.append(server)

    async def follow(self, members: Callable[[], Sequence[object]]) -> None:
        """Answer on the port while no worker does, and stop as soon as one does.

        Not at once: connections that wait are better off with a dead worker's successor.
        """
        if not members():
            await asyncio.sleep(_PATIENCE_SECONDS)
        async with self._turn:
            if members():
                self._leave_port()
            elif self._on_port is None and self._is_open and self._listener.fileno() >= 0:
                await self._take_port()

    async def _take_port(self) -> None:
        loop = asyncio.get_running_loop()
        sock = self._listener.dup()
        self._on_port = await loop.create_server(self._by_port, sock=sock, backlog=_BACKLOG)
        log.warning("control.on_port", why="no worker is up")

    def _leave_port(self) -> None:
        if self._on_port is not None:
            self._on_port.close()
            self._on_port = None

    async def close(self) -> None:
        """Stop listening."""
        self._is_open = False
        self._leave_port()
        for server in self._servers:
            server.close()
        await self._by_socket.shutdown(1.0)
        await self._by_port.shutdown(1.0)

    async def _handle_socket(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == HANDOVER and request.method == "POST" and self._listener.fileno() >= 0:
            return await self._hand_over(request)
        return await self._handle(request, is_control_socket=True)

    async def _hand_over(self, request: web.BaseRequest) -> web.StreamResponse:
        # Predictions wait for the first version of a server that is starting: once it drains,
        # they would wait in vain.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANDOVER_PATIENCE):
                await self._started()
        give(request.transport, self._listener)
        log.info("control.handed_over")
        self._on_handover()
        answer = json_answer({"handed_over": True})
        return _response(answer, self._ids.of(None), must_close=True)

    async def _handle_port(self, request: web.BaseRequest) -> web.StreamResponse:
        # A worker may be up for the next request: it must not come here again.
        return await self._handle(request, is_control_socket=False, must_close=True)

    async def _handle(
        self, request: web.BaseRequest, *, is_control_socket: bool, must_close: bool = False
    ) -> web.StreamResponse:
        request_id = self._ids.of(request.headers.get("X-Request-Id"))
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            error = BodyTooLarge(f"the body is longer than {_MAX_BODY} bytes")
            answer = Answer(status_of(error), body_of(error, request_id))
            return _response(answer, request_id, must_close=True)
        peer, peer_port = _address(request, "peername")
        caller = Caller(
            headers=joined(request.headers.items()),
            peer=peer,
            peer_port=peer_port,
            local=_address(request, "sockname")[0],
            http_version=f"{request.version.major}.{request.version.minor}",
            is_control_socket=is_control_socket,
        )
        answer = await self._calls.answer(
            request.method, request.raw_path, caller, body, request_id
        )
        return _response(answer, request_id, must_close=must_close)


def _response(answer: Answer, request_id: str, *, must_close: bool) -> web.StreamResponse:
    if answer.chunks is not None:
        return stream(answer.status, request_id, answer.headers, answer.chunks)
    return respond(answer.status, request_id, answer.headers, answer.body, must_close=must_close)


def _address(request: web.BaseRequest, name: str) -> tuple[str, int]:
    transport = request.transport
    address = transport.get_extra_info(name) if transport is not None else None
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) else ("", 0)


def socket_path(runtime: Path) -> Path:
    """Give the path of the control socket: in the runtime folder, unless that is too long."""
    path = runtime / "control.sock"
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return path
    import hashlib
    import tempfile

    name = hashlib.sha256(os.fsencode(runtime)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"modeld-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder / f"{name}.sock"
