"""Gather the settings from flags, environment, `.env` and a JSON file, in that order of strength.

Every value keeps the place it came from until it is checked, so that a mistake
stops the start with one line that tells where to correct it. Unknown names are
mistakes too: a misspelt setting that is passed over looks exactly like one that
works. An empty value counts as not given.

No other module reads the environment. Workers never import this one: they are
told the few settings that they need.
"""

import difflib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Final, Literal

from dotenv.parser import parse_stream
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from modeld.config_values import (
    MAX_PORT,
    MIB,
    MINUTE,
    available_cpus,
    check_token,
    default_runtime_dir,
    parse_count,
    parse_duration,
    parse_host,
    parse_origin,
    parse_size,
    parse_workers,
)
from modeld.errors import ConfigError

PREFIX: Final = "MODELD_"
MAX_AUTO_WORKERS: Final = 4

_FLAGS: Final = {"models_dir": "--models", "state_file": "--state"}
_PATHS: Final = ("models_dir", "state_file", "runtime_dir", "admin_token_file")
_LONGEST_SHOWN: Final = 80
_LONGEST_TOKEN_FILE: Final = 4096

# What Kubernetes sets for a service, and Docker for a link, whose name begins with "modeld".
_INJECTED: Final = re.compile(
    r"MODELD_(SERVICE|PORT)_.*|MODELD_\w+_SERVICE_(HOST|PORT\w*)=.*|MODELD_\w+_PORT_\d+_\w+=.*"
    r"|MODELD_(\w+_)?PORT=(tcp|udp|sctp)://.*",
    re.DOTALL,
)


def _check_secret(value: object) -> SecretStr:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return SecretStr(check_token(text))


Duration = Annotated[float, BeforeValidator(parse_duration)]
PositiveDuration = Annotated[Duration, Field(gt=0)]
Size = Annotated[int, BeforeValidator(parse_size)]
Count = Annotated[int, BeforeValidator(parse_count), Field(ge=1)]


class Settings(BaseSettings):
    """Everything that can be configured. Times in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: Annotated[str, BeforeValidator(parse_host)] = "127.0.0.1"
    port: Annotated[int, BeforeValidator(parse_count), Field(le=MAX_PORT)] = 8000
    models_dir: Path = Path("models")
    state_file: Path = Path("state/active.yaml")
    runtime_dir: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default_factory=lambda known: default_runtime_dir(known["state_file"], known["models_dir"])
    )
    workers: Annotated[int | Literal["auto"], BeforeValidator(parse_workers)] = "auto"
    trust: Literal["any", "pinned", "safe"] = "any"
    compile: Literal["auto", "never"] = "auto"
    compile_timeout: Duration = MINUTE
    versions: Literal["auto", "live", "all"] = "auto"
    keep_warm: Duration = 15 * MINUTE
    max_loaded: Count = 4
    inplace_max: Size = 64 * MIB
    request_timeout: PositiveDuration = 30.0
    load_timeout: PositiveDuration = 120.0
    host_memory: Size = 0
    runtime_max: Size = 2048 * MIB
    max_body: Annotated[Size, Field(ge=1)] = 16 * MIB
    max_rows: Count = 10_000
    max_queue: Count = 1024
    max_connections: Count = 4096
    keepalive: PositiveDuration = 75.0
    drain_delay: Duration = 0.0
    drain_timeout: Duration = 20.0
    express: Literal["on", "off"] = "on"
    log_format: Literal["text", "json"] = "text"
    public_url: Annotated[str, BeforeValidator(parse_origin)] = ""
    admin_token: Annotated[SecretStr, BeforeValidator(_check_secret)] | None = None
    admin_token_file: Path | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *unused: PydanticBaseSettingsSource,
        **also_unused: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the caller alone: the other sources forget where a value came from."""
        return (init_settings,)

    def serves_all_versions(self, *, is_loopback: bool) -> bool:
        """Whether a request may name any version, not only those that the wish names."""
        return self.versions == "all" or (self.versions == "auto" and is_loopback)

    @property
    def worker_count(self) -> int:
        """How many processes answer HTTP."""
        if self.workers == "auto":
            return min(available_cpus(), MAX_AUTO_WORKERS)
        return self.workers

    @property
    def public_origin(self) -> str:
        """What browsers that come through the proxy send as `Origin`; empty without a proxy."""
        return self.public_url

    def read_admin_token(self) -> SecretStr | None:
        """Give the configured token, from the setting or from the file that holds it.

        Raises:
            ConfigError: the file cannot be read or holds no token that can be used.
        """
        if self.admin_token_file is None:
            return self.admin_token
        try:
            with self.admin_token_file.open("rb") as file:
                text = file.read(_LONGEST_TOKEN_FILE).decode("ascii", errors="replace")
            return _check_secret(text)
        except OSError as error:
            # No path: the likeliest mistake is a token in the place of a path.
            problem = f"the file cannot be read: {error.strerror}"
        except ValueError as error:
            problem = f"the text in the file {error}"
        message = f"{PREFIX}ADMIN_TOKEN_FILE: {problem}"
        raise ConfigError(message)


