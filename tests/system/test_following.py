"""Follow a remote branch with a real server: what is pushed is served, and nothing else is."""

import contextlib
import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.support.followed import ROW, Followed
from tests.support.server import Answer, Server, eventually, is_alive

SECRET = "a-secret-of-twenty-or-so"
HOUR = "1h"


def sync(server: Server, **content: bool) -> Answer:
    return server.admin("sync", content)


# Following


def test_a_push_is_served_and_its_commit_is_in_the_status(serving: Followed) -> None:
    first = serving.remote.head()
    assert serving.git()["commit"] == first

    second = serving.remote.publish("state/active.yaml", "active: v2\n")

    serving.server.wait_until_live("v2")
    git = serving.git()
    assert (git["commit"], git["branch"], git["error"]) == (second, "main", None)
    assert git["url"] == str(serving.remote.bare)
    assert git["fetched_at"]
    assert serving.version() == "v2"
    assert serving.server.status()["desired"]["source"] == "git"
    assert re.search(f"follow.switched.*{second}", serving.server.log.read_text())


def test_a_commit_with_a_version_and_the_wish_for_it_is_served_at_once(serving: Followed) -> None:
    serving.remote.add_example("v2", "v3")
    commit = serving.remote.publish("state/active.yaml", "active: v3\n")

    answer = sync(serving.server)

    assert answer.status == 200
    assert answer.json["commit"] == commit
    assert answer.json["blob"] == serving.remote.git("rev-parse", "HEAD:state/active.yaml")
    serving.server.wait_until_live("v3")
    assert "VersionNotFound" not in serving.server.log.read_text()


def test_a_sync_says_where_it_came_from(followed: Followed) -> None:
    first = followed.remote.head()
    followed.start(GIT_INTERVAL=HOUR)
    followed.server.wait_until_live("v1")
    second = followed.remote.publish("state/active.yaml", "active: v2\n")

    answers = [sync(followed.server).json, sync(followed.server).json]

    assert [(answer["previous"], answer["commit"]) for answer in answers] == [
        (first, second),
        (second, second),
    ]
    followed.server.wait_until_live("v2")


@pytest.mark.parametrize(
    ("content", "code"), [({"force": "yes"}, "wrong_type"), ({"farce": True}, "unknown_field")]
)
def test_a_sync_with_another_body_is_refused(
    server: Server, content: dict[str, Any], code: str
) -> None:
    answer = server.admin("sync", content)

    assert (answer.status, answer.json["code"]) == (422, code)


def test_a_sync_of_a_folder_looks_at_its_file(server: Server) -> None:
    blob = server.write_state("active: v2\n")

    answer = sync(server)

    assert answer.json == {"commit": None, "previous": None, "blob": blob}
    server.wait_until_live("v2")
    assert server.status()["following"] is None


# What is refused


def test_a_rewritten_branch_is_refused_until_it_is_forced(serving: Followed) -> None:
    before = serving.remote.publish("note", "x\n")
    serving.wait_until_followed(before)
    after = serving.remote.rewrite("state/active.yaml", "active: v2\n")

    message = serving.error("GitDiverged")

    assert before[:12] in message
    assert after[:12] in message
    refused = sync(serving.server)
    assert (refused.status, refused.json["code"]) == (409, "git_diverged")
    assert (serving.git()["commit"], serving.version()) == (before, "v1")
    assert sync(serving.server, force=True).json["commit"] == after
    serving.server.wait_until_live("v2")
    assert serving.git()["error"] is None


def test_a_merge_conflict_in_the_wish_keeps_the_last_good_one(serving: Followed) -> None:
    text = "<<<<<<< HEAD\nactive: v2\n=======\nactive: v1\n>>>>>>> other\n"
    bad = serving.remote.publish("state/active.yaml", text)

    eventually(lambda: serving.server.status()["sync"]["status"] == "Invalid", "the refusal")

    assert (serving.git()["commit"], serving.version()) == (bad, "v1")
    serving.remote.publish("state/active.yaml", "active: v2\n")
    serving.server.wait_until_live("v2")
    eventually(lambda: serving.server.status()["sync"]["status"] == "Synced", "rest")


