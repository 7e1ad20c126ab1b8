"""A connection from its first byte to its last, with a clock that the test turns."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from modeld.domain import WorkerSettings
from modeld.http.response import respond
from modeld.serving.connection import Connection
from modeld.serving.connections import Connections, Route
from modeld.serving.handler import check_aiohttp

SETTINGS = WorkerSettings(
    slot=0,
    max_body=1000,
    max_rows=100,
    max_queue=10,
    max_connections=3,
    keepalive=75,
    request_timeout=10,
    load_timeout=10,
    drain_delay=0,
    drain_timeout=1,
)
GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"


class Served:
    """A port whose connections are ours, and the requests that came."""

    def __init__(self, settings: WorkerSettings = SETTINGS, route: Route | None = None) -> None:
        self.seconds = 1000.0
        self.paths: list[str] = []
        self.counts: list[int] = []
        self.go = asyncio.Event()
        self.go.set()
        self.connections = Connections(settings, route or self._route, self.counts.append)
        self.connections.now = lambda: self.seconds
        self._clients: list[Client] = []

    async def _route(self, request: web.BaseRequest) -> Any:
        self.paths.append(request.path)
        await self.go.wait()
        body = await request.read()
        return respond(200, "abc", {}, request.path.encode() + body)

    async def start(self) -> "Served":
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: Connection(self.connections), "127.0.0.1", 0, backlog=100
        )
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def connect(self) -> "Client":
        before = len(self.counts)
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        await until(lambda: len(self.counts) > before)
        return client

    async def stop(self) -> None:
        self.server.close()
        for client in self._clients:
            client.writer.close()
        self.go.set()
        self.connections.cut()
        async with asyncio.timeout(10):
            await self.connections.all_closed()
        await self.connections.end()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, number: int) -> bytes:
        self.writer.write(GET % number)
        return await self.answer()

    async def answer(self) -> bytes:
        """Read one answer; gives its body."""
        return (await self.whole_answer())[1]

    async def whole_answer(self) -> tuple[bytes, bytes]:
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return head, await self.reader.readexactly(length)

    async def is_closed(self) -> bool:
        """Wait for the end."""
        try:
            async with asyncio.timeout(10):
                return await self.reader.read() == b""
        except ConnectionResetError:
            return True


async def until(look: Any) -> None:
    async with asyncio.timeout(10):
        # What is looked at is not told by an event.
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = await Served().start()
    yield served
    await served.stop()


async def test_requests_of_a_connection_are_answered_in_order(served: Served) -> None:
    client = await served.connect()

    client.writer.write(b"".join(GET % number for number in range(100)))

    assert [await client.answer() for _ in range(100)] == [b"/%d" % n for n in range(100)]


async def test_a_request_may_come_byte_by_byte(served: Served) -> None:
    client = await served.connect()

    for byte in GET % 7:
        client.writer.write(bytes([byte]))
        await client.writer.drain()
        await asyncio.sleep(0)

    assert await client.answer() == b"/7"


async def test_a_half_closed_peer_still_gets_its_answers(served: Served) -> None:
    client = await served.connect()
    served.go.clear()

    client.writer.write(GET % 1 + GET % 2)
    client.writer.write_eof()
    await until(lambda: served.paths)
    served.go.set()

    assert [await client.answer(), await client.answer()] == [b"/1", b"/2"]
    assert await client.is_closed()


async def test_a_peer_that_says_nothing_is_closed_when_its_time_is_up(served: Served) -> None:
    client = await served.connect()

    served.seconds += SETTINGS.head_timeout + 0.1

    assert await client.is_closed()


async def test_a_head_that_drips_is_closed_when_its_time_is_up(served: Served) -> None:
    """However often a byte comes."""
    client = await served.connect()
    await client.ask(1)

    with contextlib.suppress(ConnectionError):
        for _ in range(11):
            client.writer.write(b"G")
            await client.writer.drain()
            await asyncio.sleep(0)
            served.seconds += 1.0

    assert await client.is_closed()
    assert served.paths == ["/1"]


async def test_an_idle_connection_stays_for_its_keepalive(served: Served) -> None:
    client = await served.connect()
    await client.ask(1)

    served.seconds += SETTINGS.keepalive
    assert await client.ask(2) == b"/2"
    served.seconds += SETTINGS.keepalive + 0.1

    assert await client.is_closed()


async def test_a_request_that_is_being_answered_may_take_longer(served: Served) -> None:
    client = await served.connect()
    served.go.clear()
    client.writer.write(GET % 1)
    await until(lambda: served.paths)

    (connection,) = served.connections._open
    served.seconds += 1000

    assert not connection.overdue(served.seconds, SETTINGS, is_draining=True)
    served.go.set()
    assert await client.answer() == b"/1"


async def test_idle_connections_close_soon_while_draining(served: Served) -> None:
    idle, busy = await served.connect(), await served.connect()
    await idle.ask(1)
    served.go.clear()
    busy.writer.write(GET % 2)
    await until(lambda: "/2" in served.paths)

    served.connections.is_draining = True
    served.seconds += 1.1

    assert await idle.is_closed()
    served.go.set()
    assert await busy.answer() == b"/2"


async def test_the_connection_that_is_idle_for_longest_makes_room(served: Served) -> None:
    clients = []
    for number in range(3):
        clients.append(await served.connect())
        await clients[-1].ask(number)
        served.seconds += 1
    await clients[0].ask(9)

    newest = Client(*await asyncio.open_connection("127.0.0.1", served.port))

    assert await clients[1].is_closed()
    assert [await c.ask(5) for c in (clients[0], clients[2], newest)] == [b"/5"] * 3
    newest.writer.close()


async def test_where_none_is_idle_the_new_one_is_closed(served: Served) -> None:
    served.go.clear()
    clients = [await served.connect() for _ in range(3)]
    for client in clients:
        client.writer.write(GET % 1)
    await until(lambda: len(served.paths) == 3)

    newest = Client(*await asyncio.open_connection("127.0.0.1", served.port))

    assert await newest.is_closed()
    newest.writer.close()
    served.go.set()
    assert [await client.answer() for client in clients] == [b"/1"] * 3


async def test_many_that_come_at_once_do_not_exceed_the_cap() -> None:
    """Each must close another connection, also when none of the closed ones has gone yet."""
    served = await Served(replace(SETTINGS, max_connections=3)).start()
    old = [await served.connect() for _ in range(3)]
    for number, client in enumerate(old):
        await client.ask(number)

    made = [Connection(served.connections) for _ in range(3)]
    for connection in made:
        connection.connection_made(FakeTransport(connection))
    gone = [await client.is_closed() for client in old]

    assert gone == [True] * 3
    assert len(served.connections) == 3
    for connection in made:
        connection.connection_lost(None)
    await served.stop()


class FakeTransport(asyncio.Transport):
    """A transport that only remembers that it was closed."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._closing = False

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close


