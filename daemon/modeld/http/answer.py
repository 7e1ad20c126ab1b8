"""Write the bytes of an HTTP answer: the same fixed set of headers for every way in.

What is the same in many answers is written once: the start per status, the fields of a
release with the release, the date per second.
"""

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

_JSON = "application/json"
_CONNECTION = {
    "": b"",
    "close": b"Connection: close\r\n",
    "keep-alive": b"Connection: keep-alive\r\n",
}


class Clock:
    """Gives the `Date` header, written once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def date(self) -> bytes:
        """Give the time as RFC 9110 wants it."""
        now = int(time.time())
        if now != self._second:
            self._second, self._text = now, formatdate(now, usegmt=True).encode()
        return self._text


_clock = Clock()


class Fields(dict[str, str]):
    """Headers that go out often: not to be changed, and their bytes are written once."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        self.content_type = self.get("Content-Type", _JSON)
        """What the body is; JSON unless the headers say otherwise."""
        fields = [f"{name}: {value}\r\n" for name, value in self.items() if name != "Content-Type"]
        self.lines = "".join(fields).encode("latin-1")
        """The headers but the type, which stands first in every answer."""


NO_FIELDS = Fields({})


@lru_cache(maxsize=64)
def _start(status: int, content_type: str) -> bytes:
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    return f"{line}\r\nContent-Type: {content_type}\r\nX-Request-Id: ".encode("latin-1")


def render(
    status: int,
    request_id: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    connection: str = "",
    is_head: bool = False,
) -> bytes:
    """Write an answer; `connection` is what the header of that name says, empty for none."""
    fields = headers if type(headers) is Fields else Fields(headers)
    # To a 304, a length would be that of the body which the client has.
    length = b"" if status == 304 else b"Content-Length: %d\r\n" % len(body)
    return b"%b%b\r\n%b%bDate: %b\r\n%b\r\n%b" % (
        _start(status, fields.content_type),
        request_id.encode("latin-1"),
        fields.lines,
        length,
        _clock.date(),
        _CONNECTION[connection],
        b"" if is_head else body,
    )


def render_head(status: int, request_id: str, headers: Mapping[str, str], coding: str) -> bytes:
    """Write the head of an answer without a known length, whose end closes the connection."""
    fields = Fields(headers)
    return b"%b%b\r\n%b%bDate: %b\r\nConnection: close\r\n\r\n" % (
        _start(status, fields.content_type),
        request_id.encode("latin-1"),
        fields.lines,
        f"Transfer-Encoding: {coding}\r\n".encode() if coding else b"",
        _clock.date(),
    )
