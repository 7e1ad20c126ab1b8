"""Find the running server by its runtime folder, and call it over its own socket.

The socket file may be opened by this user alone, so no token is needed.
"""

import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeld.config import Settings

_SECONDS = 660.0


class NoServer(Exception):
    """No server runs on this runtime folder."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answered."""

    status: int
    content: dict[str, Any]

    @property
    def is_ok(self) -> bool:
        """Whether the call did what was asked."""
        return self.status < 300


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)


def call(
    settings: Settings, method: str, target: str, content: dict[str, Any] | None = None
) -> Reply:
    """Call the server; raises `NoServer` where there is none."""
    connection = _Connection(_socket_of(settings.runtime_dir))
    body = json.dumps(content) if content is not None else None
    try:
        connection.request(method, target, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return Reply(answer.status, json.loads(answer.read()))
    except (OSError, http.client.HTTPException) as error:
        raise NoServer(_advice(settings)) from error
    finally:
        connection.close()


def _socket_of(folder: Path) -> str:
    try:
        content = json.loads((folder / "server.json").read_text())
        return str(content["socket"])
    except (OSError, ValueError, KeyError) as error:
        raise NoServer(
            f"no server runs here (looked in {folder}); start one: modeld serve"
        ) from error


def _advice(settings: Settings) -> str:
    return f"the server of {settings.runtime_dir} does not answer; start one: modeld serve"
