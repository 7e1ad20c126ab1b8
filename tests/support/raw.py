"""Speak HTTP byte by byte, as no client library would."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.server import Answer

_SECONDS = 20.0


class RawConnection:
    """One connection to the server."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._left = b""

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def half_close(self) -> None:
        """Say that no more bytes will come."""
        self._sock.shutdown(socket.SHUT_WR)

    def answer(self, *, to_head: bool = False) -> Answer:
        """Read one answer; its end is found by its Content-Length."""
        while b"\r\n\r\n" not in self._left:
            self._read()
        head, _, rest = self._left.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name: value for name, _, value in (field.partition(": ") for field in fields)}
        status = int(line.split(" ")[1])
        length = 0 if to_head or status == 100 else int(headers["Content-Length"])
        while len(rest) < length:
            before = len(self._left)
            self._read()
            rest += self._left[before:]
        self._left = rest[length:]
        return Answer(status, headers, rest[:length])

    def _read(self) -> None:
        part = self._sock.recv(65536)
        assert part, f"closed after {self._left!r}"
        self._left += part

    def is_closed(self) -> bool:
        """Wait for the other side to close; False when something else comes."""
        if self._left:
            return False
        try:
            return self._sock.recv(1) == b""
        except ConnectionResetError:
            return True


@contextmanager
def connected(port: int) -> Iterator[RawConnection]:
    """Open a connection that waits at most some seconds for anything."""
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as sock:
        yield RawConnection(sock)


def request(
    body: object = None,
    *fields: str,
    method: str = "POST",
    target: str = "/predict",
    host: str = "localhost",
) -> bytes:
    """Write a request as every client would; `fields` are further header lines."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(data)}")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head if body is None else head + data
