"""The whole story: deploy, trouble, an emergency at night, the next deploy, the morning after."""

from pathlib import Path

import pytest

from tests.support.deploys import Upstream
from tests.support.server import Server, eventually

ROW = {"features": [6.3, 2.8, 5.1, 1.5]}


@pytest.fixture
def upstream(repository: Server, tmp_path: Path) -> Upstream:
    upstream = Upstream(repository, tmp_path)
    repository.start(MODELD_GIT_COMMIT="push")
    repository.wait_until_live("v1")
    return upstream


def answers_with(server: Server) -> str:
    return str(server.predict(ROW).json["model_version"])


def deploy_v2(upstream: Upstream) -> str:
    """A person pushes v2; CI's commands verify and deploy it, and wait."""
    bad = upstream.commit("active: v2\n", "Serve v2")
    in_ci = Server(upstream.clone)
    verified = in_ci.command("verify", "--static", "--against", "HEAD~1")
    assert verified.returncode == 0, verified.stdout
    assert verified.stdout.endswith("default: v1 -> v2\n")
    deployed = upstream.server.command("sync", bad)
    assert deployed.returncode == 0, deployed.stderr
    assert answers_with(upstream.server) == "v2"
    return bad


def test_a_bad_version_is_rolled_back_at_night_and_stays_away(upstream: Upstream) -> None:
    server = upstream.server

    bad = deploy_v2(upstream)

    # v2 turns bad, the remote is out of reach, and somebody goes back.
    away = upstream.bare.with_name("away.git")
    upstream.bare.rename(away)
    answer = server.admin("rollback", {"reason": "p99 4x", "actor": "on-call"})
    assert (answer.json["active"], answer.json["hold"]["version"]) == ("v1", "v2")
    assert answers_with(server) == "v1"

    # A deploy of what git still says does not bring v2 back.
    server.git("reset", "-q", "--hard", bad)
    eventually(lambda: server.status()["sync"]["status"] == "Held", "held")
    assert server.command("wait", "--timeout", "30").returncode == 3
    assert answers_with(server) == "v1"

    # The remote is back, and has the emergency's commit soon.
    away.rename(upstream.bare)
    eventually(
        lambda: (
            upstream.at_remote("log", "-1", "--format=%an: %s", upstream.branch)
            == "on-call: Roll back v2 to v1"
        ),
        "the emergency's commit at the remote",
    )
    upstream.deploy()
    eventually(lambda: server.status()["sync"]["status"] == "Synced", "synced")
    assert [hold["version"] for hold in server.status()["holds"]] == ["v2"]

    # In the morning a person reverts what brought v2, which settles it.
    upstream.git("pull", "-q", "--ff-only")
    (upstream.clone / "notes.md").write_text("v2 was slow on long rows\n")
    upstream.git("add", "notes.md")
    upstream.git("commit", "-q", "-m", "Keep v1; v2 was slow")
    upstream.push()
    upstream.deploy()
    eventually(lambda: server.status()["holds"] == [], "the hold is closed")
    assert answers_with(server) == "v1"

    check_history(server)


def check_history(server: Server) -> None:
    """History tells it in order, and is whole."""
    told = server.get("/admin/history").json["entries"]
    lived = [(e["version"], e["trigger"], e["actor"], e["reason"]) for e in told if e["number"]]
    assert [entry[0] for entry in reversed(lived)][:3] == ["v1", "v2", "v1"]
    assert ("v1", "rollback", "on-call", "p99 4x") in lived
    assert server.command("audit", "verify").returncode == 0
