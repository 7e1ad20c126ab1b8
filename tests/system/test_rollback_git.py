"""A rollback is a commit of the state file, made without a server and pushed to a real remote."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, cared_for, make_server


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Server]:
    """A repository that went from v1 to v2, with a bare remote."""
    with cared_for(make_server(tmp_path / "repository")) as server:
        server.git("init", "-q", "--bare", "-b", "main", str(tmp_path / "remote.git"))
        server.git("remote", "add", "origin", str(tmp_path / "remote.git"))
        server.write_state("# The live one\nactive: v2  # new\n")
        server.git("commit", "-qam", "Deploy v2")
        server.git("push", "-q", "-u", "origin", "main")
        yield server


def test_it_commits_what_was_live_before_and_pushes(deployed: Server) -> None:
    done = deployed.command("rollback", "--git", "--push", "--reason", "p99 4x")

    assert done.returncode == 0, done.stderr
    assert deployed.state.read_text() == "# The live one\nactive: v1  # new\n"
    message = deployed.git("log", "-n1", "--format=%B", "origin/main")
    assert message.startswith("Roll back v2 to v1\n\nReason: p99 4x\nActor: ")
    assert message.endswith("Modeld-Rollback: v2")
    assert deployed.git("ls-remote", "origin", "main").split()[0] == deployed.git(
        "rev-parse", "HEAD"
    )
    assert deployed.git("status", "--porcelain") == ""


def test_pressed_again_it_stays(deployed: Server) -> None:
    deployed.command("rollback", "--git")
    head = deployed.git("rev-parse", "HEAD")

    again = deployed.command("rollback", "--git")

    assert again.returncode == 1
    assert "no version to go back to" in again.stderr
    assert deployed.git("rev-parse", "HEAD") == head


def test_nothing_else_is_committed(deployed: Server) -> None:
    (deployed.folder / "notes.txt").write_text("mine\n")
    deployed.git("add", "notes.txt")

    assert deployed.command("rollback", "--git", "--to", "v1").returncode == 0

    assert deployed.git("show", "--name-only", "--format=", "HEAD") == "state/active.yaml"
    assert deployed.git("status", "--porcelain") == "A  notes.txt"


def test_what_is_not_committed_is_not_overwritten(deployed: Server) -> None:
    deployed.write_state("active: v2\nnote: mine\n")

    done = deployed.command("rollback", "--git")

    assert done.returncode == 1
    assert "not committed" in done.stderr
    assert deployed.state.read_text() == "active: v2\nnote: mine\n"


def test_a_push_that_is_refused_says_that_the_commit_is_here(deployed: Server) -> None:
    deployed.git("commit", "-q", "--allow-empty", "-m", "Theirs")
    deployed.git("push", "-q")
    deployed.git("reset", "-q", "--hard", "HEAD^")

    done = deployed.command("rollback", "--git", "--push")

    assert done.returncode == 1
    assert "is committed here, but not pushed" in done.stderr
    assert "active: v1" in deployed.state.read_text()
