"""The archive for a bug report, with secrets planted wherever somebody may have put one."""

import json
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from modeld.cli.bundle import secrets_of, shown_settings, without, write_bundle
from modeld.cli.checkup.server import Running
from modeld.config import Settings, load_settings

SECRETS = {
    "MODELD_HOOK_SECRET": "hook-secret-hunter2",
    "MODELD_NOTIFY_URL": "https://hooks.slack.com/services/hunter2/x, https://a:hunter2-b@x.org/y",
    "MODELD_GIT_URL": "https://me-hunter2:pass-hunter2@example.org/models.git",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    token = tmp_path / "token"
    token.write_text("token-in-a-file-hunter2\n")
    runtime = tmp_path / "run"
    runtime.mkdir()
    (runtime / "admin-token").write_text("made-token-hunter2\n")
    environ = {
        **SECRETS,
        "MODELD_ADMIN_TOKEN_FILE": str(token),
        "MODELD_RUNTIME_DIR": str(runtime),
    }
    return load_settings({}, environ=environ, folder=tmp_path)


def planted(settings: Settings) -> dict[str, Any]:
    """A document with every secret in it."""
    texts = [f"error at {secret}: no" for secret in secrets_of(settings)]
    return {"decisions": texts, "hook-secret-hunter2": {"deep": [{"token": texts[0]}]}}


def bundle(path: Path, settings: Settings) -> dict[str, str]:
    document = planted(settings)
    write_bundle(path, settings, Running(None, document, [document]), {"findings": [document]})
    with tarfile.open(path) as tar:
        return {
            Path(each.name).name: (tar.extractfile(each) or pytest.fail("no file")).read().decode()
            for each in tar.getmembers()
        }


def test_it_has_what_a_report_needs_and_no_secret(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "bug.tar.gz"

    found = bundle(path, settings)

    assert set(found) == {
        "doctor.json", "status.json", "decisions.json", "settings.json", "versions.json"
    }  # fmt: skip
    assert "hunter2" not in "".join(found.values())
    assert "aiohttp" in json.loads(found["versions.json"])["libraries"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_settings_say_of_a_secret_only_that_it_is_set(settings: Settings) -> None:
    shown = shown_settings(settings)

    assert shown["hook_secret"] == shown["notify_url"] == "[hidden]"
    assert shown["admin_token"] == ""
    assert shown["git_url"] == "https://example.org/models.git"
    assert shown["port"] == "8000"


def test_a_link_in_the_place_of_the_archive_is_replaced_and_not_followed(
    tmp_path: Path, settings: Settings
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    path = tmp_path / "bug.tar.gz"
    path.symlink_to(precious)

    bundle(path, settings)

    assert precious.read_text() == "mine"
    assert not path.is_symlink()


def test_an_archive_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(OSError, match="directory"):
        write_bundle(tmp_path / "folder", settings, Running(None, {}, []), {})

    assert not list(tmp_path.glob(".modeld-*"))


def test_numbers_and_what_is_nothing_stay_as_they_are() -> None:
    assert without({"a": [1, 2.5, None, True]}, ("secret",)) == {"a": [1, 2.5, None, True]}
