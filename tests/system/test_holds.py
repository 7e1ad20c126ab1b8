"""A version that was rolled back does not come back unless somebody says so."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.deploys import Upstream
from tests.support.server import Server, add_example, eventually

pytestmark = pytest.mark.light

ROW = {"features": [6.3, 2.8, 5.1, 1.5]}


@pytest.fixture
def upstream(server: Server, tmp_path: Path) -> Upstream:
    """A running server at v1 whose folder is deployed from a remote."""
    return Upstream(server, tmp_path)


def at_v2(upstream: Upstream) -> Upstream:
    upstream.commit("active: v2\n")
    upstream.deploy()
    upstream.server.wait_until_live("v2")
    return upstream


def rolled_back(upstream: Upstream) -> Server:
    """v2 was deployed and rolled back by a call."""
    server = at_v2(upstream).server
    answer = server.admin("rollback", {"reason": "p99 4x", "actor": "on-call"})
    assert (answer.status, answer.json["active"]) == (200, "v1")
    return server


def sync(server: Server) -> str:
    return str(server.status()["sync"]["status"])


def wait_until_held(server: Server) -> None:
    eventually(lambda: sync(server) == "Held", "held")


def holds(server: Server) -> list[str]:
    return [hold["version"] for hold in server.status()["holds"]]


# Going back leaves a hold


def test_a_switch_that_is_still_being_written_down_can_be_taken_back(
    repository: Server, tmp_path: Path
) -> None:
    """The commit of a change is looked up before it is written down, and git may be slow."""
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "git").write_text(f'#!/bin/sh\nsleep 0.5\nexec {shutil.which("git")} "$@"\n')
    (slow / "git").chmod(0o755)
    repository.start(PATH=f"{slow}:{os.environ['PATH']}").wait_until_live("v1")
    repository.write_state("active: v2\n")
    eventually(lambda: repository.predict(ROW).json["model_version"] == "v2", "v2 answers")

    answer = repository.admin("rollback", {"reason": "p99 4x"})

    assert answer.json["active"] == "v1", answer.body


def test_the_next_deploy_does_not_bring_back_what_was_rolled_back(upstream: Upstream) -> None:
    server = rolled_back(upstream)

    upstream.deploy()
    wait_until_held(server)

    assert server.state.read_text() == "active: v2\n"
    assert server.predict(ROW).json["model_version"] == "v1"
    status = server.status()
    assert status["summary"].endswith(
        "state/active.yaml asks for v2, which was rolled back by on-call (p99 4x)."
    )
    assert status["next"] == "modeld unhold v2"
    assert status["health"]["status"] == "Healthy"


def test_the_answer_of_a_rollback_carries_the_hold(upstream: Upstream) -> None:
    at_v2(upstream)

    hold = upstream.server.admin("rollback", {"reason": "slow", "actor": "ann"}).json["hold"]

    assert (hold["version"], hold["wanted"], hold["reason"]) == ("v2", "v1", "slow")
    assert hold["release"] == "modeld unhold v2"


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_hold_outlives_a_restart(upstream: Upstream, how: str) -> None:
    server = rolled_back(upstream)
    upstream.deploy()
    wait_until_held(server)

    getattr(server, how)()
    server.start()
    server.wait_until_live("v1")

    wait_until_held(server)
    assert server.predict(ROW).json["model_version"] == "v1"


def test_git_clean_loses_no_hold(upstream: Upstream) -> None:
    server = rolled_back(upstream)

    server.git("clean", "-ffdxq")
    upstream.deploy()

    wait_until_held(server)
    assert holds(server) == ["v2"]


def test_waiting_for_a_held_commit_ends_with_the_reason(upstream: Upstream) -> None:
    server = rolled_back(upstream)
    upstream.deploy()

    done = server.command("wait", "--timeout", "20")

    assert done.returncode == 3
    assert "rolled back by on-call" in done.stdout


# The ways out


def test_unhold_lets_the_file_be_applied(upstream: Upstream) -> None:
    server = rolled_back(upstream)
    upstream.deploy()
    wait_until_held(server)
    assert "v2: rolled back to v1 by on-call (p99 4x)" in server.command("holds").stdout

    done = server.command("unhold", "v2")

    assert (done.returncode, done.stdout) == (0, "v2 may be live again.\n")
    server.wait_until_live("v2")
    assert holds(server) == []


def test_unhold_of_what_is_not_held_says_so(server: Server) -> None:
    done = server.command("unhold", "v2")

    assert (done.returncode, done.stdout) == (1, "v2 is not held\n")


def test_a_commit_may_say_that_a_version_is_let_free(upstream: Upstream) -> None:
    server = rolled_back(upstream)
    upstream.deploy()
    wait_until_held(server)

    upstream.git("commit", "-q", "--allow-empty", "-m", "It was the network\n\nUnhold: v2")
    upstream.push()
    upstream.deploy()

    server.wait_until_live("v2")
    assert holds(server) == []


def test_a_call_that_names_the_version_releases_it(upstream: Upstream) -> None:
    server = rolled_back(upstream)

    assert server.admin("set-active-version", {"version": "v2"}).status == 200

    assert (server.live(), holds(server)) == ("v2", [])


def test_a_persons_own_edit_releases_the_version(upstream: Upstream) -> None:
    server = rolled_back(upstream)

    server.write_state("active: v2\n")

    server.wait_until_live("v2")
    assert holds(server) == []


def test_a_commit_of_another_version_releases_the_hold(upstream: Upstream) -> None:
    server = rolled_back(upstream)
    server.add_version("v3", server.models / "v1")

    upstream.commit("active: v3\n")
    upstream.deploy()

    server.wait_until_live("v3")
    eventually(lambda: holds(server) == [], "released")


def test_a_revert_in_git_agrees_and_releases_the_hold(upstream: Upstream) -> None:
    server = rolled_back(upstream)
    upstream.deploy()
    wait_until_held(server)

    upstream.git("revert", "--no-edit", "HEAD")
    upstream.push()
    upstream.deploy()

    eventually(lambda: holds(server) == [] and sync(server) == "Synced", "released")
    assert server.live() == "v1"


# What leaves none, and what stands in nobody's way


def test_a_promotion_by_a_call_can_be_reverted_by_git(upstream: Upstream) -> None:
    at_v2(upstream)
    server = upstream.server
    server.add_version("v3", server.models / "v1")
    answer = server.admin("set-active-version", {"version": "v3", "reason": "better"})
    assert answer.json["hold"] is None

    server.git("checkout", "-q", "--", "state/active.yaml")

    server.wait_until_live("v2")
    assert holds(server) == []


def test_a_new_version_without_git_is_no_step_back(repository: Server) -> None:
    shutil.rmtree(repository.folder / ".git")
    repository.runtime = repository.folder / "var"
    repository.start().wait_until_live("v1")

    assert "held" not in repository.command("set", "v2", "--reason", "better recall").stdout
    assert holds(repository) == []

    answer = repository.admin("rollback", {"reason": "v2 is bad"})
    assert (answer.json["active"], answer.json["hold"]["version"]) == ("v1", "v2")


def test_a_new_version_of_a_model_that_was_never_committed_is_no_step_back(
    server: Server,
) -> None:
    for name in ("v1", "v2"):
        add_example(server.models / "churn", name, is_light=True)
    server.admin("set-active-version", {"model": "churn", "version": "v1"})

    content = {"model": "churn", "version": "v2", "reason": "better recall"}
    assert server.admin("set-active-version", content).json["hold"] is None

    answer = server.admin("set-active-version", content | {"version": "v1", "reason": "slow"})
    assert answer.json["hold"]["version"] == "v2"


def test_back_and_forth_by_calls_leaves_nothing_that_a_revert_meets(upstream: Upstream) -> None:
    server = rolled_back(upstream)
    server.admin("set-active-version", {"version": "v2"})

    upstream.git("revert", "--no-edit", "HEAD")
    upstream.push()
    upstream.deploy()

    server.wait_until_live("v1")
    assert holds(server) == []


def test_a_rollback_that_is_pressed_twice_stays_where_it_was(upstream: Upstream) -> None:
    server = rolled_back(upstream)

    answer = server.admin("rollback", {"reason": "again"})

    assert (answer.json["active"], answer.json["unchanged"]) == ("v1", True)
    assert holds(server) == ["v2"]


@pytest.mark.parametrize("is_running", [True, False])
def test_a_rollback_that_meets_only_held_versions_says_so_and_fails(
    server: Server, is_running: bool
) -> None:
    server.admin("set-active-version", {"version": "v2", "reason": "better", "hold": True})
    if not is_running:
        server.stop()

    done = server.command("rollback", "--reason", "v2 is bad")

    assert done.returncode == 1
    assert (
        "v1 was live before v2 and is held; to let it be live again: modeld unhold v1"
        in done.stdout + done.stderr
    )
    assert server.state.read_text() == "active: v2\n"


def test_after_unhold_a_rollback_goes_there(server: Server) -> None:
    server.admin("set-active-version", {"version": "v2", "reason": "better", "hold": True})
    server.command("unhold", "v1")

    done = server.command("rollback", "--reason", "v2 is bad")

    assert (done.returncode, server.live()) == (0, "v1")


@pytest.mark.parametrize(("asked", "held"), [(False, []), (True, ["v2"])])
def test_a_call_may_insist_on_a_hold_or_on_none(
    upstream: Upstream, asked: bool, held: list[str]
) -> None:
    at_v2(upstream)

    upstream.server.admin("set-active-version", {"version": "v1", "hold": asked})

    assert holds(upstream.server) == held


def test_a_refused_change_leaves_no_hold(upstream: Upstream) -> None:
    server = at_v2(upstream).server

    answer = server.admin("rollback", {"to": "v1", "reason": "x"}, **{"If-Match": '"abc"'})

    assert answer.status == 412
    assert holds(server) == []


def test_a_rollback_without_a_server_leaves_a_hold_too(upstream: Upstream) -> None:
    server = at_v2(upstream).server
    server.stop()

    server.command("rollback", "--reason", "slow")
    server.start()
    server.wait_until_live("v1")
    upstream.deploy()

    wait_until_held(server)
    assert holds(server) == ["v2"]


def test_a_hold_does_not_keep_out_the_only_version_that_loads(upstream: Upstream) -> None:
    server = rolled_back(upstream)
    upstream.deploy()
    wait_until_held(server)
    server.stop()
    server.expects_tracebacks = True
    (server.models / "v1" / "model.pkl").write_bytes(b"broken")

    server.start()

    server.wait_until_live("v2")
    assert server.predict(ROW).json["model_version"] == "v2"


# Where the file cannot be written


def through_a_link(repository: Server) -> Server:
    """Mount the state as Kubernetes mounts a ConfigMap."""
    mounted = repository.folder / "mounted"
    (mounted / "..1").mkdir(parents=True)
    (mounted / "..1" / "active.yaml").write_text("active: v2\n")
    (mounted / "..data").symlink_to("..1")
    repository.state.unlink()
    repository.state.symlink_to(mounted / "..data" / "active.yaml")
    repository.start()
    repository.wait_until_live("v2")
    return repository


def flip(server: Server, text: str) -> None:
    mounted = server.folder / "mounted"
    number = len(list(mounted.iterdir()))
    (mounted / f"..{number}").mkdir()
    (mounted / f"..{number}" / "active.yaml").write_text(text)
    (mounted / "..new").symlink_to(f"..{number}")
    (mounted / "..new").replace(mounted / "..data")


def test_a_file_that_cannot_be_written_is_overridden(repository: Server) -> None:
    server = through_a_link(repository)

    answer = server.admin("set-active-version", {"version": "v1", "reason": "slow"})

    assert (answer.status, answer.json["written"]) == (200, False)
    assert "link" in answer.json["why_not_written"]
    assert server.state.read_text() == "active: v2\n"
    assert (server.live(), sync(server)) == ("v1", "Overridden")


def test_waiting_for_a_text_that_is_overridden_ends_with_the_reason(repository: Server) -> None:
    server = through_a_link(repository)
    server.admin("set-active-version", {"version": "v1"})

    done = server.command("wait", "--timeout", "20")

    assert done.returncode == 3
    assert "could not be written" in done.stdout


def test_an_override_outlives_a_restart(repository: Server) -> None:
    server = through_a_link(repository)
    server.admin("set-active-version", {"version": "v1"})

    server.kill()
    server.start()

    server.wait_until_live("v1")
    assert sync(server) == "Overridden"


def test_a_file_that_changes_ends_an_override(repository: Server) -> None:
    server = through_a_link(repository)
    server.admin("set-active-version", {"version": "v1"})
    server.add_version("v3", server.models / "v2")

    flip(server, "active: v3\n")

    server.wait_until_live("v3")
    assert server.status()["override"] is None


def test_a_call_back_to_what_the_file_says_ends_an_override(repository: Server) -> None:
    server = through_a_link(repository)
    server.admin("set-active-version", {"version": "v1"})

    answer = server.admin("set-active-version", {"version": "v2"})

    assert (answer.status, answer.json["written"]) == (200, True)
    assert server.status()["override"] is None


def test_an_overridden_rollback_is_not_undone_by_a_flip_to_the_same_version(
    repository: Server,
) -> None:
    server = through_a_link(repository)
    server.admin("set-active-version", {"version": "v1", "hold": True})

    flip(server, "active: v2\nnote: again\n")
    wait_until_held(server)

    assert server.live() == "v1"


def test_unhold_ends_an_override(repository: Server) -> None:
    server = through_a_link(repository)
    server.admin("set-active-version", {"version": "v1"})

    assert server.command("unhold", "v2").returncode == 0

    server.wait_until_live("v2")
    assert server.status()["override"] is None


def test_a_runtime_folder_that_cannot_be_written_refuses(repository: Server) -> None:
    server = through_a_link(repository)
    # Another writer holds the database for longer than anybody waits for it.
    with closing(sqlite3.connect(server.runtime / "modeld.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = server.admin("set-active-version", {"version": "v1"})
        other.rollback()

    assert (answer.status, answer.json["code"]) == (503, "runtime_unwritable")
    assert server.live() == "v2"


# Several models

CHURN = "active: v1\nmodels: {{churn: {{active: {}}}}}\n"


def test_a_hold_is_one_models_alone(repository: Server, tmp_path: Path) -> None:
    for name in ("c1", "c2", "v1"):
        add_example(repository.models / "churn", name, is_light=True)
    repository.git("add", "-A")
    repository.git("commit", "-qm", "A second model")
    upstream = Upstream(repository, tmp_path)
    repository.start().wait_until_live("v1")
    for name in ("c1", "c2"):
        upstream.commit(CHURN.format(name))
        upstream.deploy()
        wait_until_churn_is(repository, name)

    answer = repository.admin("rollback", {"model": "churn", "reason": "p99 4x"})

    assert (answer.json["active"], answer.json["hold"]["model"]) == ("c1", "churn")
    upstream.deploy()
    wait_until_held(repository)
    assert (live_of_churn(repository), repository.live()) == ("c1", "v1")
    status = repository.status()
    assert "c2" in status["summary"]
    assert "--model churn" in status["next"]
    released = repository.command("unhold", "c2", "--model", "churn")
    assert released.returncode == 0, released.stderr
    wait_until_churn_is(repository, "c2")


def dropped_and_deployed_again(upstream: Upstream) -> Server:
    """A commit dropped the default model, and the next one asks for its held version."""
    server = rolled_back(upstream)
    add_example(server.models / "churn", "v1", is_light=True)
    upstream.commit("models: {churn: {active: v1}}\n")
    upstream.deploy()
    eventually(lambda: server.live() is None, "the default model dropped")
    assert holds(server) == ["v2"]
    upstream.commit("active: v2\nmodels: {churn: {active: v1}}\n")
    return server


def test_a_model_that_serves_nothing_gets_what_was_wanted_for_what_is_held(
    upstream: Upstream,
) -> None:
    server = dropped_and_deployed_again(upstream)

    upstream.deploy()

    wait_until_held(server)
    assert (server.live(), live_of_churn(server)) == ("v1", "v1")
    assert server.predict(ROW).json["model_version"] == "v1"
    server.command("unhold", "v2")
    server.wait_until_live("v2")


def test_a_model_that_serves_nothing_gets_the_held_version_where_no_other_loads(
    upstream: Upstream,
) -> None:
    server = dropped_and_deployed_again(upstream)
    upstream.git("rm", "-rq", "models/v1")
    upstream.git("commit", "-qm", "Let go of v1")
    upstream.push()

    upstream.deploy()

    server.wait_until_live("v2")
    assert server.predict(ROW).json["model_version"] == "v2"


def wait_until_churn_is(server: Server, version: str) -> None:
    eventually(lambda: live_of_churn(server) == version, f"{version} live")


def live_of_churn(server: Server) -> str | None:
    models = server.status()["models"]
    found: str | None = models.get("churn", {}).get("active")
    return found
