"""Hand the listening socket over to a successor, so that an upgrade loses no request.

The successor asks over the control socket, which only this user may open. The socket's
descriptor comes with one byte in front of the HTTP answer; then the old server drains, and
what connects meanwhile waits in the socket's queue. One that is starting itself serves its
first version before.
"""

import socket
from asyncio import BaseTransport

from modeld.config import Settings
from modeld.control.runtime_folder import read_server_file
from modeld.errors import ConfigError

HANDOVER = "/admin/handover"

HANDOVER_PATIENCE = 20.0
"""For so many seconds, a server that is starting may go on with that before it hands over."""

_SECONDS = HANDOVER_PATIENCE + 10.0
_ASK = f"POST {HANDOVER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()
_WITH_IT = b"\n"


def give(transport: BaseTransport | None, listener: socket.socket) -> None:
    """Send the listening socket to whoever asked for it; raises `OSError`."""
    found = transport.get_extra_info("socket") if transport is not None else None
    if found is None:
        raise ConnectionResetError("the successor is gone")
    with socket.socket(fileno=socket.dup(found.fileno())) as sock:
        socket.send_fds(sock, [_WITH_IT], [listener.fileno()])


def take(settings: Settings) -> socket.socket | None:
    """Have the running server hand its listening socket over and end; `None` if none runs.

    Raises:
        ConfigError: it listens elsewhere, or it is too old to hand anything over.
    """
    place = read_server_file(settings.runtime_dir)
    if place is None:
        return None
    if place.host != settings.host or settings.port not in (0, place.port):
        raise ConfigError(
            f"the running server listens on {place.host} port {place.port}, and --replace keeps "
            "the address: give the same, or stop it first"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_SECONDS)
        try:
            sock.connect(place.socket)
        except (FileNotFoundError, ConnectionRefusedError):
            # It was killed, and could not tidy up.
            return None
        sock.sendall(_ASK)
        _, descriptors, _, _ = socket.recv_fds(sock, len(_WITH_IT), 1)
    if not descriptors:
        raise ConfigError("the running server cannot hand over: stop it, then start this one")
    return socket.socket(fileno=descriptors[0])
