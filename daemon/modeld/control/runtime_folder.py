"""Own the runtime folder: one server to a folder, its token, and how commands find it."""

import contextlib
import fcntl
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from modeld.config import Settings
from modeld.errors import ConfigError

_PAUSE_SECONDS = 0.01


@contextlib.contextmanager
def locked(folder: Path, *, patience: float = 0.0) -> Iterator[Path]:
    """Make the runtime folder and hold its lock: one server to a folder.

    Waits for another server to end for `patience` seconds; raises `ConfigError`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"MODELD_RUNTIME_DIR: {folder}: {error.strerror}") from error
    try:
        _lock(descriptor, folder, time.monotonic() + patience)
        yield folder
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, end: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() < end:
                time.sleep(_PAUSE_SECONDS)
                continue
            raise ConfigError(
                f"another modeld runs on {folder}; stop it, or set MODELD_RUNTIME_DIR to "
                "another folder"
            ) from error
        return


def admin_token(settings: Settings, *, is_local: bool) -> str | None:
    """Give the admin token; one is made and kept where the server can be reached from outside."""
    given = settings.read_admin_token()
    if given is not None:
        return given.get_secret_value()
    if is_local and not settings.public_origin:
        return None
    path = settings.runtime_dir / "admin-token"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    token = secrets.token_urlsafe(32)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{token}\n")
    print(f"Admin needs a token; one was made: {path}", file=sys.stderr)  # noqa: T201
    return token


@dataclass(frozen=True, slots=True)
class Place:
    """Where the running server is, as it wrote down itself."""

    pid: int
    host: str
    port: int
    socket: str


def read_server_file(folder: Path) -> Place | None:
    """Read where the running server is; `None` where none says so."""
    try:
        content = json.loads((folder / "server.json").read_text())
        return Place(
            int(content["pid"]),
            str(content["host"]),
            int(content["port"]),
            str(content["socket"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_server_file(folder: Path, host: str, port: int, socket: Path) -> None:
    """Write where the running server is to be found."""
    content = asdict(Place(os.getpid(), host, port, str(socket)))
    path = folder / "server.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content) + "\n")
    temporary.replace(path)
