"""`modeld demo` on a real server: something to see, and everything as it was afterwards."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.followed import Followed
from tests.support.server import Server, add_example, cared_for, make_server
from tests.support.terminals import Terminal
from tests.support.versions import write_model, write_regression

pytestmark = pytest.mark.light


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Server]:
    """A light server with v1 and v2, that is not started."""
    with cared_for(make_server(tmp_path / "repository", is_light=True)) as server:
        yield server


@dataclass(frozen=True)
class Found:
    """What a demo must leave as it was."""

    live: str | None
    holds: Any
    override: Any
    text: bytes

    @classmethod
    def on(cls, server: Server) -> "Found":
        status = server.status()
        holds, override = status["holds"], status["override"]
        text = server.state.read_bytes() if server.state.exists() else b""
        return cls(server.live(), holds, override, text)


def by_demo(server: Server) -> list[tuple[str, str]]:
    """The switches that the history says a demo made, oldest first."""
    entries = server.get("/admin/history").json["entries"]
    made = [entry for entry in reversed(entries) if entry["reason"] == "modeld demo"]
    return [(entry["trigger"], entry["version"]) for entry in made]


def figures(printed: str) -> dict[str, int]:
    """Read the counts of the summary."""
    rows = re.findall(
        r"^(requests|failed|answers)\s+(\d+)(?: by (\w+))?\s*$", printed, re.MULTILINE
    )
    return {version or name: int(count) for name, count, version in rows}


def test_a_short_demo_switches_and_rolls_back_and_loses_no_request(repository: Server) -> None:
    repository.write_state('# ours\nactive: "v1"  # since spring\n')
    repository.git("commit", "-qam", "With a comment")
    repository.start().wait_until_live("v1")
    before = Found.on(repository)

    done = repository.command("demo", "--seconds", "10", "--rate", "40")

    assert done.returncode == 0, done.stderr
    assert "Switched to v2" in done.stdout
    assert "Rolled back to v1" in done.stdout
    assert f"http://127.0.0.1:{repository.port}/ui" in done.stdout
    found = figures(done.stdout)
    assert found["failed"] == 0
    assert 350 < found["requests"] < 450
    assert found["requests"] == found["v1"] + found["v2"]
    assert found["v2"] > 80
    assert by_demo(repository) == [("admin", "v2"), ("rollback", "v1")]
    assert Found.on(repository) == before
    assert repository.git("status", "--porcelain") == ""


def test_ctrl_c_in_the_middle_puts_the_server_back(repository: Server) -> None:
    repository.start().wait_until_live("v1")
    before = Found.on(repository)
    terminal = Terminal(repository.folder, "demo", "--seconds", "15")
    terminal.read_until(lambda text: "Switched to v2" in text, "the switch")
    assert repository.live() == "v2"

    terminal.interrupt()

    assert terminal.end() == 130
    assert Found.on(repository) == before
    assert "Traceback" not in terminal.written
    assert "answers" in terminal.written.split("Ended from outside.")[1]


def test_ctrl_c_before_the_switch_leaves_it_out(repository: Server) -> None:
    repository.start().wait_until_live("v1")
    public = "https://models.example.org"
    terminal = Terminal(repository.folder, "demo", MODELD_PUBLIC_URL=public)
    terminal.read_until(lambda text: "v1 answers." in text, "the first line")

    terminal.interrupt()

    assert terminal.end() == 130
    assert by_demo(repository) == []
    assert f"{public}/ui" in terminal.written


def test_a_switch_by_somebody_else_meanwhile_is_left_alone(repository: Server) -> None:
    add_example(repository.models, "v3", is_light=True)
    repository.start().wait_until_live("v1")
    terminal = Terminal(repository.folder, "demo", "--seconds", "10")
    terminal.read_until(lambda text: "Switched to v3" in text, "the switch")

    repository.write_state("active: v2\n")
    repository.wait_until_live("v2")

    assert terminal.end() == 1
    assert "expected v3 to be live, found v2" in terminal.written
    assert repository.live() == "v2"


def test_what_cannot_be_written_is_put_back_too(serving: Followed) -> None:
    server = serving.server
    before = Found.on(server)

    done = server.command("demo", "--seconds", "10", MODELD_SOURCE="git")

    assert done.returncode == 0, done.stdout + done.stderr
    assert by_demo(server) == [("admin", "v2"), ("rollback", "v1")]
    assert Found.on(server) == before
    assert server.status()["sync"]["status"] == "Synced"


# What a demo is refused for


def refused(server: Server, code: int = 1, *arguments: str) -> str:
    """Have a demo refused; gives the one line that says why."""
    before = server.state.read_bytes()
    done = server.command("demo", "--seconds", "10", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert server.state.read_bytes() == before
    (line,) = done.stderr.splitlines()
    return line


def test_a_demo_needs_a_server(repository: Server) -> None:
    assert "no server runs here" in refused(repository, 2)


def test_a_demo_needs_a_second_version(tmp_path: Path) -> None:
    with cared_for(make_server(tmp_path / "one", ["v1"], is_light=True)) as server:
        server.start().wait_until_live("v1")

        assert "there is none beside v1" in refused(server)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("refusing") / "repository"
    with cared_for(make_server(folder, is_light=True)) as server:
        server.start().wait_until_live("v1")
        yield server


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("active: v9\n", "a demo needs a server that is at rest. Serving v1"),
        ("active: v1\nfreeze: true\n", "at rest"),
        ("active: [", "at rest"),
    ],
)
def test_a_server_that_is_not_at_rest_is_left_alone(running: Server, text: str, why: str) -> None:
    running.write_state(text)
    assert running.get("/admin/wait?timeout=5&blob=" + running.blob()).status in (200, 409, 504)

    assert why in refused(running)

    running.write_state("active: v1\n")
    running.wait_until_live("v1")


def test_a_held_version_is_not_released_for_a_demo(running: Server) -> None:
    running.admin("set-active-version", {"version": "v2"})
    running.admin("rollback", {"reason": "wrong"})

    assert "there is none that is not held beside v1" in refused(running)

    running.call("DELETE", "/admin/holds/v2")


def test_a_model_that_is_not_there_is_named(running: Server) -> None:
    assert "there is no model churn; there are: default" in refused(running, 1, "--model", "churn")


def test_a_demo_makes_no_commits(repository: Server) -> None:
    repository.start(MODELD_GIT_COMMIT="commit").wait_until_live("v1")

    assert "MODELD_GIT_COMMIT=commit" in refused(repository)


def test_versions_that_take_other_rows_are_no_pair(repository: Server) -> None:
    write_regression(repository.models / "v3")
    repository.write_state("active: v3\n")
    repository.start().wait_until_live("v3")

    assert "no other version answers the rows of v3" in refused(repository)


def test_a_model_whose_rows_nobody_knows_is_named(repository: Server) -> None:
    repository.expects_tracebacks = True
    write_model(repository.models / "v3", "lambda self, rows: rows[:, 3]")
    repository.write_state("active: v3\n")
    repository.start().wait_until_live("v3")

    assert "no row is known that v3 answers" in refused(repository)
