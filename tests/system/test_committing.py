"""A change by a call becomes a commit, and reaches the remote, without disturbing anybody."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.deploys import Upstream
from tests.support.server import Server, eventually

pytestmark = pytest.mark.light


@pytest.fixture
def upstream(repository: Server, tmp_path: Path) -> Upstream:
    """A folder at v2 that is deployed from a remote; the test starts its server."""
    upstream = Upstream(repository, tmp_path)
    upstream.commit("active: v1\nnote: start\n")
    upstream.commit("active: v2\nnote: start\n")
    upstream.deploy()
    return upstream


def started(upstream: Upstream, mode: str) -> Server:
    """A server at v2 that has seen v1 before."""
    server = upstream.server
    text = server.state.read_text()
    server.state.write_text("active: v1\nnote: start\n")
    server.start(MODELD_GIT_COMMIT=mode)
    server.wait_until_live("v1")
    server.state.write_text(text)
    server.wait_until_live("v2")
    server.git("checkout", "-q", "--", "state/active.yaml")
    return server


def changes(server: Server) -> Any:
    return server.status()["git"]["changes"]


def wait_until(server: Server, state: str) -> Any:
    def look() -> Any:
        found = changes(server)
        return found if found["state"] == state and not found["pending"] else None

    return eventually(look, f"git is at {state}: {changes(server)}")


def roll_back(server: Server) -> Any:
    answer = server.admin("rollback", {"reason": "p99 4x", "actor": "on-call"})
    assert (answer.status, answer.json["active"]) == (200, "v1"), answer.body
    return answer.json


def test_by_default_nothing_is_committed(upstream: Upstream) -> None:
    server = started(upstream, "never")
    head = server.git("rev-parse", "HEAD")

    roll_back(server)

    status = server.status()
    assert (status["sync"]["status"], status["sync"]["reason"]) == ("OutOfSync", "Uncommitted")
    assert server.git("rev-parse", "HEAD") == head
    assert server.git("status", "--porcelain") == "M state/active.yaml"


def test_a_change_is_committed_with_who_and_why(upstream: Upstream) -> None:
    server = started(upstream, "commit")

    roll_back(server)
    wait_until(server, "Committed")

    assert server.git("log", "-1", "--format=%an|%cn|%s") == "on-call|modeld|Roll back v2 to v1"
    assert server.git("log", "-1", "--format=%(trailers:key=Reason,valueonly)") == "p99 4x"
    assert server.git("log", "-1", "--format=%(trailers:key=Modeld-Rollback,valueonly)") == "v2"
    assert server.git("show", "HEAD:state/active.yaml") == "active: v1\nnote: start"
    assert server.git("status", "--porcelain") == ""
    eventually(lambda: server.status()["sync"]["status"] == "Synced", "synced")
    assert [hold["version"] for hold in server.status()["holds"]] == ["v2"]


def test_what_people_have_staged_and_changed_stays_theirs(upstream: Upstream) -> None:
    server = started(upstream, "commit")
    (server.folder / "README.md").write_text("staged\n")
    server.git("add", "README.md")
    (server.folder / "README.md").write_text("changed further\n")
    (server.folder / "notes.txt").write_text("untracked\n")

    roll_back(server)
    wait_until(server, "Committed")

    assert server.git("diff", "--name-only", "HEAD~1", "HEAD") == "state/active.yaml"
    assert server.git("status", "--porcelain").splitlines() == ["AM README.md", "?? notes.txt"]
    assert server.git("show", ":README.md") == "staged"
    assert (server.folder / "README.md").read_text() == "changed further\n"


def test_a_commit_waits_for_a_git_command_that_is_at_work(upstream: Upstream) -> None:
    server = started(upstream, "commit")
    lock = server.folder / ".git" / "index.lock"
    lock.touch()

    roll_back(server)
    eventually(lambda: "index.lock" in changes(server)["message"], "it says what it waits for")
    assert lock.exists()
    lock.unlink()

    wait_until(server, "Committed")


def test_without_a_branch_the_change_stays_and_says_so(upstream: Upstream) -> None:
    server = started(upstream, "commit")
    server.git("checkout", "-q", "--detach")

    roll_back(server)
    wait_until(server, "GitDetached")

    assert server.live() == "v1"
    assert server.status()["next"] == "git switch BRANCH, or set MODELD_GIT_BRANCH"


def test_a_change_reaches_the_remote(upstream: Upstream) -> None:
    server = started(upstream, "push")

    roll_back(server)
    wait_until(server, "Pushed")

    assert upstream.at_remote("log", "-1", "--format=%an %s", upstream.branch) == (
        "on-call Roll back v2 to v1"
    )
    assert server.git("rev-parse", "HEAD") == upstream.at_remote("rev-parse", upstream.branch)
    assert server.git("status", "--porcelain") == ""


def test_a_fetch_of_theirs_is_not_disturbed(upstream: Upstream) -> None:
    # git lets a fetch fail whose refs somebody else moves meanwhile.
    server = started(upstream, "push")
    before = server.git("rev-parse", f"origin/{upstream.branch}")

    roll_back(server)
    wait_until(server, "Pushed")

    assert server.git("rev-parse", f"origin/{upstream.branch}") == before


def test_what_others_pushed_meanwhile_is_kept(upstream: Upstream) -> None:
    server = started(upstream, "push")
    (upstream.clone / "other.txt").write_text("theirs\n")
    upstream.git("add", "other.txt")
    upstream.git("commit", "-q", "-m", "Theirs")
    theirs = upstream.push()

    roll_back(server)
    wait_until(server, "Pushed")

    assert upstream.at_remote("rev-parse", f"{upstream.branch}~1") == theirs
    assert upstream.at_remote("show", f"{upstream.branch}:other.txt") == "theirs"


def test_where_others_changed_the_wish_too_theirs_stands_and_ours_is_pushed_aside(
    upstream: Upstream,
) -> None:
    server = started(upstream, "push")
    theirs = upstream.commit("active: v2\nnote: theirs\n")

    roll_back(server)
    found = wait_until(server, "Conflict")

    assert upstream.at_remote("rev-parse", upstream.branch) == theirs
    assert found["branch"].startswith("emergency/")
    assert upstream.at_remote("show", f"{found['branch']}:state/active.yaml") == (
        "active: v1\nnote: start"
    )
    assert server.live() == "v1"
    assert server.status()["sync"]["reason"] == "Conflict"
    assert [hold["version"] for hold in server.status()["holds"]] == ["v2"]


def test_a_branch_that_takes_no_push_gets_ours_beside_it(upstream: Upstream) -> None:
    hook = upstream.bare / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase "$1" in refs/heads/emergency/*) exit 0;; esac\nexit 1\n')
    hook.chmod(0o755)
    server = started(upstream, "push")

    roll_back(server)
    found = wait_until(server, "Conflict")

    assert upstream.at_remote("show", f"{found['branch']}:state/active.yaml").startswith(
        "active: v1"
    )


def test_a_remote_that_is_down_delays_git_alone_even_across_a_restart(upstream: Upstream) -> None:
    server = started(upstream, "push")
    away = upstream.bare.with_name("away.git")
    upstream.bare.rename(away)

    roll_back(server)
    eventually(lambda: changes(server)["message"], "it says why")
    assert changes(server)["pending"] == 1
    assert server.status()["sync"]["reason"] == "PendingPush"
    server.kill()
    server.start(MODELD_GIT_COMMIT="push")
    server.wait_until_live("v1")
    away.rename(upstream.bare)

    wait_until(server, "Pushed")
    assert upstream.at_remote("log", "-1", "--format=%s", upstream.branch) == "Roll back v2 to v1"


def test_several_changes_are_pushed_in_their_order(upstream: Upstream) -> None:
    server = started(upstream, "push")
    away = upstream.bare.with_name("away.git")
    upstream.bare.rename(away)
    roll_back(server)
    server.admin("set-active-version", {"version": "v2", "actor": "ann"})
    away.rename(upstream.bare)

    wait_until(server, "Pushed")

    log = upstream.at_remote("log", "-2", "--format=%s", upstream.branch)
    assert log.splitlines() == ["Set v1 to v2", "Roll back v2 to v1"]


def test_nothing_in_the_repository_runs(upstream: Upstream, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    server = upstream.server
    run = f"#!/bin/sh\ntouch {marker}\nexec cat\n"
    for name in ("pre-commit", "post-commit", "pre-push", "reference-transaction", "post-checkout"):
        hook = server.folder / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(run)
        hook.chmod(0o755)
    program = tmp_path / "program"
    program.write_text(run)
    program.chmod(0o755)
    for key in ("filter.x.clean", "filter.x.smudge", "core.fsmonitor", "diff.x.textconv"):
        server.git("config", key, str(program))
    (server.folder / ".git" / "info" / "attributes").write_text("* filter=x diff=x\n")
    server.start(MODELD_GIT_COMMIT="push")
    server.wait_until_live("v2")
    marker.unlink(missing_ok=True)

    server.admin("set-active-version", {"version": "v1", "hold": True})
    wait_until(server, "Pushed")
    server.get("/admin/status")

    assert not marker.exists()


def test_hostile_names_and_reasons_make_no_trailers(upstream: Upstream) -> None:
    server = started(upstream, "commit")
    reason = "x\nUnhold: v2\n\nActor: root"

    server.admin("rollback", {"reason": reason, "actor": "e <evil@x>\nActor: root"})
    wait_until(server, "Committed")

    assert server.git("log", "-1", "--format=%(trailers:key=Unhold,valueonly)") == ""
    assert server.git("log", "-1", "--format=%(trailers:key=Actor,valueonly)").count("\n") == 0
    assert "evil@x>" not in server.git("log", "-1", "--format=%an")


def test_a_repository_that_is_gone_costs_nothing_but_the_commit(upstream: Upstream) -> None:
    server = started(upstream, "commit")
    kept = server.folder / "kept"
    kept.mkdir()
    shutil.move(server.folder / ".git" / "HEAD", kept / "HEAD")

    assert roll_back(server)["active"] == "v1"

    assert server.live() == "v1"
    shutil.move(kept / "HEAD", server.folder / ".git" / "HEAD")
    kept.rmdir()
