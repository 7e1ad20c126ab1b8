"""Read the head of a request as a whole, and tell what is plain about it.

llhttp parses; what is added here is doubt. A head is read at all only if it is beyond
question where the request ends, for every server and proxy alike: printable ASCII, no
folded lines, one Host, at most one length, no transfer coding. For everything else the
answer is `None`, and somebody who knows more of HTTP has to look.

A head is read without a connection, so the same bytes always give the same: clients
that repeat their head have it read once.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import httptools

from modeld.http.limits import is_utf8

MAX_HEAD = 8190
_MAX_HEADERS = 100
_LONGEST_KEPT = 1024
_HEADS_KEPT = 512

# Neither printable nor a line end, a folded line, or a first byte that begins no method.
_STRANGE = re.compile(rb"[^\x20-\x7e\r\n]|\n[ \t]|\A[^A-Z]")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_ANOTHER_PROTOCOL = frozenset({b"transfer-encoding", b"upgrade", b"http2-settings"})
_NOT_PLAIN = frozenset({b"content-encoding", b"expect"})
_ONCE = (b"content-type", b"x-request-id", b"connection")


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head. `is_plain`: a POST of a body that is UTF-8 and comes as it is."""

    target: bytes
    length: int
    is_plain: bool
    keep_alive: bool
    request_id: str | None


class _Reading:
    """What llhttp calls."""

    __slots__ = ("headers", "is_complete", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.is_complete = True


def read_head(data: bytes) -> Head | None:
    """Read a head that ends in an empty line; `None` when in doubt."""
    return _read_kept(data) if len(data) <= _LONGEST_KEPT else _read(data)


def may_become_head(data: bytes) -> bool:
    """Tell whether nothing is wrong yet with the first part of a head."""
    found = _parse(data)
    return found is not None and not found[0].is_complete


def _parse(data: bytes) -> tuple[_Reading, httptools.HttpRequestParser] | None:
    if len(data) > MAX_HEAD or _STRANGE.search(data):
        return None
    reading = _Reading()
    parser = httptools.HttpRequestParser(reading)
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    return (reading, parser) if len(reading.headers) <= _MAX_HEADERS else None


def _read(data: bytes) -> Head | None:
    found = _parse(data)
    if found is None or not found[0].is_complete:
        return None
    reading, parser = found
    method = parser.get_method()
    values: dict[bytes, list[bytes]] = {}
    for name, value in reading.headers:
        values.setdefault(name, []).append(value)
    lengths = values.get(b"content-length", [])
    if (
        parser.get_http_version() != "1.1"
        or method not in _METHODS
        or len(values.get(b"host", ())) != 1
        or len(lengths) > 1
        or not all(map(_LENGTH.fullmatch, lengths))
        or not _ANOTHER_PROTOCOL.isdisjoint(values)
    ):
        return None
    connection = _only(values, b"connection").lower()
    return Head(
        target=reading.target,
        length=int(lengths[0]) if lengths else 0,
        is_plain=method == b"POST" and len(lengths) == 1 and _is_plain(values),
        keep_alive=connection != "close",
        request_id=_only(values, b"x-request-id") if b"x-request-id" in values else None,
    )


_read_kept = lru_cache(maxsize=_HEADS_KEPT)(_read)


def _only(values: dict[bytes, list[bytes]], name: bytes) -> str:
    return values.get(name, [b""])[0].decode("latin-1").strip()


def _is_plain(values: dict[bytes, list[bytes]]) -> bool:
    return (
        _NOT_PLAIN.isdisjoint(values)
        and all(len(values.get(name, ())) <= 1 for name in _ONCE)
        and _only(values, b"connection").lower() in ("", "keep-alive", "close")
        and is_utf8(_only(values, b"content-type"))
    )
