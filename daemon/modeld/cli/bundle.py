"""Put what a bug report needs into one archive, without secrets.

What is known to be secret is taken out twice: settings that hold secrets are not written,
and wherever their values stand in any text, they are blanked out.
"""

import contextlib
import io
import json
import os
import platform
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modeld import __version__
from modeld.cli.checkup.server import Running
from modeld.config import Settings
from modeld.errors import ConfigError
from modeld.git.command import without_secret
from modeld.log import HIDDEN

_SHORTEST_SECRET = 6


def write_bundle(
    path: Path, settings: Settings, running: Running, findings: Mapping[str, Any]
) -> None:
    """Write the archive, readable for this user alone; raises `OSError` and then leaves none."""
    documents: dict[str, Any] = {
        "doctor.json": findings,
        "status.json": running.status,
        "decisions.json": running.decisions,
        "settings.json": shown_settings(settings),
        "versions.json": _versions(),
    }
    secrets = secrets_of(settings)
    descriptor, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=".modeld-")
    try:
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
            for name, document in documents.items():
                _add(tar, f"modeld-report/{name}", without(document, secrets))
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _add(tar: tarfile.TarFile, name: str, document: object) -> None:
    body = json.dumps(document, indent=2).encode() + b"\n"
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime = len(body), int(time.time())
    tar.addfile(entry, io.BytesIO(body))


def shown_settings(settings: Settings) -> dict[str, str]:
    """Write the settings; of what is secret only that it is set."""
    shown = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        text = "" if value is None else without_secret(str(value))
        shown[name] = HIDDEN if name in settings.secrets else text
    return shown


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Gather what must not stand in any text, the longest first."""
    found = list(settings.secrets.values())
    with contextlib.suppress(ConfigError):
        token = settings.read_admin_token()
        found += [token.get_secret_value()] if token else []
    with contextlib.suppress(OSError, UnicodeDecodeError):
        found.append((settings.runtime_dir / "admin-token").read_text().strip())
    for url in map(str.strip, settings.notify_urls.split(",")):
        parts = urlsplit(url)
        found += [url, parts.path, parts.query, *_user_and_password(url)]
    found += _user_and_password(settings.git_url)
    return tuple(sorted({each for each in found if len(each) >= _SHORTEST_SECRET}, key=len)[::-1])


def _user_and_password(url: str) -> list[str]:
    """Give what stands before the host of an address; a token may stand for either."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        return [parts.username or "", parts.password or ""]
    return []


def without(content: object, secrets: tuple[str, ...]) -> object:
    """Blank out the secrets in all texts of a document."""
    if isinstance(content, Mapping):
        return {
            str(without(key, secrets)): without(value, secrets) for key, value in content.items()
        }
    if isinstance(content, list | tuple):
        return [without(each, secrets) for each in content]
    if isinstance(content, str):
        for secret in secrets:
            content = content.replace(secret, HIDDEN)
    return content


def _versions() -> dict[str, Any]:
    installed = ((each.name, each.version) for each in metadata.distributions())
    return {
        "modeld": __version__,
        "python": sys.version,
        "system": platform.platform(),
        "libraries": dict(sorted(each for each in installed if each[0])),
    }
