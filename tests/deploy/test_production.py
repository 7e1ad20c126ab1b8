"""What else docs/production.md says."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modeld.config import Settings
from tests.support.server import ROOT, Server, eventually

pytestmark = pytest.mark.light

GUIDE = (ROOT / "docs" / "production.md").read_text()


def test_every_setting_that_it_names_exists() -> None:
    names = {name.lower() for name in re.findall(r"MODELD_(\w+)", GUIDE)}

    assert len(names) > 5
    assert names <= set(Settings.model_fields)


def test_the_folders_are_those_of_the_service() -> None:
    unit = (ROOT / "deploy" / "systemd" / "modeld.service").read_text()

    for line in (
        "WorkingDirectory=/srv/models",
        "ExecStart=/opt/modeld/bin/modeld serve",
        "EnvironmentFile=-/etc/modeld.env",
        "Environment=MODELD_RUNTIME_DIR=/var/lib/modeld",
    ):
        assert f"{line}\n" in unit
        assert line.split("=")[-1].lstrip("-").split("/bin/")[0] in GUIDE


def test_a_backup_that_is_put_back_is_served_from(repository: Server, tmp_path: Path) -> None:
    (statement,) = re.findall(
        r'^sqlite3 /var/lib/modeld/modeld.sqlite "(.*)"$', GUIDE, re.MULTILINE
    )
    repository.start().wait_until_live("v1")
    repository.write_state("active: v2\n")
    repository.git("commit", "-qam", "Serve v2")
    repository.wait_until_live("v2")
    repository.admin("rollback", {"reason": "before the backup"})
    database, backup = repository.runtime / "modeld.sqlite", tmp_path / "modeld.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(statement.replace("/backup/modeld.sqlite", str(backup)))
    assert repository.stop() == 0
    for path in repository.runtime.glob("modeld.sqlite*"):
        path.unlink()

    backup.rename(database)
    repository.start().wait_until_live("v1")

    assert [hold["version"] for hold in repository.status()["holds"]] == ["v2"]
    entries = repository.get("/admin/history").json["entries"]
    assert "before the backup" in [entry["reason"] for entry in entries]
    assert repository.command("audit", "verify").returncode == 0


def test_a_log_that_is_emptied_is_written_on(repository: Server) -> None:
    """As logrotate does it with `copytruncate`; the tests open the log like `2>>`."""
    repository.start().wait_until_live("v1")
    assert repository.log.stat().st_size > 0

    repository.log.write_text("")
    repository.admin("set-active-version", {"version": "v2"})

    eventually(lambda: "version=v2" in repository.log.read_text(), "a line")
    assert "\0" not in repository.log.read_text()
