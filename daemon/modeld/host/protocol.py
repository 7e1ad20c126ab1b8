"""Turn messages into frames and back; send and receive them with file descriptors.

A frame is two little-endian 32-bit lengths, a JSON head and a payload. The head is
the message's name followed by its fields in order, so that a message of flat fields
costs one JSON call each way. No pickle: a process that ran somebody's model must not
be able to send code. A frame that is too long or makes no sense ends the connection.
"""

import json
import socket
import struct
import types
import typing
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any

from modeld.messages import Message

_LENGTHS = struct.Struct("<II")
MAX_HEAD = 64 << 20
MAX_PAYLOAD = 1 << 30
MAX_DESCRIPTORS = 250

_encode_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_CLASSES: dict[str, type] = {kind.__name__: kind for kind in typing.get_args(Message)}


class ProtocolError(Exception):
    """The other side sent something that is no frame of ours."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A message that arrived, with its payload and the descriptors that came before it."""

    message: Message
    payload: memoryview


def encode(message: Message, payload: bytes | memoryview = b"") -> bytes:
    """Make one frame of a message."""
    text = _encode_json([type(message).__name__, *map(_plain, _values(message))])
    # A header or a model's error may hold bytes that are no UTF-8, as surrogates.
    head = text.encode(errors="surrogatepass")
    return b"".join((_LENGTHS.pack(len(head), len(payload)), head, payload))


def _values(value: Any) -> list[Any]:
    return [getattr(value, name) for name in _field_names(type(value))]  # type: ignore[arg-type]


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return [_plain(item) for item in _values(value)]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _message(head: bytes) -> Message:
    try:
        name, *values = json.loads(head)
        message: Message = _build(_CLASSES[name], values)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolError(f"a frame makes no sense: {error}") from error
    return message


def _build(kind: type, values: list[Any]) -> Any:
    readers = _readers(kind)
    if len(readers) != len(values):
        raise ProtocolError(f"{kind.__name__} has {len(readers)} fields, found {len(values)}")
    return kind(*(v if read is None else read(v) for read, v in zip(readers, values, strict=True)))


@cache
def _readers(kind: Any) -> tuple[Any, ...]:
    hints = typing.get_type_hints(kind)
    return tuple(_reader(hints[name]) for name in _field_names(kind))


def _reader(hint: Any) -> Any:
    """Find the function that restores a field; `None` for one that JSON keeps as it is."""
    if is_dataclass(hint):
        return lambda value: _build(typing.cast("type", hint), value)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        item = _reader(arguments[0])
        return tuple if item is None else lambda value: tuple(map(item, value))
    if origin in (types.UnionType, typing.Union):
        inner = next((_reader(a) for a in arguments if is_dataclass(a)), None)
        return inner and (lambda value: None if value is None else inner(value))
    return None


class Decoder:
    """Cut a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Give every frame that is complete now."""
        self._buffer += data
        start = 0
        try:
            while (end := self._end(start)) is not None:
                frame = self._frame(start, end)
                start = end
                yield frame
        finally:
            # Also where the reader fails: it must not get the same frame again.
            del self._buffer[:start]

    def _end(self, start: int) -> int | None:
        if len(self._buffer) - start < _LENGTHS.size:
            return None
        head, payload = _LENGTHS.unpack_from(self._buffer, start)
        if head > MAX_HEAD or payload > MAX_PAYLOAD:
            raise ProtocolError(f"a frame of {head} and {payload} bytes is too long")
        end = start + _LENGTHS.size + head + payload
        return end if len(self._buffer) >= end else None

    def _frame(self, start: int, end: int) -> Frame:
        body = start + _LENGTHS.size
        head = int.from_bytes(self._buffer[start : start + 4], "little")
        payload = memoryview(bytes(self._buffer[body + head : end]))
        return Frame(_message(bytes(self._buffer[body : body + head])), payload)


class BlockingChannel:
    """A connection to another process of ours, for a process without an event loop."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.descriptors: deque[int] = deque()
        self._decoder = Decoder()

    def send(
        self, message: Message, payload: bytes = b"", *, descriptors: Sequence[int] = ()
    ) -> None:
        """Send a frame; descriptors travel with its first byte."""
        data = encode(message, payload)
        sent = 0
        if descriptors:
            sent = socket.send_fds(self.sock, [data], list(descriptors))
        self.sock.sendall(memoryview(data)[sent:])

    def receive(self) -> list[Frame] | None:
        """Wait for bytes; give the frames that they complete, `None` at the end."""
        data, descriptors, _, _ = socket.recv_fds(self.sock, 1 << 18, MAX_DESCRIPTORS)
        self.descriptors.extend(descriptors)
        if not data:
            return None
        return list(self._decoder.feed(data))

    def is_closed(self) -> bool:
        """Tell whether the other side has gone and left nothing to read."""
        try:
            return not self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True


def known_messages() -> tuple[type, ...]:
    """All messages of the protocol, for tests."""
    return tuple(_CLASSES.values())