async def test_open_connections_are_counted(served: Served) -> None:
    first, second = await served.connect(), await served.connect()

    first.writer.close()
    await until(lambda: len(served.connections) == 1)
    second.writer.close()
    await until(lambda: not len(served.connections))

    assert served.counts == [1, 2, 1, 0]


MALFORMED = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "no version": (b"GET /1\r\n\r\n", 400),
    "two lengths": (
        b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400
    ),
    "a negative length": (b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "length and coding": (
        b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n", 400
    ),
    "an unknown coding": (
        b"POST /1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400
    ),
    "a NUL in a header": (b"GET /1 HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n", 400),
    "a long line": (b"GET /" + b"1" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    "a long header": (
        b"GET /1 HTTP/1.1\r\nHost: x\r\nX-A: " + b"1" * 9000 + b"\r\n\r\n", 431
    ),
    "many headers": (
        b"GET /1 HTTP/1.1\r\nHost: x\r\n" + b"X-A: 1\r\n" * 40_000 + b"\r\n", 431
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_no_request_gets_json_and_is_closed(served: Served, name: str) -> None:
    """And what was sent behind it is not looked at."""
    client = await served.connect()
    data, status = MALFORMED[name]

    client.writer.write(data + GET % 666)
    head, body = await client.whole_answer()

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in head
    assert json.loads(body)["code"] in ("bad_request", "headers_too_large")
    assert served.paths in ([], ["/1"])
    assert await client.is_closed()
    assert "/666" not in served.paths


async def test_a_route_that_fails_is_an_answer_too() -> None:
    async def fail(_request: web.BaseRequest) -> web.StreamResponse:
        raise RuntimeError("a defect")

    served = await Served(route=fail).start()
    client = await served.connect()

    client.writer.write(GET % 1)
    head, body = await client.whole_answer()

    assert head.startswith(b"HTTP/1.1 500 ")
    assert json.loads(body)["code"] == "internal_error"
    await served.stop()


def test_the_aiohttp_here_is_the_one_that_this_builds_on() -> None:
    check_aiohttp()