def test_a_branch_that_is_missing_is_said(serving: Followed) -> None:
    commit = serving.remote.head()
    serving.remote.objects().run("update-ref", "-d", "refs/heads/main")

    message = serving.error("GitDetached")

    assert "MODELD_GIT_BRANCH" in message
    assert (serving.git()["commit"], serving.version()) == (commit, "v1")
    serving.remote.objects().run("update-ref", "refs/heads/main", commit)
    eventually(lambda: serving.git()["error"] is None, "recovery")


def test_an_unsigned_commit_is_not_served(followed: Followed, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signers = tmp_path / "signers"
    signers.write_text(f"test@example.org {key.with_suffix('.pub').read_text()}")
    remote = followed.remote
    remote.git("config", "gpg.format", "ssh")
    remote.git("config", "user.signingKey", str(key))
    remote.commit("Signed", "-S")
    signed = remote.push()
    followed.start(GIT_VERIFY="signed", GIT_SIGNERS=str(signers))
    followed.server.wait_until_live("v1")

    unsigned = remote.publish("state/active.yaml", "active: v2\n")

    assert unsigned[:12] in followed.error("GitUnverified")
    assert (followed.git()["commit"], followed.version()) == (signed, "v1")
    remote.commit("Signed again", "-S")
    remote.push()
    followed.server.wait_until_live("v2")


def test_links_and_submodules_in_a_commit_are_not_followed(serving: Followed) -> None:
    remote = serving.remote
    (remote.work / "models" / "v3").symlink_to(serving.server.folder)
    remote.git("add", "-A")
    remote.git("update-index", "--add", "--cacheinfo", f"160000,{remote.head()},models/v4")
    remote.git("commit", "-qm", "Links")

    serving.wait_until_followed(remote.push())

    left_out = serving.git()["left_out"]
    assert [line.split(":")[0] for line in left_out] == ["models/v3", "models/v4"]
    versions = serving.server.get("/admin/versions").json["models"]["default"]["versions"]
    assert [version["version"] for version in versions] == ["v1", "v2"]


def test_a_commit_that_removes_the_live_version_keeps_it_serving_and_says_so(
    serving: Followed,
) -> None:
    serving.remote.git("rm", "-rq", "models/v1")
    serving.remote.commit("Remove what is live")

    serving.wait_until_followed(serving.remote.push())

    assert serving.version() == "v1"
    assert serving.git()["gone"] == ["default@v1"]
    eventually(lambda: "follow.gone" in serving.server.log.read_text(), "a line in the log")
    assert serving.version() == "v1"


# A remote that is not there


def test_a_start_without_the_remote_serves_what_was_followed(serving: Followed) -> None:
    commit = serving.remote.head()
    assert serving.server.stop() == 0
    serving.remote.bare.rename(serving.remote.bare.with_name("hidden"))

    serving.start()
    serving.server.wait_until_live("v1")

    serving.error("GitUnavailable")
    assert (serving.git()["commit"], serving.version()) == (commit, "v1")
    refused = sync(serving.server)
    assert (refused.status, refused.json["code"]) == (503, "git_unavailable")
    assert refused.headers["Retry-After"]


def test_a_first_start_without_the_remote_stays_alive_and_tries_again(followed: Followed) -> None:
    hidden = followed.remote.bare.rename(followed.remote.bare.with_name("hidden"))

    followed.start()

    followed.error("GitUnavailable")
    assert followed.server.get("/healthz").status == 200
    assert followed.server.get("/readyz").status == 503
    hidden.rename(followed.remote.bare)
    followed.server.wait_until_live("v1")
    eventually(lambda: followed.server.get("/readyz").status == 200, "readiness")


def test_predictions_do_not_notice_a_remote_that_hangs(serving: Followed) -> None:
    assert serving.server.stop() == 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        serving.start(GIT_URL=f"https://127.0.0.1:{port}/models.git")
        serving.server.wait_until_live("v1")
        connection, _ = listener.accept()  # Git waits for an answer from now on.

        answers = [serving.server.predict(ROW) for _ in range(50)]
        family = serving.server.family()
        began = time.monotonic()
        code = serving.server.stop()
        connection.close()

    assert {answer.status for answer in answers} == {200}
    assert code == 0
    assert time.monotonic() - began < 10
    eventually(lambda: not any(map(is_alive, family)), "git is gone too")


# Interruptions


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.2])
def test_a_server_that_was_killed_while_it_followed_starts_with_a_whole_commit(
    followed: Followed, seconds: float
) -> None:
    # Orphaned workers would wait as long for the answer to the call that is cut off.
    followed.start(GIT_INTERVAL=HOUR, DRAIN_TIMEOUT="1s")
    followed.server.wait_until_live("v1")
    followed.remote.write("models/v2/large.bin", os.urandom(5_000_000))
    second = followed.remote.publish("state/active.yaml", "active: v2\n")

    with ThreadPoolExecutor() as threads:
        asked = threads.submit(sync, followed.server)
        with contextlib.suppress(TimeoutError):
            asked.result(seconds)
        followed.server.kill()
        assert isinstance(asked.exception() or asked.result(), OSError | HTTPException | Answer)

    hidden = followed.remote.bare.rename(followed.remote.bare.with_name("hidden"))
    followed.start()
    commit = eventually(lambda: followed.git()["commit"], "a commit")
    followed.server.wait_until_live("v2" if commit == second else "v1")
    hidden.rename(followed.remote.bare)
    followed.wait_until_followed(second)
    followed.server.wait_until_live("v2")


