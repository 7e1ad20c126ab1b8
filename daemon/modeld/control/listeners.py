"""Open the listening sockets, one for each worker slot, and keep them open.

A socket per slot spreads connections evenly and outlives its worker. Where the system
gives only one (socket activation) or does not balance (macOS), all slots share it.
"""

import contextlib
import errno
import socket
import struct
import sys
from pathlib import Path

from modeld.errors import ConfigError

_BACKLOG = 1024
_FIRST_PASSED = 3
_SO_ATTACH_REUSEPORT_CBPF = 51
_SKF_NET_OFF = 0xFFF00000
_IPV4_SOURCE_PORT = 20


class Listeners:
    """The sockets that workers accept from."""

    def __init__(self, sockets: list[socket.socket], *, is_shared: bool) -> None:
        self._sockets = sockets
        self.is_shared = is_shared

    @property
    def port(self) -> int:
        """The port that all of them have."""
        return int(self._sockets[0].getsockname()[1])

    def of(self, slot: int) -> socket.socket:
        """Give the socket of a worker slot."""
        return self._sockets[0 if self.is_shared else slot]

    def all(self) -> tuple[socket.socket, ...]:
        """Every socket once."""
        return tuple(self._sockets)

    def close(self) -> None:
        """Close this process's ends; workers have theirs."""
        for sock in self._sockets:
            sock.close()


def open_listeners(host: str, port: int, slots: int, passed: int) -> Listeners:
    """Open the sockets, or take the one that the system passed (`passed` is `LISTEN_FDS`).

    Raises:
        ConfigError: the port is in use, or the address is not ours.
    """
    if passed:
        return Listeners([socket.socket(fileno=_FIRST_PASSED)], is_shared=True)
    family, address = _resolve(host, port)
    try:
        # A first bind without SO_REUSEPORT tells whether somebody else has the port.
        with _bound(family, address, reuse=False) as probe:
            address = (address[0], probe.getsockname()[1], *address[2:])
            if sys.platform != "linux" or slots == 1:
                probe.listen(_BACKLOG)
                return Listeners([probe.dup()], is_shared=slots > 1)
        sockets = [_bound(family, address, reuse=True) for _ in range(slots)]
    except OSError as error:
        raise ConfigError(_why(error, host, port)) from error
    for sock in sockets:
        sock.listen(_BACKLOG)
    if family == socket.AF_INET:
        _spread(sockets[0], slots)
    return Listeners(sockets, is_shared=False)


def _resolve(host: str, port: int) -> tuple[int, tuple[str | int, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigError(f"MODELD_HOST: {host} is no address: {error.strerror}") from error
    family, _, _, _, address = found[0]
    return family, (str(address[0]), *address[1:])


def _bound(family: int, address: tuple[str | int, ...], *, reuse: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _spread(sock: socket.socket, slots: int) -> None:
    """Choose the socket by the client's port, halved, rather than by a hash.

    Linux gives a client even ports one after another, so that a client's connections
    take turns among the workers; by the hash 8 of 32 may meet 24. Where the kernel
    refuses the filter the hash remains.
    """
    program = (
        (0x28, 0, 0, _SKF_NET_OFF + _IPV4_SOURCE_PORT),  # load the source port
        (0x74, 0, 0, 1),  # halve it
        (0x94, 0, 0, slots),  # modulo the number of sockets
        (0x16, 0, 0, 0),  # give that as the socket's index
    )
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    with contextlib.suppress(OSError):
        _attach(sock, code, len(program))


def _attach(sock: socket.socket, code: bytes, length: int) -> None:
    import ctypes

    buffer = ctypes.create_string_buffer(code)
    descriptor = struct.pack("HL", length, ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, descriptor)


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = _holder(port)
        by = f" by process {holder}" if holder else ""
        return f"port {port} on {host} is in use{by}; stop it, or set MODELD_PORT to another"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs privileges; set MODELD_PORT above 1023"
    return f"cannot listen on {host} port {port}: {error.strerror}"


def _holder(port: int) -> int | None:
    """Find the process that listens on a port, where /proc tells."""
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(entry.readlink()) in inodes for entry in (process / "fd").iterdir()):
                return int(process.name)
    return None
