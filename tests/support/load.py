"""Load a server from many connections at once, and keep what each request saw."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

DEMO_ROW = [6.3, 2.8, 5.1, 1.5]
GOLDEN = {"v1": 1, "v2": 2}


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: when it began and ended, and what came back."""

    start: float
    end: float
    status: int
    version: str
    prediction: object
    code: str = ""


@dataclass
class Load:
    """Clients that send one request after another until told to stop."""

    port: int
    connections: int
    target: str = "/predict"
    seen: list[Seen] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Run all clients in this thread."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self.connections)))

    async def _client(self) -> None:
        body = json.dumps({"features": DEMO_ROW}).encode()
        request = (
            f"POST {self.target} HTTP/1.1\r\nHost: localhost:{self.port}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        while not self._stop.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except (ConnectionRefusedError, ConnectionResetError):
                # Reset while connecting: the listener closed in the middle of the handshake.
                if not self._stop.is_set():
                    self.failures.append("connection refused")
                return
            try:
                await self._on_connection(reader, writer, request)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            finally:
                writer.close()

    async def _on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> None:
        while not self._stop.is_set():
            start = time.monotonic()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            headers = _headers(head)
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            end = time.monotonic()
            status = int(head.split(b" ", 2)[1])
            version, prediction = body.get("model_version", ""), body.get("prediction")
            self.seen.append(Seen(start, end, status, version, prediction, body.get("code", "")))
            if headers.get("connection") == "close":
                return

    def stop(self) -> None:
        """Have every client end after its answer."""
        self._stop.set()


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.split(": ", 1) for line in lines if line)
    return {name.lower(): value for name, value in pairs}


@contextmanager
def loaded(port: int, connections: int = 32, target: str = "/predict") -> Iterator[Load]:
    """Load a server while the block runs."""
    load = Load(port, connections, target)
    thread = threading.Thread(target=load.run)
    thread.start()
    try:
        yield load
    finally:
        load.stop()
        thread.join(60)
