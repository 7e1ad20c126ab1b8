"""Put a real nginx in front of a server."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.server import eventually

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
    access_log off;
    # Its own user may not write below a folder of tests.
    client_body_buffer_size 32m;
    {temporary}
    {http}
}}
"""
_BARE = """
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{backend};
            {more}
        }}
    }}
"""


@contextmanager
def nginx_before(backend: int, folder: Path, more: str = "") -> Iterator[int]:
    """Run nginx with a bare `proxy_pass` and what more is given; gives its port."""
    port = free_port()
    with nginx(folder, _BARE.format(port=port, backend=backend, more=more), port):
        yield port


@contextmanager
def nginx(folder: Path, http: str, port: int) -> Iterator[None]:
    """Run nginx with what stands in its `http` block, until it listens on a port."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("nginx is not installed")
    folder.mkdir(parents=True)
    temporary = "".join(f"{name}_temp_path {folder}/{name};\n    " for name in _TEMPORARY)
    text = _CONFIGURATION.format(folder=folder, temporary=temporary, http=http)
    (folder / "nginx.conf").write_text(text)
    log = folder / "error.log"
    process = subprocess.Popen([program, "-c", folder / "nginx.conf", "-e", log])
    try:
        eventually(lambda: process.poll() is not None or accepts(port), "nginx to listen")
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def accepts(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False
