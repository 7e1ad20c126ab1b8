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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, partial
from typing import Any, cast

from modeld.messages import Message

_LENGTHS = struct.Struct("<II")
MAX_HEAD = 64 << 20
MAX_PAYLOAD = 1 << 30
MAX_DESCRIPTORS = 250

_encode_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_read_json = json.JSONDecoder().raw_decode
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
    text = _encode_json([type(message).__name__, *_values(message)])
    # A header or a model's error may hold bytes that are no UTF-8, as surrogates.
    head = text.encode(errors="surrogatepass")
    return b"".join((_LENGTHS.pack(len(head), len(payload)), head, payload))


def _decode(head: bytes) -> Message:
    try:
        text = head.decode(errors="surrogatepass")
        (name, *values), end = _read_json(text)
        message: Message = _build(_CLASSES[name], values)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolError(f"a frame makes no sense: {error}") from error
    if end != len(text):
        raise ProtocolError(f"a frame makes no sense: {len(text) - end} letters follow its message")
    return message


def _values(value: Any) -> list[Any]:
    shape = _shape(type(value))  # type: ignore[arg-type]
    values = [getattr(value, name) for name in shape.names]
    for index, write in shape.writers:
        values[index] = write(values[index])
    return values


def _build(kind: type, values: list[Any]) -> Any:
    shape = _shape(kind)
    if type(values) is not list or len(values) != len(shape.names):
        raise ProtocolError(f"{kind.__name__} is a list of {len(shape.names)} fields")
    for index, read in shape.readers:
        values[index] = read(values[index])
    return kind(*values)


_Turn = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Shape:
    """The fields of a class, and what must be done with those that JSON does not keep."""

    names: tuple[str, ...]
    writers: tuple[tuple[int, _Turn], ...]
    readers: tuple[tuple[int, _Turn], ...]


@cache
def _shape(kind: Any) -> _Shape:
    hints = typing.get_type_hints(kind)
    names = tuple(field.name for field in fields(kind))
    ways = [_ways(hints[name]) for name in names]
    return _Shape(
        names,
        tuple((index, write) for index, (write, _) in enumerate(ways) if write),
        tuple((index, read) for index, (_, read) in enumerate(ways) if read),
    )


def _ways(hint: Any) -> tuple[_Turn | None, _Turn | None]:
    """Find how a value is written for JSON and how it is restored; `None` for as it is."""
    if is_dataclass(hint):
        return _values, partial(_build, cast("type", hint))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        write, read = _ways(arguments[0])
        return write and _each(list, write), _each(tuple, read) if read else tuple
    if origin in (types.UnionType, typing.Union):
        for each in filter(is_dataclass, arguments):
            return _or_none(_values), _or_none(partial(_build, cast("type", each)))
    return None, None


def _each(kind: type, turn: _Turn) -> _Turn:
    return lambda items: kind(map(turn, items))


def _or_none(turn: _Turn) -> _Turn:
    return lambda value: None if value is None else turn(value)


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
        return Frame(_decode(bytes(self._buffer[body : body + head])), payload)


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
