"""Send and receive frames on an event loop.

Works on the socket itself rather than on a transport, because only `sendmsg` and
`recvmsg` carry file descriptors. Descriptors arrive in the order in which they were
sent; the message that announces them takes them from the queue.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

from modeld.host.protocol import MAX_DESCRIPTORS, Decoder, Frame, ProtocolError, encode
from modeld.messages import Message

_CHUNK = 1 << 16


class Channel:
    """One end of a connection between two of our processes.

    `on_frame` gets every frame. `on_end` is called once, when the other side is gone
    or talks nonsense; not when this side closes.
    """

    def __init__(
        self, sock: socket.socket, on_frame: Callable[[Frame], None], on_end: Callable[[], None]
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._on_frame = on_frame
        self._on_end = on_end
        self._decoder = Decoder()
        self._descriptors: deque[int] = deque()
        self._outgoing: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._is_full = False
        self.is_open = True
        self._loop.add_reader(sock.fileno(), self._readable)

    def send(
        self, message: Message, payload: bytes | memoryview = b"", *, take: Sequence[int] = ()
    ) -> None:
        """Queue a frame. The descriptors in `take` are closed here once they are sent."""
        if not self.is_open:
            _close_all(take)
            return
        self._outgoing.append((memoryview(encode(message, payload)), tuple(take)))
        if len(self._outgoing) == 1:
            self._writable()

    def take_descriptor(self) -> int:
        """Take the next descriptor that arrived."""
        if not self._descriptors:
            raise ProtocolError("a message promised a descriptor and brought none")
        return self._descriptors.popleft()

    def close(self) -> None:
        """Close the connection without telling `on_end`."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        _close_all(self._descriptors)
        for _, descriptors in self._outgoing:
            _close_all(descriptors)
        self._outgoing.clear()

    def _readable(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._sock, _CHUNK, MAX_DESCRIPTORS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, descriptors = b"", []
        self._descriptors.extend(descriptors)
        if not data:
            self._end()
            return
        try:
            for frame in self._decoder.feed(data):
                self._on_frame(frame)
                if not self.is_open:
                    return
        except ProtocolError:
            self._end()

    def _writable(self) -> None:
        try:
            while self._outgoing:
                self._send_one()
        except (BlockingIOError, InterruptedError):
            self._is_full = True
            self._loop.add_writer(self._sock.fileno(), self._writable)
            return
        except OSError:
            self._end()
            return
        if self._is_full:
            self._is_full = False
            self._loop.remove_writer(self._sock.fileno())

    def _send_one(self) -> None:
        data, descriptors = self._outgoing[0]
        if descriptors:
            sent = socket.send_fds(self._sock, [data], list(descriptors))
            _close_all(descriptors)
        else:
            sent = self._sock.send(data)
        if sent == len(data):
            self._outgoing.popleft()
        else:
            self._outgoing[0] = (data[sent:], ())

    def _end(self) -> None:
        if self.is_open:
            self.close()
            self._on_end()


def _close_all(descriptors: Sequence[int] | deque[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def connected_pair() -> tuple[socket.socket, socket.socket]:
    """Make two sockets that are connected with each other."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
