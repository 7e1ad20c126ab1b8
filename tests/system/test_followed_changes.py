"""Change what is live by a call, where a remote branch is what decides."""

from tests.support.followed import Followed
from tests.support.server import Server, eventually


def sync(server: Server) -> str:
    return str(server.status()["sync"]["status"])


def at_v2(serving: Followed) -> Server:
    serving.remote.publish("state/active.yaml", "active: v2\n")
    serving.server.wait_until_live("v2")
    return serving.server


def test_a_call_overrides_what_is_followed_and_touches_no_checkout(serving: Followed) -> None:
    server = at_v2(serving)
    before = serving.remote.head()

    answer = server.admin("rollback", {"reason": "slow", "actor": "ann"})

    assert (answer.json["active"], answer.json["written"]) == ("v1", False)
    current = server.runtime / "git" / "current" / "state" / "active.yaml"
    assert current.read_text() == "active: v2\n"
    assert (server.live(), sync(server)) == ("v1", "Overridden")
    assert serving.remote.objects().text("rev-parse", "main") == before


def test_the_same_version_in_another_commit_is_held(serving: Followed) -> None:
    server = at_v2(serving)
    server.admin("rollback", {"reason": "slow"})

    serving.remote.publish("state/active.yaml", "active: v2\nnote: again\n")

    eventually(lambda: sync(server) == "Held", "held")
    assert server.live() == "v1"


def test_a_trailer_lets_it_be_live_again(serving: Followed) -> None:
    server = at_v2(serving)
    server.admin("rollback", {"reason": "slow"})
    serving.remote.publish("state/active.yaml", "active: v2\nnote: again\n")
    eventually(lambda: sync(server) == "Held", "held")

    serving.remote.commit("It was the network\n\nUnhold: v2")
    serving.remote.push()

    server.wait_until_live("v2")
    assert server.status()["holds"] == []


def test_a_change_is_pushed_and_then_followed(followed: Followed) -> None:
    followed.start(GIT_COMMIT="push", GIT_INTERVAL="1h")
    followed.server.wait_until_live("v1")
    followed.remote.publish("state/active.yaml", "active: v2\n")
    followed.server.admin("sync", {})
    followed.server.wait_until_live("v2")

    answer = followed.server.admin("rollback", {"reason": "slow", "actor": "ann"})
    assert (answer.status, followed.server.live()) == (200, "v1")

    eventually(lambda: sync(followed.server) == "Synced", "pushed and followed")
    assert followed.remote.objects().text("log", "-1", "--format=%an %s", "main") == (
        "ann Roll back v2 to v1"
    )
    status = followed.server.status()
    assert status["override"] is None
    assert [hold["version"] for hold in status["holds"]] == ["v2"]
    assert followed.version() == "v1"


def test_a_fresh_runtime_folder_serves_the_newest_commit_that_loads(followed: Followed) -> None:
    server = followed.server
    followed.remote.write("models/v3/model.pkl", b"broken")
    followed.remote.publish("state/active.yaml", "active: v3\n")
    server.expects_tracebacks = True

    followed.start()

    server.wait_until_live("v1")
    assert "the newest commit that loads" in server.status()["summary"]


def test_a_command_has_the_server_look_at_the_remote_now(followed: Followed) -> None:
    server = followed.start(GIT_INTERVAL="1h")
    server.wait_until_live("v1")
    commit = followed.remote.publish("state/active.yaml", "active: v2\n")

    done = server.command("sync")

    assert (done.returncode, done.stdout) == (0, f"The commit {commit} is followed.\n")
    server.wait_until_live("v2")
    rewritten = followed.remote.rewrite("state/active.yaml", "active: v1\n")
    refused = server.command("sync")
    assert refused.returncode == 1
    assert rewritten[:10] in refused.stdout
    assert server.command("sync", "--force").returncode == 0
    server.wait_until_live("v1")