# Git LFS


@pytest.fixture
def lfs(followed: Followed) -> Followed:
    """The remote, with v3 in Git LFS."""
    if shutil.which("git-lfs") is None:
        pytest.skip("git-lfs is not installed")
    remote = followed.remote
    remote.git("lfs", "install", "--local")
    remote.git("lfs", "track", "models/v3/*.pkl")
    remote.add_example("v2", "v3")
    remote.commit("A version in Git LFS")
    remote.push()
    assert "version https://git-lfs" in remote.git("show", "HEAD:models/v3/model.pkl")
    return followed


def test_a_version_in_git_lfs_is_served(lfs: Followed) -> None:
    lfs.start()
    lfs.server.wait_until_live("v1")

    lfs.remote.publish("state/active.yaml", "active: v3\n")

    lfs.server.wait_until_live("v3")
    assert lfs.version() == "v3"


def test_a_version_whose_large_file_arrives_later_is_served_then(lfs: Followed) -> None:
    hidden = (lfs.remote.bare / "lfs").rename(lfs.remote.bare / "hidden")
    lfs.start()
    lfs.server.wait_until_live("v1")
    lfs.remote.publish("state/active.yaml", "active: v3\n")

    eventually(lambda: lfs.server.status()["sync"]["reason"] == "LfsPointer", "the refusal")

    assert lfs.version() == "v1"
    assert lfs.git()["error"]["reason"] == "GitUnavailable"
    shutil.copytree(hidden, lfs.remote.bare / "lfs", dirs_exist_ok=True)
    lfs.server.wait_until_live("v3")


