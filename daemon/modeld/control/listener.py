"""Open the listening socket, and keep it open for all workers.

All workers accept from this one socket, so that what waits for a worker that dies is
taken by another at once. How they share it is `serving.listener`'s business.
"""

import contextlib
import errno
import socket
from pathlib import Path

from modeld.config_values import is_loopback_host
from modeld.errors import ConfigError

_BACKLOG = 1024
_FIRST_PASSED = 3


def open_listener(host: str, port: int, passed: int) -> socket.socket:
    """Open the socket, or take the one that the system passed (`passed` is `LISTEN_FDS`).

    Raises:
        ConfigError: the port is in use, or the address is not ours.
    """
    if passed:
        return socket.socket(fileno=_FIRST_PASSED)
    family, address = _resolve(host, port)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise ConfigError(_why(error, host, port)) from error
    return sock


def port_of(sock: socket.socket) -> int:
    """Give the port that a socket listens on."""
    return int(sock.getsockname()[1])


def is_loopback(sock: socket.socket) -> bool:
    """Tell whether only this machine can reach a socket."""
    return is_loopback_host(str(sock.getsockname()[0]))


def _resolve(host: str, port: int) -> tuple[int, tuple[str | int, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigError(f"MODELD_HOST: {host} is no address: {error.strerror}") from error
    family, _, _, _, address = found[0]
    return family, (str(address[0]), *address[1:])


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
