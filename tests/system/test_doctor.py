"""The doctor beside real servers: running, hanging, killed, behind a proxy."""

import json
import os
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.followed import Followed
from tests.support.server import Server, cared_for, make_server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("doctor") / "repository"
    with cared_for(make_server(folder, is_light=True)) as server:
        server.start()
        server.wait_until_live("v1")
        yield server


def findings(server: Server, **environment: str) -> dict[str, tuple[str, str]]:
    """The worst finding of each check, as its level and its message."""
    done = server.command("doctor", "--json", MODELD_PORT="0", **environment)
    order = ("ok", "warning", "problem")
    found: dict[str, tuple[str, str]] = {}
    for each in json.loads(done.stdout)["findings"]:
        before = found.get(each["check"], ("ok", ""))[0]
        if order.index(each["level"]) >= order.index(before):
            found[each["check"]] = (each["level"], each["message"])
    assert done.returncode == int("problem" in {level for level, _ in found.values()})
    return found


def test_all_is_well_beside_a_server_that_is_well(running: Server) -> None:
    found = findings(running)

    checks = {"python", "cpus", "port", "inotify", "disk", "clock", "runtime folder", "history",
              "server", "admin", "state file", "git", "files"}  # fmt: skip
    assert set(found) == checks
    assert found["server"][0] == found["admin"][0] == found["port"][0] == "ok"
    assert found["server"][1].startswith("Serving v1 since ")
    assert str(running.port) in found["port"][1]


def test_each_finding_is_a_line(running: Server) -> None:
    lines = running.command("doctor", MODELD_PORT="0").stdout.splitlines()

    assert all(line.startswith(("ok       ", "warning  ", "problem  ")) for line in lines)


def test_a_bundle_has_the_decisions_of_the_running_server(running: Server, tmp_path: Path) -> None:
    path = tmp_path / "bug.tar.gz"

    done = running.command("doctor", "--bundle", str(path), MODELD_PORT="0")

    assert "for a bug report" in done.stderr
    with tarfile.open(path) as tar:
        file = tar.extractfile("modeld-report/decisions.json")
        assert file is not None
        events = [each["event"] for each in json.load(file)]
    assert {"worker.started", "version.live", "state.applied"} <= set(events)


def test_a_bundle_that_cannot_be_written_is_one_line(running: Server) -> None:
    done = running.command("doctor", "--bundle", "/nowhere/bug.tar.gz")

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "cannot be written" in done.stderr


def test_a_proxy_that_closed_the_admin_api_is_a_problem(tmp_path: Path) -> None:
    with cared_for(make_server(tmp_path / "repository", is_light=True)) as server:
        server.start()
        server.wait_until_live("v1")
        assert server.get("/admin/status", Via="1.1 proxy").status == 403

        level, message = findings(server)["admin"]

        assert level == "problem"
        assert "proxy" in message


def test_a_followed_branch_is_looked_at_where_it_is_checked_out(serving: Followed) -> None:
    found = findings(serving.server, **serving.settings())

    assert found["files"] == ("ok", "those of v1 are there")
    assert "state file" not in found


@pytest.mark.light
def test_a_server_that_hangs_or_was_killed_is_told(server: Server) -> None:
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    hanging = findings(server)["server"]
    os.kill(server.process.pid, signal.SIGCONT)
    pid = server.process.pid
    server.kill()
    killed = findings(server)["server"]
    server.start()

    assert hanging == ("problem", f"process {pid} does not answer")
    assert killed == ("warning", f"process {pid} is gone")
