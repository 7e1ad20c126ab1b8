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
from modeld.control.runtime_folder import Place, read_server_file

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
    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path
        self._seconds = seconds

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._seconds)
        self.sock.connect(self._path)


def call(
    settings: Settings,
    method: str,
    target: str,
    content: dict[str, Any] | None = None,
    *,
    seconds: float = _SECONDS,
) -> Reply:
    """Call the server; raises `NoServer` where there is none."""
    connection = _Connection(place_of(settings).socket, seconds)
    body = json.dumps(content) if content is not None else None
    try:
        connection.request(method, target, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return Reply(answer.status, json.loads(answer.read()))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoServer(_advice(settings)) from error
    finally:
        connection.close()


def place_of(settings: Settings) -> Place:
    """Read where the running server is; raises `NoServer` where none says so."""
    folder = settings.runtime_dir
    place = read_server_file(folder)
    if place is None:
        raise NoServer(_absence(folder))
    return place


def _absence(folder: Path) -> str:
    try:
        list(folder.iterdir())
    except PermissionError:
        return (
            f"{folder} is for the user who runs the server: run this as that user, or call the "
            "HTTP API with the admin token"
        )
    except OSError:
        pass  # most often there is no such folder
    return f"no server runs here (looked in {folder}); start one: modeld serve"


def _advice(settings: Settings) -> str:
    return f"the server of {settings.runtime_dir} does not answer; start one: modeld serve"
