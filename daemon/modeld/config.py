"""Gather the settings from flags, environment, `.env` and a JSON file, in that order of strength.

Every value keeps the place it came from until it is checked, so that a mistake
stops the start with one line that tells where to correct it. Unknown names are
mistakes too: a misspelt setting that is passed over looks exactly like one that
works. An empty value counts as not given.

No other module reads the environment. Workers never import this one: they are
told the few settings that they need.
"""

import difflib
import os
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from modeld.config_sources import (
    PREFIX,
    Given,
    from_dotenv,
    from_environment,
    from_flags,
    from_json,
)
from modeld.config_values import (
    MAX_PORT,
    MIB,
    MINUTE,
    available_cpus,
    check_receivers,
    check_token,
    default_runtime_dir,
    parse_count,
    parse_duration,
    parse_fraction,
    parse_host,
    parse_memory,
    parse_origin,
    parse_size,
    parse_workers,
)
from modeld.errors import ConfigError

MAX_AUTO_WORKERS: Final = 4

_PATHS: Final = ("models_dir", "state_file", "runtime_dir", "admin_token_file", "git_signers")
_LONGEST_TOKEN_FILE: Final = 4096


def _check_secret(value: object) -> SecretStr:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return SecretStr(check_token(text))


def _check_receivers(value: object) -> SecretStr:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return SecretStr(check_receivers(text))


Duration = Annotated[float, BeforeValidator(parse_duration)]
PositiveDuration = Annotated[Duration, Field(gt=0)]
Size = Annotated[int, BeforeValidator(parse_size)]
Count = Annotated[int, BeforeValidator(parse_count), Field(ge=1)]


class Settings(BaseModel):
    """Everything that can be configured. Times in seconds, sizes in bytes."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True
    )

    host: Annotated[str, BeforeValidator(parse_host)] = "127.0.0.1"
    port: Annotated[int, BeforeValidator(parse_count), Field(le=MAX_PORT)] = 8000
    models_dir: Path = Path("models")
    state_file: Path = Path("state/active.yaml")
    runtime_dir: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default_factory=lambda known: default_runtime_dir(known["state_file"], known["models_dir"])
    )
    workers: Annotated[int | Literal["auto"], BeforeValidator(parse_workers)] = "auto"
    source: Literal["file", "git"] = "file"
    git_url: str = ""
    git_branch: str = ""
    git_interval: Annotated[PositiveDuration, Field(ge=1)] = MINUTE
    git_commit: Literal["never", "commit", "push"] = "never"
    git_verify: Literal["off", "signed"] = "off"
    git_signers: Path | None = None
    git_local: Literal["on", "off"] = "off"
    hook_secret: Annotated[SecretStr, BeforeValidator(_check_secret)] | None = None
    trust: Literal["any", "pinned", "safe"] = "any"
    compile: Literal["auto", "never"] = "auto"
    compile_timeout: Duration = MINUTE
    versions: Literal["auto", "live", "all"] = "auto"
    keep_warm: Duration = 15 * MINUTE
    max_loaded: Count = 4
    inplace_max: Size = 64 * MIB
    request_timeout: PositiveDuration = 30.0
    load_timeout: PositiveDuration = 120.0
    host_memory: Annotated[int, BeforeValidator(parse_memory)] = 0
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
    log_requests: Annotated[float, BeforeValidator(parse_fraction)] = 0.0
    notify_url: Annotated[SecretStr, BeforeValidator(_check_receivers)] | None = None
    public_url: Annotated[str, BeforeValidator(parse_origin)] = ""
    admin_token: Annotated[SecretStr, BeforeValidator(_check_secret)] | None = None
    admin_token_file: Path | None = None

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
    def environments(self) -> Path:
        """The folder of the environments that were built for versions."""
        return self.runtime_dir / "environments"

    @property
    def public_origin(self) -> str:
        """What browsers that come through the proxy send as `Origin`; empty without a proxy."""
        return self.public_url

    @property
    def secrets(self) -> dict[str, str]:
        """The values that no log and no report may have, by the names of their settings."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: value.get_secret_value()
            for name, value in values.items()
            if isinstance(value, SecretStr)
        }

    @property
    def notify_urls(self) -> str:
        """The addresses that are notified, separated by commas; each is a secret."""
        return self.notify_url.get_secret_value() if self.notify_url else ""

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
    given: dict[str, Given] = {}
    for one in chain(
        from_json(config),
        from_dotenv(folder / ".env"),
        from_environment(os.environ if environ is None else environ),
        from_flags(flags),
    ):
        _refuse_unknown(one)
        if one.value is not None and one.value != "":
            given[_SETTINGS[one.name]] = one
    if {"admin_token", "admin_token_file"} <= given.keys():
        raise given["admin_token_file"].refuse(f"excludes {PREFIX}ADMIN_TOKEN; give one of them")
    return _checked(given, folder)


def _refuse_unknown(given: Given) -> None:
    if given.name in _SETTINGS:
        return
    bare = {name.removeprefix(PREFIX): name for name in _SETTINGS}
    close = difflib.get_close_matches(given.name.upper().removeprefix(PREFIX), bare, n=1)
    hint = f"; did you mean {bare[close[0]]}?" if close else ""
    raise given.refuse(f"no such setting{hint}")


def _checked(given: Mapping[str, Given], folder: Path) -> Settings:
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


def _plain(given: Given) -> str:
    value = given.value
    if isinstance(value, bool) or not isinstance(value, str | int | float | Path):
        raise given.refuse(given.shown() + "should be a text or a number")
    if not (text := str(value).strip()).isprintable():
        raise given.refuse(given.shown() + "should have no control characters")
    return text
