"""Serve a bare repository over https with a password, its Git LFS files included.

The protocol of git is spoken by `git http-backend`, which git brings for web servers; the batch
API of Git LFS is small enough to be answered here.
"""

import base64
import contextlib
import gzip
import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest

USER, PASSWORD = "reader", "a-secret-of-git"


@dataclass
class HttpsRemote:
    """Where the repository is, the certificate to trust, and what was asked for."""

    port: int
    certificate: Path
    paths: list[str] = field(default_factory=list)

    def url(self, password: str = PASSWORD) -> str:
        return f"https://{USER}:{password}@localhost:{self.port}/remote.git"


def speak_https(server: HTTPServer, folder: Path) -> Path:
    """Have a server that has not started speak https; gives the certificate to trust."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return certificate


@contextlib.contextmanager
def https_remote(bare: Path, folder: Path) -> Iterator[HttpsRemote]:
    """Serve the repository until the block ends."""
    folder.mkdir()
    server = _Server(bare)
    certificate = speak_https(server, folder)
    server.remote = HttpsRemote(server.server_address[1], certificate)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.remote
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def __init__(self, bare: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bare = bare
        self.remote: HttpsRemote

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust the certificate goes away in the middle."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        self.server.remote.paths.append(self.path)

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, body: bytes) -> None:
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {expected}":
            self._send(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
        elif self.path.endswith("/info/lfs/objects/batch"):
            self._send(200, {"Content-Type": "application/vnd.git-lfs+json"}, self._batch(body))
        elif "/lfs-file/" in self.path:
            oid = self.path.rpartition("/")[2]
            stored = self.server.bare / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
            self._send(200, {}, stored.read_bytes())
        else:
            self._run_git(body)

    def _batch(self, body: bytes) -> bytes:
        asked = json.loads(body)["objects"]
        base = f"https://localhost:{self.server.remote.port}/lfs-file"
        objects = [
            each | {"actions": {"download": {"href": f"{base}/{each['oid']}"}}} for each in asked
        ]
        return json.dumps({"transfer": "basic", "objects": objects}).encode()

    def _run_git(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=True,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.server.bare.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "REMOTE_USER": USER,
            },
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self._send(int(headers.pop("Status", "200").split()[0]), headers, content)

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
