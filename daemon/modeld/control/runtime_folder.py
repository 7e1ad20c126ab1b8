"""Own the runtime folder: one server to a folder, its token, and how commands find it."""

import contextlib
import fcntl
import json
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from modeld.config import Settings
from modeld.errors import ConfigError


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Make the runtime folder and hold its lock: one server to a folder."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"MODELD_RUNTIME_DIR: {folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(
            f"another modeld runs on {folder}; stop it, or set MODELD_RUNTIME_DIR to another folder"
        ) from error
    try:
        yield folder
    finally:
        os.close(descriptor)


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


def write_server_file(folder: Path, host: str, port: int, socket: Path) -> None:
    """Write where the running server is to be found."""
    content = {"pid": os.getpid(), "host": host, "port": port, "socket": str(socket)}
    path = folder / "server.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content) + "\n")
    temporary.replace(path)
