"""Find what somebody gave as a setting: in flags, environment, `.env` and a JSON file.

Every value keeps the place it came from, so that a mistake can be told with one line that
says where to correct it.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dotenv.parser import parse_stream

from modeld.errors import ConfigError

PREFIX: Final = "MODELD_"

_FLAGS: Final = {"models_dir": "--models", "state_file": "--state"}
_SECRETS: Final = ("admin_token", "hook_secret", "notify_url")
_LONGEST_SHOWN: Final = 80

# What Kubernetes sets for a service, and Docker for a link, whose name begins with "modeld".
_INJECTED: Final = re.compile(
    r"MODELD_(SERVICE|PORT)_.*|MODELD_\w+_SERVICE_(HOST|PORT\w*)=.*|MODELD_\w+_PORT_\d+_\w+=.*"
    r"|MODELD_(\w+_)?PORT=(tcp|udp|sctp)://.*",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Given:
    """One value as somebody gave it, and where."""

    name: str
    source: str
    value: object

    def refuse(self, problem: str) -> ConfigError:
        """Say in one line what is wrong; `isprintable` keeps a strange name to that line."""
        name = self.name if self.name.isprintable() else ascii(self.name)
        return ConfigError(f"{name} ({self.source}): {problem}")

    def shown(self) -> str:
        """Quote the value if it may be seen, with a space behind it."""
        if self.name.removeprefix(PREFIX).lower() in _SECRETS:
            return ""
        text = re.sub("//[^/@]*@", "//…@", str(self.value))
        return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…") + " "


def from_flags(flags: Mapping[str, object]) -> Iterator[Given]:
    """Give what the command line says."""
    for field, value in flags.items():
        flag = _FLAGS.get(field, "--" + field.replace("_", "-"))
        yield Given(PREFIX + field.upper(), f"flag {flag}", value)


def from_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    """Give what the environment has under the prefix."""
    for name, value in environ.items():
        if name.startswith(PREFIX) and not _INJECTED.fullmatch(f"{name}={value}"):
            yield Given(name, "environment", value)


def from_dotenv(path: Path) -> Iterator[Given]:
    """Give what a `.env` file has under the prefix; other names are for others."""
    # Folders and pipes have this name too, and other readers.
    text = _read(path) if path.is_file() else ""
    # Not `dotenv_values`: it passes over lines that it cannot read, and fills in `$` in a token.
    for line in parse_stream(io.StringIO(text)):
        if line.error and PREFIX in line.original.string:
            message = f"{path} line {line.original.line}: should be NAME=value"
            raise ConfigError(message)
        if line.key and line.key.startswith(PREFIX):
            yield Given(line.key, ".env", line.value)


def from_json(path: Path | None) -> Iterator[Given]:
    """Give what a JSON file of settings says; `None` is no file."""
    if path is None:
        return
    try:
        document = json.loads(_read(path), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        message = f"{path}: {error}"
        raise ConfigError(message) from None
    if not isinstance(document, dict):
        message = f"{path}: should be one JSON object of settings"
        raise ConfigError(message)
    for name, value in document.items():
        yield Given(name, path.name, value)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Give keys their full names, and refuse one that is there twice."""
    found: dict[str, object] = {}
    for key, value in pairs:
        name = PREFIX + key.upper().removeprefix(PREFIX)
        if name in found:
            message = f"{key!a} is given twice"
            raise ValueError(message)
        found[name] = value
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        message = f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}"
        raise ConfigError(message) from error
