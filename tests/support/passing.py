"""Start a server as systemd does, with a socket that is already open."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

from tests.support.server import Server


@contextlib.contextmanager
def open_socket() -> Iterator[socket.socket]:
    """A socket that listens as systemd's would."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(100)
        yield sock


def launch_with(server: Server, sock: socket.socket) -> None:
    """Start the server with the socket as its descriptor 3."""
    script = f'exec 3<&{sock.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MODELD_")}
    with server.log.open("ab") as log:
        server.process = subprocess.Popen(
            ["bash", "-c", script, "bash", sys.executable, "-m", "modeld", "serve"],
            cwd=server.folder,
            env=kept | server.defaults,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[sock.fileno()],
        )
    server.wait_until_up()
