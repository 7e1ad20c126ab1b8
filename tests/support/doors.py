"""Come to a server through a proxy that ends TLS, as its clients do."""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.server import Answer

_SECONDS = 30.0


class _Connection(http.client.HTTPSConnection):
    """A connection to this machine, under another name."""

    def connect(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the certificates are made up
        sock = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.sock = context.wrap_socket(sock, server_hostname=self.host)


@dataclass(frozen=True)
class Door:
    """A proxy's two ports, and the name that it is known by."""

    name: str
    port: int
    plain_port: int

    def connect(self) -> http.client.HTTPSConnection:
        """Give a connection, for several requests."""
        connection = _Connection(self.name, self.port, timeout=_SECONDS)
        # Clients connect to port 443, and so name none.
        connection.default_port = self.port
        return connection

    def call(
        self,
        method: str,
        target: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one request on a connection of its own."""
        connection = self.connect()
        try:
            # One that is refused early is answered before all of it was sent.
            with contextlib.suppress(OSError):
                connection.request(method, target, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())
        finally:
            connection.close()