_SETTINGS: Final = {PREFIX + field.upper(): field for field in Settings.model_fields}


@dataclass(frozen=True, slots=True)
class _Given:
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
        if _SETTINGS[self.name] == "admin_token":
            return ""
        text = re.sub("//[^/@]*@", "//…@", str(self.value))
        return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…") + " "


def load_settings(
    flags: Mapping[str, object],
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """Read the settings; relative paths start at the folder, by default the current one.

    Raises:
        ConfigError: a setting is unknown or has a value that cannot be used.
    """
    folder = folder or Path()
    given: dict[str, _Given] = {}
    for one in chain(
        _from_json(config),
        _from_dotenv(folder / ".env"),
        _from_environment(os.environ if environ is None else environ),
        _from_flags(flags),
    ):
        _refuse_unknown(one)
        if one.value is not None and one.value != "":
            given[_SETTINGS[one.name]] = one
    if {"admin_token", "admin_token_file"} <= given.keys():
        raise given["admin_token_file"].refuse(f"excludes {PREFIX}ADMIN_TOKEN; give one of them")
    return _checked(given, folder)


def _from_flags(flags: Mapping[str, object]) -> Iterator[_Given]:
    for field, value in flags.items():
        flag = _FLAGS.get(field, "--" + field.replace("_", "-"))
        yield _Given(PREFIX + field.upper(), f"flag {flag}", value)


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Given]:
    for name, value in environ.items():
        if name.startswith(PREFIX) and not _INJECTED.fullmatch(f"{name}={value}"):
            yield _Given(name, "environment", value)


def _from_dotenv(path: Path) -> Iterator[_Given]:
    # Folders and pipes have this name too, and other readers.
    text = _read(path) if path.is_file() else ""
    # Not `dotenv_values`: it passes over lines that it cannot read, and fills in `$` in a token.
    for line in parse_stream(io.StringIO(text)):
        if line.error and PREFIX in line.original.string:
            message = f"{path} line {line.original.line}: should be NAME=value"
            raise ConfigError(message)
        if line.key and line.key.startswith(PREFIX):
            yield _Given(line.key, ".env", line.value)


def _from_json(path: Path | None) -> Iterator[_Given]:
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
        yield _Given(name, path.name, value)


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


def _refuse_unknown(given: _Given) -> None:
    if given.name in _SETTINGS:
        return
    bare = {name.removeprefix(PREFIX): name for name in _SETTINGS}
    close = difflib.get_close_matches(given.name.upper().removeprefix(PREFIX), bare, n=1)
    hint = f"; did you mean {bare[close[0]]}?" if close else ""
    raise given.refuse(f"no such setting{hint}")


def _checked(given: Mapping[str, _Given], folder: Path) -> Settings:
    values: dict[str, object] = {field: _plain(one) for field, one in given.items()}
    for field in _PATHS:
        path = values.get(field, Settings.model_fields[field].default)
        if isinstance(path, str | Path):
            values[field] = folder / path
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    # Outside the `except`, so that no traceback can show the values that pydantic keeps.
    one = given[str(first["loc"][0])]
    problem = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    raise one.refuse(one.shown() + problem)


def _plain(given: _Given) -> str:
    value = given.value
    if isinstance(value, bool) or not isinstance(value, str | int | float | Path):
        raise given.refuse(given.shown() + "should be a text or a number")
    if not (text := str(value).strip()).isprintable():
        raise given.refuse(given.shown() + "should have no control characters")
    return text
