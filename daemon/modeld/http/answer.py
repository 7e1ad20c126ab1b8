"""Write the bytes of an HTTP answer: the same fixed set of headers for every way in."""

import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Clock:
    """Gives the `Date` header, written once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def date(self) -> str:
        """Give the time as RFC 9110 wants it."""
        now = int(time.time())
        if now != self._second:
            self._second, self._text = now, formatdate(now, usegmt=True)
        return self._text


_clock = Clock()


def render(
    status: int, headers: Mapping[str, str], body: bytes, *, connection: str, is_head: bool
) -> bytes:
    """Write an answer; `connection` is what the header of that name says, empty for none."""
    lines = [f"HTTP/1.1 {_LINES[status]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}\r\nDate: {_clock.date()}")
    if connection:
        lines.append(f"Connection: {connection}")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head if is_head else head + body
