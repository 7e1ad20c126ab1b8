"""The settings: where they come from, what they mean, and what a mistake says."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from modeld.config import Settings, load_settings
from modeld.config_values import is_loopback_host
from modeld.errors import ConfigError

TOKEN = "correct-horse-battery"


def settings(folder: Path, **environ: str) -> Settings:
    return load_settings({}, environ={f"MODELD_{k}": v for k, v in environ.items()}, folder=folder)


def refusal(folder: Path, environ: Mapping[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings({}, environ=environ, folder=folder)
    message = str(caught.value)
    assert message.isprintable()
    assert caught.value.__context__ is None
    return message


def json_file(folder: Path, content: object) -> Path:
    path = folder / "modeld.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# Strength


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    found = load_settings({}, environ={}, folder=tmp_path)

    assert (found.host, found.port, found.workers) == ("127.0.0.1", 8000, "auto")
    assert found.models_dir == tmp_path / "models"
    assert found.state_file == tmp_path / "state/active.yaml"
    assert found.runtime_dir == tmp_path / "var"
    assert found.admin_token_file is None
    assert (found.keep_warm, found.keepalive, found.load_timeout) == (900, 75, 120)
    assert (found.max_body, found.inplace_max, found.host_memory) == (16 << 20, 64 << 20, 0)
    assert found.admin_token is None
    assert found.read_admin_token() is None


def test_paths_stay_relative_to_the_current_folder_except_the_runtime_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    found = load_settings({}, environ={"MODELD_RUNTIME_DIR": "run"})

    assert found.models_dir == Path("models")
    assert found.runtime_dir == tmp_path / "run"


def test_the_runtime_folder_follows_the_state_file_and_the_models(tmp_path: Path) -> None:
    (tmp_path / "deploy/.git").mkdir(parents=True)

    in_git = settings(tmp_path, STATE_FILE="deploy/state/active.yaml")
    elsewhere = settings(tmp_path, MODELS_DIR="data/models")

    assert in_git.runtime_dir == tmp_path / "deploy/.git/modeld"
    assert elsewhere.runtime_dir == tmp_path / "data/var"


@pytest.mark.parametrize(
    ("given", "port"),
    [
        ({"flag", "environment", "dotenv", "json"}, 1),
        ({"environment", "dotenv", "json"}, 2),
        ({"dotenv", "json"}, 3),
        ({"json"}, 4),
        (set(), 8000),
    ],
)
def test_the_stronger_source_wins(tmp_path: Path, given: set[str], port: int) -> None:
    if "dotenv" in given:
        (tmp_path / ".env").write_text("MODELD_PORT=3\n")

    found = load_settings(
        {"port": 1 if "flag" in given else None},
        json_file(tmp_path, {"port": 4} if "json" in given else {}),
        {"MODELD_PORT": "2"} if "environment" in given else {},
        tmp_path,
    )

    assert found.port == port


def test_an_empty_value_counts_as_not_given(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MODELD_PORT=3\nMODELD_HOST\n")

    found = settings(tmp_path, PORT="", ADMIN_TOKEN="", PUBLIC_URL="")

    assert found.port == 3
    assert found.admin_token is None


def test_the_real_environment_is_read_when_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELD_PORT", "4321")

    assert load_settings({}, folder=tmp_path).port == 4321


def test_settings_made_directly_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "4321")
    monkeypatch.setenv("MODELD_PORT", "4321")

    assert Settings().port == 8000


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1


# Values


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("", ""),
        ("https://models.example.org", "https://models.example.org"),
        ("HTTPS://Models.example.org:443/", "https://models.example.org"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::0:1]:80", "http://[::1]"),
    ],
)
def test_the_public_origin_is_what_a_browser_sends(tmp_path: Path, text: str, origin: str) -> None:
    assert settings(tmp_path, PUBLIC_URL=text).public_origin == origin


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("LocalHost", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104 (the name of the case)
        ("::", False),
        ("models.example.org", False),
        ("localhost.example.org", False),
    ],
)
def test_a_loopback_host_is_known(host: str, loopback: bool) -> None:
    assert is_loopback_host(host) is loopback


def test_all_versions_are_served_on_loopback_unless_said_otherwise(tmp_path: Path) -> None:
    found = settings(tmp_path)

    assert found.serves_all_versions(is_loopback=True)
    assert not found.serves_all_versions(is_loopback=False)
    assert settings(tmp_path, VERSIONS="all").serves_all_versions(is_loopback=False)
    assert not settings(tmp_path, VERSIONS="live").serves_all_versions(is_loopback=True)


# Mistakes


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("PORT", "eighty", "whole number"),
        ("PORT", "65536", "65535"),
        ("PORT", "-1", "whole number"),
        ("PORT", "8_000", "whole number"),
        ("HOST", "http://localhost", "host name alone"),
        ("HOST", "127.0.0.1:8000", "host name alone"),
        ("WORKERS", "0", "auto or a whole number from 1"),
        ("WORKERS", "many", "auto or a whole number from 1"),
        ("TRUST", "all", "'any', 'pinned' or 'safe'"),
        ("VERSIONS", "none", "'auto', 'live' or 'all'"),
        ("LOG_FORMAT", "xml", "'text' or 'json'"),
        ("KEEP_WARM", "a while", "such as 30s"),
        ("REQUEST_TIMEOUT", "0", "greater than 0"),
        ("LOAD_TIMEOUT", "0s", "greater than 0"),
        ("KEEPALIVE", "0", "greater than 0"),
        ("MAX_BODY", "0", "greater than or equal to 1"),
        ("MAX_ROWS", "0", "greater than or equal to 1"),
        ("MAX_LOADED", "1.5", "whole number"),
        ("HOST_MEMORY", "lots", "such as 64MiB"),
        ("HOST_MEMORY", "511MiB", "at least 512MiB"),
        ("PUBLIC_URL", "models.example.org", "https://host[:port]"),
        ("PUBLIC_URL", "https://models.example.org/path", "nothing after it"),
        ("PUBLIC_URL", "https://models.example.org:0", "nothing after it"),
        ("PUBLIC_URL", "https://models.example.org:99999", "nothing after it"),
        ("PUBLIC_URL", "http://[:::]", "nothing after it"),
        ("MODELS_DIR", "a\x00b", "control characters"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_source_and_meaning(
    tmp_path: Path, name: str, value: str, meant: str
) -> None:
    message = refusal(tmp_path, {f"MODELD_{name}": value})

    assert message.startswith(f"MODELD_{name} (environment): {value!r} should ")
    assert meant in message


@pytest.mark.parametrize("name", ["MAX_QUEUE", "MAX_CONNECTIONS", "MAX_LOADED", "WORKERS"])
def test_a_number_with_thousands_of_digits_is_only_a_bad_value(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path, {f"MODELD_{name}": "9" * 10_000})

    assert len(message) < 200


def test_a_password_in_an_address_is_not_shown(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"MODELD_PUBLIC_URL": "https://me:hunter2@example.org"})

    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MODELD_PROT", "MODELD_PORT"),
        ("MODELD_port", "MODELD_PORT"),
        ("MODELD_MODELS", "MODELD_MODELS_DIR"),
        ("MODELD_STATE", "MODELD_STATE_FILE"),
        ("MODELD_TOKEN", "MODELD_ADMIN_TOKEN"),
        ("MODELD_ADMIN_TOKN", "MODELD_ADMIN_TOKEN"),
    ],
)
def test_an_unknown_name_is_refused_with_the_one_that_was_meant(
    tmp_path: Path, name: str, meant: str
) -> None:
    message = refusal(tmp_path, {name: "hunter2"})

    assert message == f"{name} (environment): no such setting; did you mean {meant}?"


@pytest.mark.parametrize("name", ["MODELD_", "MODELD_QQQQ", "MODELD_Q\nMODELD_PORT"])
def test_a_name_like_no_other_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    assert "no such setting" in refusal(tmp_path, {name: "1"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODELD_SERVICE_HOST", "10.0.0.1"),
        ("MODELD_SERVICE_PORT", "8000"),
        ("MODELD_SERVICE_PORT_HTTP", "8000"),
        ("MODELD_PORT", "tcp://10.0.0.1:8000"),
        ("MODELD_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ("MODELD_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("MODELD_WEB_SERVICE_HOST", "10.0.0.1"),
        ("MODELD_WEB_SERVICE_PORT_HTTP", "8000"),
        ("MODELD_WEB_PORT", "udp://10.0.0.1:8000"),
        ("MODELD_WEB_PORT_8000_TCP_PROTO", "tcp"),
        ("PORT", "1"),
        ("modeld_port", "1"),
    ],
)
def test_what_others_put_into_the_environment_is_ignored(
    tmp_path: Path, name: str, value: str
) -> None:
    assert load_settings({}, environ={name: value}, folder=tmp_path).port == 8000


def test_a_flag_is_named_as_it_is_typed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^MODELD_MODELS_DIR \(flag --models\): 'True' should "):
        load_settings({"models_dir": True}, environ={}, folder=tmp_path)


# .env


def test_a_dotenv_file_may_have_names_for_others_and_keeps_its_dollars(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# comment\nPORT=1\nnonsense here\n\n"
        f"export MODELD_HOST='::1' # why\nMODELD_ADMIN_TOKEN={TOKEN}$HOME${{HOME}}\n",
        encoding="utf-8-sig",
    )

    found = load_settings({}, environ={}, folder=tmp_path)

    assert (found.host, found.port) == ("::1", 8000)
    assert found.read_admin_token() == SecretStr(f"{TOKEN}$HOME${{HOME}}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("MODELD_PROT=1\n", "MODELD_PROT (.env): no such setting; did you mean MODELD_PORT?"),
        ("MODELD_PORT=tcp://x\n", "MODELD_PORT (.env): 'tcp://x' should be a whole number"),
        ("A=1\nMODELD_PORT 1\n", "line 2: should be NAME=value"),
        ("MODELD_ADMIN_TOKEN='unclosed\n", "line 1: should be NAME=value"),
        ("\udcff", "cannot be read: not UTF-8"),
    ],
)
def test_a_mistake_in_dotenv(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / ".env").write_bytes(content.encode(errors="surrogateescape"))

    with pytest.raises(ConfigError) as caught:
        load_settings({}, environ={}, folder=tmp_path)

    assert str(caught.value).endswith(message)


def test_a_folder_named_dotenv_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()

    assert load_settings({}, environ={}, folder=tmp_path).port == 8000


# JSON


@pytest.mark.parametrize("key", ["max_rows", "MAX_ROWS", "MODELD_MAX_ROWS"])
@pytest.mark.parametrize("value", [7, "7"])
def test_json_takes_names_and_values_in_each_form(tmp_path: Path, key: str, value: object) -> None:
    path = json_file(tmp_path, {key: value, "keep_warm": 1.5, "trust": None})

    found = load_settings({}, path, {}, tmp_path)

    assert (found.max_rows, found.keep_warm, found.trust) == (7, 1.5, "any")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"prot": 1}, "MODELD_PROT (modeld.json): no such setting; did you mean MODELD_PORT?"),
        ({"port": True}, "MODELD_PORT (modeld.json): 'True' should be a text or a number"),
        ({"port": [1]}, "MODELD_PORT (modeld.json): '[1]' should be a text or a number"),
        ({"admin_token": ["hunter2"]}, "MODELD_ADMIN_TOKEN (modeld.json): should be a text or a"),
        ('{"port": 1, "PORT": 2}', "'PORT' is given twice"),
        ('{"max_body": 1e999}', "MODELD_MAX_BODY (modeld.json): 'inf' should be a size"),
        ('{"port": 1', "line 1 column"),
        ("[]", "should be one JSON object of settings"),
        ("[" * 100_000, "recursion"),
        ("", "line 1 column 1"),
    ],
)
def test_a_mistake_in_json(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({}, json_file(tmp_path, content), {}, tmp_path)

    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_json_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.json: cannot be read: No such file"):
        load_settings({}, tmp_path / "none.json", {}, tmp_path)


# Tokens


@pytest.mark.parametrize("token", ["hunter2", "hunter2 " + "x" * 20, "hunter2" + "é" * 20])
def test_a_token_that_cannot_be_used_is_refused_and_never_shown(tmp_path: Path, token: str) -> None:
    message = refusal(tmp_path, {"MODELD_ADMIN_TOKEN": token})

    assert message.startswith("MODELD_ADMIN_TOKEN (environment): should have ")
    assert "hunter2" not in message


def test_no_way_of_printing_the_settings_shows_the_token(tmp_path: Path) -> None:
    found = settings(tmp_path, ADMIN_TOKEN=TOKEN)

    assert found.read_admin_token() == SecretStr(TOKEN)
    assert TOKEN not in f"{found} {found!r} {found.model_dump()} {found.model_dump_json()}"


def test_a_token_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")

    found = settings(tmp_path, ADMIN_TOKEN_FILE="token")

    assert found.read_admin_token() == SecretStr(TOKEN)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: No such file"), ("short\n", "should have at least 16"), ("", "16")],
)
def test_a_token_file_that_cannot_be_used_is_refused(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "hunter2").write_text(content)
    found = settings(tmp_path, ADMIN_TOKEN_FILE="hunter2")

    with pytest.raises(ConfigError, match=message) as caught:
        found.read_admin_token()

    assert str(caught.value).startswith("MODELD_ADMIN_TOKEN_FILE: ")
    assert "hunter2" not in str(caught.value), "somebody may have put the token there"


def test_a_token_and_a_token_file_exclude_each_other(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"MODELD_ADMIN_TOKEN": TOKEN, "MODELD_ADMIN_TOKEN_FILE": "x"})

    assert "excludes MODELD_ADMIN_TOKEN" in message


# Workers


def test_auto_starts_at_most_four_workers_and_a_number_is_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modeld.config.available_cpus", lambda: 64)

    assert settings(tmp_path).worker_count == 4
    assert settings(tmp_path, WORKERS="7").worker_count == 7


def test_an_address_to_notify_is_never_repeated(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"MODELD_NOTIFY_URL": "http://example.org/hunter2"})

    assert message.startswith("MODELD_NOTIFY_URL (environment): should be https://host/path")
    assert "hunter2" not in message
    found = settings(tmp_path, NOTIFY_URL="https://example.org/hunter2")
    assert "hunter2" not in repr(found)
    assert found.notify_urls == "https://example.org/hunter2"
