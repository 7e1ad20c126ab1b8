"""Every request gets the same answer in both lanes, over a real socket."""

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest

from modeld.domain import ModelVersion, Signature, WorkerSettings
from modeld.errors import ModelError, Overloaded, VersionNotFound
from modeld.http.head import Head
from modeld.http.wire import Predictions, Rows
from modeld.serving.connection import Connection
from modeld.serving.connections import Connections
from modeld.serving.express import Done, Express
from modeld.serving.later import Later
from modeld.serving.passon import PassOn
from modeld.serving.predictor import THREAD_BODY, Predictor
from modeld.serving.routes import Routes
from modeld.serving.snapshot import Aim, Release, Snapshot
from modeld.slots import Slots, http_slot, release_slot
from tests.serving.test_connection import until
from tests.serving.test_snapshot import SETTINGS, SPEC

MAX_BODY = 1 << 17
LIMITS = replace(SETTINGS, max_body=MAX_BODY, max_rows=3, max_connections=1000)
ROW = b'{"features": [1, 2]}'
LATER = b'{"features": [5, 5]}'


def post(body: bytes = ROW, target: bytes = b"/predict", *headers: bytes) -> bytes:
    lines = [b"POST " + target + b" HTTP/1.1", b"Host: x", *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def raw(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([*lines, b"", body])


GET = raw(b"GET /healthz HTTP/1.1", b"Host: x")
P, H, L = b"POST /predict HTTP/1.1", b"Host: x", b"Content-Length: 20"


class Answering:
    """A model that adds its columns; fives are answered later, thirteens fail."""

    row_type = float

    def __init__(self) -> None:
        self.calls = 0
        self.seconds = 0.01

    def predict(self, rows: Rows, wants_probabilities: bool) -> Any:
        self.calls += 1
        first = rows.values[0][0]
        if first == 13:
            raise ModelError("unlucky")
        if first == 14:
            raise Overloaded("full")
        if first == 15:
            raise ZeroDivisionError
        scores = [[0.5, 0.5]] * rows.length if wants_probabilities else None
        predictions = Predictions(rows.values.sum(axis=1).tolist(), scores)
        if first != 5:
            return predictions
        loop = asyncio.get_running_loop()
        later = Later()
        loop.call_later(self.seconds, later.settle, predictions)
        return later

    def close(self) -> None:
        pass


class Counting(Express):
    asked = 0

    def ask(
        self, aim: Aim, head: Head, body: bytes, done: Done
    ) -> Later | asyncio.Future[Predictions] | None:
        self.asked += 1
        return super().ask(aim, head, body, done)


class Lane:
    """A port with both lanes, or with aiohttp alone."""

    def __init__(self, slots: Slots, *, is_express: bool, limits: WorkerSettings = LIMITS) -> None:
        self.slots = slots
        self.model = Answering()
        self.predictor = Predictor(limits, slots, self._want)
        self.predictor.snapshot = self._snapshot()
        self.routes = Routes(limits, slots, self.predictor, PassOn(lambda *_: None))
        self.routes.let_through()
        self.express = Counting(limits, self.predictor, slots)
        self.connections = Connections(
            limits, self.routes.handle, lambda _: None, self.express if is_express else None
        )

    @property
    def expressed(self) -> int:
        """How many requests the express lane answered."""
        return self.express.asked

    def _snapshot(self) -> Snapshot:
        signature = Signature(width=2, has_probabilities=True, classes=(6, 7))
        specs = [
            replace(SPEC, id=n, version=version, slot=release_slot(n), signature=signature)
            for n, version in enumerate(
                [ModelVersion("default", "v1"), ModelVersion("default", "v2")]
            )
        ]
        releases = {s.version: Release(s, cast("Any", self.model)) for s in specs}
        return Snapshot(1, {"default": releases[specs[0].version]}, releases)

    async def _want(self, version: ModelVersion) -> None:
        raise VersionNotFound(f"no version {version}", ("v1", "v2"))

    async def start(self) -> "Lane":
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Connection(self.connections), "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self.server.close()
        self.connections.cut()
        async with asyncio.timeout(10):
            await self.connections.all_closed()
        await self.connections.end()

    async def connect(self) -> "Peer":
        return Peer(*await asyncio.open_connection("127.0.0.1", self.port))

    async def exchange(self, *parts: bytes, is_half_closed: bool = False) -> list[bytes]:
        """Send, then ask for something else; gives all answers until the connection ends."""
        client = await self.connect()
        for part in parts:
            await client.send(part)
        if is_half_closed:
            client.writer.write_eof()
        else:
            await client.take(1)
            # Sent to a connection that is being closed, it would reset what was answered.
            await until(lambda: not any(c._is_busy() for c in self.connections._open))
            await client.send(END)
        return await client.everything()

    async def exchange_in_turn(self, *requests: bytes) -> list[bytes]:
        """Send each request when the one before has its answer."""
        client = await self.connect()
        for count, request in enumerate((*requests, END), 1):
            await client.send(request)
            await client.take(count)
        return await client.everything()


class Peer:
    """A client that gathers what comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.received = b""
        self.is_open = True

    async def send(self, data: bytes) -> None:
        """Send, and let the other side see it alone."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()
        for _ in range(8):
            await asyncio.sleep(0)

    async def take(self, count: int) -> None:
        """Read until so many answers are there, or the end."""
        async with asyncio.timeout(10):
            while self.is_open and len(_answers(self.received)) < count:
                await self._read()

    async def answer(self) -> bytes:
        """Read one answer more; gives its body."""
        await self.take(len(_answers(self.received)) + 1)
        return _answers(self.received)[-1]

    async def everything(self) -> list[bytes]:
        """Read until the end; dates, and ids that were made, are blanked out."""
        async with asyncio.timeout(10):
            while self.is_open:
                await self._read()
        self.writer.close()
        blank = re.sub(rb"\r\nDate: [^\r]+ GMT\r\n", b"\r\nDate: then\r\n", self.received)
        return _MADE.sub(b"made", blank).split(b"HTTP/1.1 ")

    async def _read(self) -> None:
        try:
            data = await self.reader.read(1 << 16)
        except ConnectionError:
            data = b""
        self.received += data
        self.is_open = bool(data)


END = raw(b"GET /the-end HTTP/1.1", b"Host: x", b"Connection: close")
_MADE = re.compile(rb"[0-9a-f]{12}[0-9a-f]{8}")
_FINAL = re.compile(rb"HTTP/1\.1 [2-5]\d\d .*?\r\n\r\n", re.DOTALL)
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n")


def _answers(received: bytes) -> list[bytes]:
    """The bodies of the answers that have come in full; those to HEAD count as empty."""
    found = []
    for head in _FINAL.finditer(received):
        length = int(_LENGTH.findall(head[0])[0])
        body = received[head.end() :][:length]
        if len(body) == length or b"HTTP/1.1 405" in head[0]:
            found.append(body)
    return found


@pytest.fixture
async def both(slots: Slots) -> AsyncIterator[tuple[Lane, Lane]]:
    lanes = await Lane(slots, is_express=True).start(), await Lane(slots, is_express=False).start()
    yield lanes
    for lane in lanes:
        await lane.stop()


PLAIN = {
    "one row": post(),
    "many rows": post(b'{"features": [[1, 2], [3, 4]]}'),
    "instances": post(b'{"instances": [[1, 2]]}'),
    "a version": post(ROW, b"/predict?version=v2"),
    "a model": post(ROW, b"/predict?model=default&version=v1"),
    "probabilities": post(ROW, b"/predict?proba=true"),
    "probabilities of many": post(b'{"features": [[1, 2], [3, 4]]}', b"/predict?proba=1"),
    "an empty query": post(ROW, b"/predict?"),
    "no JSON": post(b"{"),
    "an empty body": post(b""),
    "a wrong shape": post(b'{"features": [1]}'),
    "a wrong type": post(b'{"features": [1, "x"]}'),
    "a null": post(b'{"features": [1, null]}'),
    "a number that is none": post(b'{"features": [1, NaN]}'),
    "bytes that are no UTF-8": post(b'{"features": "\xff\xfe"}'),
    "an unknown key": post(b'{"feature": [1, 2]}'),
    "too many rows": post(b'{"features": [[1,2],[1,2],[1,2],[1,2]]}'),
    "deep nesting": post(b"[" * 2000),
    "a model that fails": post(b'{"features": [13, 1]}'),
    "a model that is busy": post(b'{"features": [14, 1]}'),
    "a defect": post(b'{"features": [15, 1]}'),
    "a later answer": post(LATER),
    "an id": post(ROW, b"/predict", b"X-Request-Id: abc-1"),
    "an id that is none": post(ROW, b"/predict", b"X-Request-Id: a b"),
    "an id that is too long": post(ROW, b"/predict", b"X-Request-Id: " + b"a" * 129),
    "an id that is empty": post(ROW, b"/predict", b"X-Request-Id:"),
    "an id in a failure": post(b"{", b"/predict", b"x-request-id: me"),
    "a trace": post(
        ROW, b"/predict", b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ),
    "a charset": post(ROW, b"/predict", b"Content-Type: application/json; charset=utf-8"),
    "no JSON by type": post(ROW, b"/predict", b"Content-Type: text/plain"),
    "keep-alive": post(ROW, b"/predict", b"Connection: keep-alive"),
    "other headers": post(ROW, b"/predict", b"User-Agent: x", b"Accept: */*", b"Cookie: a=b"),
    "a head in capitals": post().replace(b"Content-Length", b"CONTENT-LENGTH"),
    "two spaces in the first line": post().replace(b"POST ", b"POST  "),
    "close": post(ROW, b"/predict", b"Connection: close"),
    "Close": post(ROW, b"/predict", b"Connection: Close"),
    "two in a row": post() + post(ROW, b"/predict?version=v2"),
    "forty in a row": b"".join(post(b'{"features": [%d, 2]}' % (n + 20)) for n in range(40)),
    "later ones between": post() + post(LATER) + post() + post(LATER) + post(b"{"),
    "a long body": post(ROW + b" " * 60_000),
}
FOR_AIOHTTP = {
    "another path": GET,
    "GET": raw(b"GET /predict HTTP/1.1", H),
    "HEAD": raw(b"HEAD /predict HTTP/1.1", H),
    "PUT": post().replace(b"POST", b"PUT"),
    "a method in lower case": post().replace(b"POST", b"post"),
    "a method that is none": post().replace(b"POST", b"FETCH"),
    "a path behind": post(ROW, b"/predict/"),
    "two slashes": post(ROW, b"//predict"),
    "an absolute target": post(ROW, b"http://x/predict"),
    "an absolute target elsewhere": post(ROW, b"http://evil.example/predict?version=v2"),
    "a coded path": post(ROW, b"/%70redict"),
    "a fragment": post(ROW, b"/predict?version=v1#x"),
    "a fragment alone": post(ROW, b"/predict#x"),
    "a parameter that is unknown": post(ROW, b"/predict?versoin=v1"),
    "a parameter twice": post(ROW, b"/predict?version=v1&version=v2"),
    "a version that is unknown": post(ROW, b"/predict?version=v9"),
    "a reserved version": post(ROW, b"/predict?version=latest"),
    "a model that is unknown": post(ROW, b"/predict?model=churn"),
    "a proba that is none": post(ROW, b"/predict?proba=maybe"),
    "a path of other bytes": post(ROW, b"/predict?version=\xc3\xa9"),
    "HTTP/1.0": raw(b"POST /predict HTTP/1.0", L, body=ROW),
    "HTTP/1.0 kept": raw(b"POST /predict HTTP/1.0", L, b"Connection: keep-alive", body=ROW),
    "HTTP/0.9": b"GET /predict\r\n\r\n",
    "HTTP/2.0": raw(b"POST /predict HTTP/2.0", H, L, body=ROW),
    "no Host": raw(P, L, body=ROW),
    "two Hosts": raw(P, H, H, L, body=ROW),
    "two different Hosts": raw(P, H, b"Host: y", L, body=ROW),
    "no length": raw(P, H),
    "two lengths": raw(P, H, L, L, body=ROW),
    "two different lengths": raw(P, H, L, b"Content-Length: 5", body=ROW),
    "a list of lengths": raw(P, H, b"Content-Length: 20, 20", body=ROW),
    "a signed length": raw(P, H, b"Content-Length: +20", body=ROW),
    "a negative length": raw(P, H, b"Content-Length: -20", body=ROW),
    "a length in hexadecimal": raw(P, H, b"Content-Length: 0x14", body=ROW),
    "a length with a space inside": raw(P, H, b"Content-Length: 2 0", body=ROW),
    "a length that is empty": raw(P, H, b"Content-Length:", body=ROW),
    "a length that is huge": raw(P, H, b"Content-Length: 99999999999999999999999", body=ROW),
    "a space before the colon": raw(P, H, b"Content-Length : 20", body=ROW),
    "length and coding": raw(
        P, H, b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"
    ),
    "coding and length": raw(
        P, H, b"Transfer-Encoding: chunked", b"Content-Length: 3", body=b"0\r\n\r\n"
    ),
    "chunks": raw(
        P, H, b"Transfer-Encoding: chunked", body=b"14\r\n" + ROW + b"\r\n0\r\n\r\n"
    ),
    "a coding that is unknown": raw(P, H, b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "a coding with a tab": raw(P, H, b"Transfer-Encoding:\tchunked", body=b"0\r\n\r\n"),
    "two codings": raw(
        P, H, b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"
    ),
    "an expectation": post(ROW, b"/predict", b"Expect: 100-continue"),
    "another expectation": post(ROW, b"/predict", b"Expect: tea"),
    "gzip": post(ROW, b"/predict", b"Content-Encoding: gzip"),
    "identity": post(ROW, b"/predict", b"Content-Encoding: identity"),
    "another charset": post(ROW, b"/predict", b"Content-Type: text/json; charset=latin-1"),
    "two types": post(ROW, b"/predict", b"Content-Type: a/b", b"Content-Type: c/d"),
    "two ids": post(ROW, b"/predict", b"X-Request-Id: one", b"X-Request-Id: two"),
    "an id of other bytes": post(ROW, b"/predict", b"X-Request-Id: \xc3\xa9"),
    "an upgrade": post(ROW, b"/predict", b"Connection: Upgrade", b"Upgrade: websocket"),
    "several connections": post(ROW, b"/predict", b"Connection: close, keep-alive"),
    "a long line": post(ROW, b"/predict", b"X-A: " + b"a" * 9000),
    "a long target": post(ROW, b"/predict?version=" + b"v" * 9000),
    "a long head": post(ROW, b"/predict", *(b"X-%d: " % n + b"a" * 1000 for n in range(12))),
    "many headers": post(ROW, b"/predict", *(b"X-%d: 1" % n for n in range(120))),
    "too many headers": post(ROW, b"/predict", *(b"X-%d: 1" % n for n in range(200))),
    "a folded line": post(ROW, b"/predict", b"X-A: a\r\n b"),
    "a folded length": raw(P, H, b"Content-Length:\r\n 20", body=ROW),
    "bare line feeds": post().replace(b"\r\n", b"\n"),
    "one bare line feed": post().replace(b"Host: x\r\n", b"Host: x\n"),
    "a bare carriage return": post(ROW, b"/predict", b"X-A: a\rb"),
    "a NUL in a header": post(ROW, b"/predict", b"X-A: a\0b"),
    "a NUL in the target": post(ROW, b"/pre\0dict"),
    "a control character": post(ROW, b"/predict", b"X-A: a\x01b"),
    "a name that is none": post(ROW, b"/predict", b"X A: b"),
    "a header without a name": post(ROW, b"/predict", b": b"),
    "a header without a colon": post(ROW, b"/predict", b"nonsense"),
    "empty lines in front": b"\r\n\r\n" + post(),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "nonsense": b"nonsense\r\n\r\n",
    "a body above the lane's": post(ROW + b" " * THREAD_BODY),
    "a body that is too long": post(ROW + b" " * MAX_BODY),
    "CONNECT": raw(b"CONNECT x:80 HTTP/1.1", H),
    "OPTIONS for all": raw(b"OPTIONS * HTTP/1.1", H),
    "TRACE": raw(b"TRACE /predict HTTP/1.1", H),
    "a request in a request": raw(
        P, H, b"Content-Length: 0", b"Transfer-Encoding: chunked",
        body=b"0\r\n\r\nPOST /admin HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    ),
}  # fmt: skip
NONSENSE = b"nonsense\r\n\r\n"
MIXED = {
    "another path between": ([post(), GET, post(), GET, post()], 3),
    "later, then another path": ([post(LATER), GET, post(LATER)], 2),
    "a long body between": ([post(), post(ROW + b" " * THREAD_BODY), post()], 2),
    "an expectation between": ([post(), FOR_AIOHTTP["an expectation"], post()], 2),
    "bytes behind the body": ([post(), NONSENSE, post()], 1),
    "a body longer than said": ([raw(P, H, L, body=ROW), b" " + NONSENSE], 1),
    "a line end behind the body": ([post(), b"\r\n" + post()], 1),
    "a hidden request": (
        [raw(P, H, b"Content-Length: %d" % (len(ROW) + len(GET)), body=ROW + GET)], 1
    ),
    "nothing behind a close": ([post(ROW, b"/predict", b"Connection: close"), post()], 1),
    "a malformed one behind": ([post(), FOR_AIOHTTP["a NUL in a header"], post()], 1),
    "a doubtful one behind": ([post(), FOR_AIOHTTP["length and coding"], post()], 1),
    "a body without a length": ([raw(P, H), ROW + b"\r\n\r\n"], 0),
    "many": ([post(LATER), GET, post()] * 17, 34),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
async def test_what_is_plain_is_answered_by_the_express_lane_alike(
    both: tuple[Lane, Lane], name: str
) -> None:
    express, aiohttp = both

    answers = await express.exchange(PLAIN[name])

    assert answers == await aiohttp.exchange(PLAIN[name])
    assert express.expressed == PLAIN[name].count(b"POST ")
    assert aiohttp.expressed == 0


@pytest.mark.parametrize("name", FOR_AIOHTTP)
async def test_what_is_not_plain_is_left_to_aiohttp(both: tuple[Lane, Lane], name: str) -> None:
    express, aiohttp = both

    answers = await express.exchange(FOR_AIOHTTP[name])

    assert answers == await aiohttp.exchange(FOR_AIOHTTP[name])
    assert express.expressed == 0


@pytest.mark.parametrize("name", MIXED)
async def test_answers_keep_their_order_whichever_lane_gives_them(
    both: tuple[Lane, Lane], name: str
) -> None:
    """aiohttp gets them one after the other: of one read with an error it answers only that."""
    express, aiohttp = both
    requests, plain = MIXED[name]

    answers = await express.exchange(b"".join(requests))

    assert answers == await aiohttp.exchange_in_turn(*requests)
    assert express.expressed == plain


SPLIT = {
    "one row": post(),
    "two in a row": post() + post(LATER),
    "another path between": post() + GET + post(),
    "an absolute target": FOR_AIOHTTP["an absolute target"],
    "chunks": FOR_AIOHTTP["chunks"],
    "another charset": FOR_AIOHTTP["another charset"],
    "HTTP/1.0": FOR_AIOHTTP["HTTP/1.0 kept"],
}


@pytest.mark.parametrize("name", SPLIT)
async def test_where_a_request_is_cut_makes_no_difference(
    both: tuple[Lane, Lane], name: str
) -> None:
    express, aiohttp = both
    sent = SPLIT[name]

    for cut in range(1, len(sent)):
        answers = await express.exchange(sent[:cut], sent[cut:])

        assert answers == await aiohttp.exchange(sent[:cut], sent[cut:]), cut


@pytest.mark.parametrize("name", ["one row", "another path between", "chunks"])
async def test_a_request_may_come_byte_by_byte(both: tuple[Lane, Lane], name: str) -> None:
    express, aiohttp = both
    sent = SPLIT[name]

    answers = await express.exchange(*(sent[n : n + 1] for n in range(len(sent))))

    assert answers == await aiohttp.exchange(sent)


@pytest.mark.parametrize("name", ["one row", "a later answer", "later ones between", "no JSON"])
async def test_a_half_closed_peer_gets_its_answers_in_both_lanes(
    both: tuple[Lane, Lane], name: str
) -> None:
    express, aiohttp = both

    answers = await express.exchange(PLAIN[name], is_half_closed=True)

    assert answers == await aiohttp.exchange(PLAIN[name], is_half_closed=True)
    assert len(answers) == PLAIN[name].count(b"POST ") + 1


async def test_every_answer_while_draining_closes_the_connection(both: tuple[Lane, Lane]) -> None:
    express, aiohttp = both
    for lane in both:
        lane.routes.drain()
        lane.express.is_draining = True

    answers = await express.exchange(post())

    assert answers == await aiohttp.exchange(post())
    assert b"\r\nConnection: close\r\n" in answers[1]
    assert express.expressed == 1


async def test_both_lanes_count_alike(slots: Slots) -> None:
    slot, http = release_slot(0), http_slot("/predict", "POST", 200)
    counts = []
    for is_express in (True, False):
        lane = await Lane(slots, is_express=is_express).start()
        for name in ("one row", "a later answer", "a wrong shape", "a model that fails"):
            await lane.exchange(PLAIN[name])
        counts.append((slots.outcomes(slot), sum(slots.histogram(http).counts)))
        await lane.stop()

    assert counts == [((2, 1, 1), 2), ((4, 2, 2), 4)]


async def test_the_lane_is_taken_again_after_another_path(both: tuple[Lane, Lane]) -> None:
    express, _ = both
    client = await express.connect()

    for number in range(1, 6):
        client.writer.write(GET)
        await client.answer()
        client.writer.write(post())
        await client.answer()
        assert express.expressed == number
    client.writer.close()


async def test_a_body_that_is_slow_to_come_is_left_to_aiohttp(both: tuple[Lane, Lane]) -> None:
    """It has a time-out for bodies."""
    express, _ = both
    now = express.connections.now()
    express.connections.now = lambda: now
    client = await express.connect()
    sent = post()

    client.writer.write(sent[:-3])
    await until(lambda: any(c._lacking for c in express.connections._open))
    now += 0.3
    (connection,) = express.connections._open
    await until(lambda: connection._owed == 3)
    client.writer.write(sent[-3:])

    assert b'{"prediction":3.0' in await client.answer()
    assert express.expressed == 0
    client.writer.write(sent)
    await client.answer()
    assert express.expressed == 1
    client.writer.close()


async def test_a_turn_of_the_loop_takes_a_few_requests_only(both: tuple[Lane, Lane]) -> None:
    express, _ = both
    turns: list[int] = []
    loop = asyncio.get_running_loop()

    def turn() -> None:
        turns.append(express.model.calls)
        if express.model.calls < 1000:
            loop.call_soon(turn)

    client = await express.connect()
    turn()
    client.writer.write(post() * 1000)
    await client.take(1000)

    assert max(after - before for before, after in pairwise(turns)) <= 32
    assert express.expressed == 1000
    client.writer.close()


async def test_nothing_is_computed_for_a_peer_that_does_not_read(slots: Slots) -> None:
    lane = await Lane(slots, is_express=True, limits=replace(LIMITS, max_rows=10_000)).start()
    peer = await lane.connect()
    peer.reader._transport.pause_reading()  # type: ignore[attr-defined]  # nobody else may
    many = post(b'{"features": [' + b",".join([b"[1,2]"] * 8000) + b"]}")
    sending = asyncio.create_task(send_often(peer, many, 300))

    await until(lambda: any(c.writing_paused_since for c in lane.connections._open))
    calls = lane.model.calls
    for _ in range(1000):
        await asyncio.sleep(0)
    assert lane.model.calls == calls < 300
    peer.reader._transport.resume_reading()  # type: ignore[attr-defined]  # nobody else may
    async with asyncio.timeout(20):
        while peer.received.count(b"HTTP/1.1 200") < 300:
            await peer._read()

    await sending
    assert lane.model.calls == 300
    peer.writer.close()
    await lane.stop()


async def send_often(peer: Peer, data: bytes, times: int) -> None:
    for _ in range(times):
        peer.writer.write(data)
        await peer.writer.drain()


async def test_a_peer_that_leaves_gives_its_lease_back(both: tuple[Lane, Lane]) -> None:
    express, _ = both
    express.model.seconds = 1000
    release = express.predictor.snapshot.live["default"]
    client = await express.connect()

    await client.send(post(LATER))
    await until(lambda: release.in_flight)
    reset = struct.pack("ii", 1, 0)
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    client.writer.transport.abort()

    await until(lambda: not release.in_flight)
    assert express.slots.outcomes(release_slot(0)) == (0, 0, 0)


async def test_what_comes_while_an_answer_is_waited_for_follows_it_at_once(
    both: tuple[Lane, Lane],
) -> None:
    express, _ = both
    express.connections._sweeper.cancel()  # which would go on by itself, a quarter second later
    client = await express.connect()

    await client.send(post(LATER))
    await until(lambda: express.predictor.snapshot.live["default"].in_flight)
    await client.send(post() + post(LATER))
    await client.take(3)

    assert len(_answers(client.received)) == 3
    client.writer.close()