def test_without_git_lfs_the_version_is_refused_and_says_why(lfs: Followed, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("git", "git-upload-pack", "sh"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    lfs.server.start(PATH=str(programs), **lfs.settings())
    lfs.server.wait_until_live("v1")

    lfs.remote.publish("state/active.yaml", "active: v3\n")

    eventually(lambda: lfs.server.status()["sync"]["reason"] == "LfsPointer", "the refusal")
    assert lfs.version() == "v1"
    git = lfs.git()
    assert git["error"] is None
    assert git["left_out"] == ["models/v3/model.pkl: in Git LFS, and git-lfs is not installed here"]


# Pushes that are told


def push_told(server: Server, body: bytes, signature: str | None, event: str = "push") -> Answer:
    headers = {"Content-Type": "application/json", "X-GitHub-Event": event}
    if signature is not None:
        headers["X-Hub-Signature-256"] = signature
    return server.call("POST", "/hooks/push", body, headers)


def signed(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@pytest.mark.serial
def test_a_push_that_is_told_is_served_at_once(followed: Followed) -> None:
    followed.start(GIT_INTERVAL=HOUR, HOOK_SECRET=SECRET)
    followed.server.wait_until_live("v1")
    followed.remote.publish("state/active.yaml", "active: v2\n")
    body = json.dumps({"ref": "refs/heads/elsewhere", "after": "0" * 40}).encode()
    began = time.monotonic()

    answer = push_told(followed.server, body, signed(body))

    assert answer.status == 202
    followed.server.wait_until_live("v2")
    assert time.monotonic() - began < 2
    assert push_told(followed.server, b"{}", signed(b"{}"), "ping").status == 202


def test_a_push_without_the_right_signature_is_refused_and_nothing_is_fetched(
    followed: Followed,
) -> None:
    followed.start(GIT_INTERVAL=HOUR, HOOK_SECRET=SECRET)
    followed.server.wait_until_live("v1")
    fetched_at = followed.git()["fetched_at"]
    followed.remote.publish("state/active.yaml", "active: v2\n")
    body = b'{"ref": "refs/heads/main"}'
    wrong = [None, "", "sha256=", signed(body, "another-secret-of-twenty"), signed(b"{}")]
    wrong += [signed(body).upper(), signed(body)[7:], "sha1=" + "0" * 40, "sha256=\xe9"]

    answers = [push_told(followed.server, body, signature) for signature in wrong]

    assert {(answer.status, answer.json["code"]) for answer in answers} == {(401, "unauthorized")}
    # A call after them, and what it finds was not there before it.
    assert followed.git()["fetched_at"] == fetched_at
    assert sync(followed.server).json["previous"] != followed.remote.head()


def test_without_a_secret_there_is_no_such_route(serving: Followed) -> None:
    body = b"{}"

    assert push_told(serving.server, body, signed(body)).status == 404
    assert push_told(serving.server, body, signed(body, "")).status == 404


def test_a_push_to_a_folder_makes_it_look_at_its_file(repository: Server) -> None:
    repository.start(MODELD_HOOK_SECRET=SECRET)
    repository.wait_until_live("v1")

    assert push_told(repository, b"", signed(b"")).status == 202


# Settings


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"GIT_URL": ""}, "MODELD_GIT_URL is missing"),
        ({"GIT_URL": "ext::sh -c x"}, "MODELD_GIT_URL"),
        ({"GIT_URL": "--upload-pack=x"}, "MODELD_GIT_URL"),
        ({"GIT_URL": "-oProxyCommand=x:y"}, "MODELD_GIT_URL"),
        ({"GIT_URL": "http://user:hunter2@example.org/x"}, "MODELD_GIT_URL"),
        ({"GIT_LOCAL": "off"}, "MODELD_GIT_LOCAL"),
        ({"GIT_LOCAL": "off", "GIT_URL": "file:///srv/x.git"}, "MODELD_GIT_LOCAL"),
        ({"GIT_BRANCH": "a..b"}, "MODELD_GIT_BRANCH"),
        ({"GIT_VERIFY": "signed"}, "MODELD_GIT_SIGNERS is missing"),
        ({"GIT_VERIFY": "signed", "GIT_SIGNERS": "nowhere"}, "MODELD_GIT_SIGNERS"),
        ({"STATE_FILE": "/srv/active.yaml"}, "MODELD_STATE_FILE"),
        ({"MODELS_DIR": "../models"}, "MODELD_MODELS_DIR"),
        ({"STATE_FILE": ".git/config"}, "MODELD_STATE_FILE"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_start_with_one_line(
    followed: Followed, settings: dict[str, str], part: str
) -> None:
    done = followed.server.command("serve", "--port", "0", **followed.settings(**settings))

    assert done.returncode == 78
    assert part in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stderr


def test_a_password_in_the_address_is_shown_nowhere(followed: Followed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    followed.start(GIT_URL=f"https://user:hunter2@127.0.0.1:{port}/models.git")
    server = followed.server

    followed.error("GitUnavailable")

    seen = [json.dumps(server.status()), server.get("/metrics").body.decode()]
    seen += [
        sync(server).body.decode(),
        server.log.read_text(),
        server.get("/healthz").body.decode(),
    ]
    seen += [
        path.read_text(errors="replace") for path in server.runtime.rglob("*") if path.is_file()
    ]
    assert str(port) in seen[0]
    assert not [text for text in seen if "hunter2" in text]


def test_a_terminated_server_leaves_no_git_behind(serving: Followed) -> None:
    family = serving.server.family()
    assert serving.server.process is not None
    serving.server.process.send_signal(signal.SIGTERM)
    assert serving.server.process.wait(20) == 0
    serving.server.process = None

    eventually(lambda: not any(map(is_alive, family)), "all ended")
