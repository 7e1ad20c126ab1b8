"""A remote branch is followed, and nothing that it does can change what was followed before."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from modeld.errors import (
    GitDetached,
    GitDiverged,
    GitError,
    GitUnavailable,
    GitUnverified,
    GitUrlRefused,
)
from modeld.git.command import Git
from modeld.git.follower import Follower
from modeld.git.mirror import Mirror, Origin
from tests.git.conftest import Follow
from tests.support.remotes import Remote, run
from tests.support.server import ROOT, eventually

STATE = "current/state/active.yaml"


def state(follower: Follower) -> str:
    return (follower.checkouts.link / "state" / "active.yaml").read_text()


# Following


def test_a_fast_forward_is_followed(remote: Remote, follower: Follower) -> None:
    first = remote.head()
    second = remote.publish("state/active.yaml", "active: v2\n")

    done = follower.go()

    assert (done.previous, done.head.commit, done.head.branch) == (first, second, "main")
    assert follower.current == second
    assert state(follower) == "active: v2\n"


def test_a_round_without_news_changes_nothing(follower: Follower) -> None:
    inode = follower.checkouts.link.stat(follow_symlinks=False).st_ino

    done = follower.go()

    assert not done.has_moved
    assert follower.checkouts.link.stat(follow_symlinks=False).st_ino == inode


def test_a_named_branch_is_followed_and_not_one_whose_name_ends_alike(
    remote: Remote, follow: Follow
) -> None:
    remote.git("push", "-q", "origin", "HEAD:refs/heads/x/refs/heads/live")
    remote.git("push", "-q", "origin", "HEAD:live")
    live = remote.head()
    remote.publish("state/active.yaml", "active: v2\n")

    follower = follow(branch="live")

    assert follower.go().head.commit == live


def test_the_remotes_own_branch_may_be_given_another_name(
    remote: Remote, follower: Follower
) -> None:
    remote.objects().run("branch", "-m", "main", "trunk")

    assert follower.go().head.branch == "trunk"


def test_a_rewritten_branch_is_refused_with_both_ids(remote: Remote, follower: Follower) -> None:
    before = remote.publish("state/active.yaml", "active: v2\n")
    follower.go()
    after = remote.rewrite("state/active.yaml", "active: v3\n")

    with pytest.raises(GitDiverged) as caught:
        follower.go()

    assert before[:12] in str(caught.value)
    assert after[:12] in str(caught.value)
    assert (follower.current, state(follower)) == (before, "active: v2\n")


def test_a_branch_that_was_put_back_is_a_rewritten_one(remote: Remote, follower: Follower) -> None:
    first = remote.head()
    second = remote.publish("state/active.yaml", "active: v2\n")
    follower.go()
    remote.git("push", "-q", "--force", "origin", f"{first}:main")

    with pytest.raises(GitDiverged):
        follower.go()

    assert follower.current == second


def test_a_rewritten_branch_is_followed_by_force(remote: Remote, follower: Follower) -> None:
    remote.publish("state/active.yaml", "active: v2\n")
    follower.go()
    after = remote.rewrite("state/active.yaml", "active: v3\n")

    follower.go(force=True)

    assert (follower.current, state(follower)) == (after, "active: v3\n")
    assert not follower.go().has_moved


def test_a_remote_without_its_whole_history_is_followed(
    remote: Remote, tmp_path: Path, follow: Follow
) -> None:
    remote.publish("state/active.yaml", "active: v2\n")
    shallow = tmp_path / "shallow.git"
    run(tmp_path, "clone", "-q", "--bare", "--depth=1", f"file://{remote.bare}", str(shallow))
    follower = follow(url=str(shallow))
    follower.go()
    third = remote.publish("state/active.yaml", "active: v3\n")
    remote.git("push", "-q", str(shallow), "HEAD:main")

    follower.go()

    assert (follower.current, state(follower)) == (third, "active: v3\n")


def test_tags_are_not_fetched(remote: Remote, follower: Follower) -> None:
    remote.git("tag", "v1")
    remote.git("push", "-q", "origin", "v1")
    remote.publish("state/active.yaml", "active: v2\n")
    remote.git("tag", "-f", "v1")
    remote.git("push", "-q", "-f", "origin", "v1")

    follower.go()

    assert follower.mirror.git.text("for-each-ref", "--format=%(refname)") == "refs/modeld/fetched"


def test_a_missing_branch_is_said_and_changes_nothing(remote: Remote, follow: Follow) -> None:
    follower = follow(branch="live")

    with pytest.raises(GitDetached, match="no branch live"):
        follower.go()

    remote.git("push", "-q", "origin", "HEAD:live")
    assert follower.go().head.branch == "live"
    remote.git("push", "-q", "origin", ":live")
    with pytest.raises(GitDetached):
        follower.go()
    assert follower.current == remote.head()


def test_a_remote_whose_head_names_no_branch_is_said(remote: Remote, follow: Follow) -> None:
    remote.objects().run("symbolic-ref", "HEAD", "refs/heads/gone")

    with pytest.raises(GitDetached, match="MODELD_GIT_BRANCH"):
        follow().go()


def test_commit_dates_do_not_matter(remote: Remote, follower: Follower) -> None:
    remote.write("state/active.yaml", "active: v2\n")
    remote.commit("From the future", "--date=2099-01-01T00:00:00Z")
    remote.push()
    follower.go()
    remote.write("state/active.yaml", "active: v3\n")
    remote.commit("From the past", "--date=1999-01-01T00:00:00Z")

    remote.push()
    follower.go()

    assert state(follower) == "active: v3\n"


# A remote that is not there


def test_a_remote_that_is_gone_is_asked_again_later(
    remote: Remote, follower: Follower, tmp_path: Path
) -> None:
    followed = remote.head()
    hidden = remote.bare.rename(tmp_path / "hidden")

    with pytest.raises(GitUnavailable, match="does not appear to be a git repository"):
        follower.go()

    assert (follower.current, state(follower)) == (followed, "active: v1\n")
    hidden.rename(remote.bare)
    assert not follower.go().has_moved


@contextlib.contextmanager
def silent_listener() -> Iterator[int]:
    """Accept connections and never say a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_remote_that_never_answers_is_given_up(follow: Follow, tmp_path: Path) -> None:
    with silent_listener() as port:
        follower = follow(tmp_path / "other", url=f"https://127.0.0.1:{port}/x.git", seconds=1.0)
        began = time.monotonic()

        with pytest.raises(GitUnavailable, match="did not end within 1 s"):
            follower.go()

    assert time.monotonic() - began < 10


class AskingForPassword(BaseHTTPRequestHandler):
    """Answer every request by asking who is there."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_a_remote_that_asks_for_a_password_gets_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Http is refused by the rule of addresses, so that git itself is asked here."""
    monkeypatch.setattr("modeld.git.command._REMOTE", ("http",))
    monkeypatch.setattr("modeld.git.mirror.check_url", lambda *_, **__: None)
    with HTTPServer(("127.0.0.1", 0), AskingForPassword) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://user:hunter2@127.0.0.1:{server.server_port}/x.git"
        mirror = Mirror(tmp_path / "mirror.git", Origin(url, "main"))
        mirror.prepare()
        began = time.monotonic()

        with pytest.raises(GitUnavailable, match="Authentication failed") as caught:
            mirror.head()
        server.shutdown()

    assert time.monotonic() - began < 10
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in "".join(
        path.read_text(errors="replace") for path in mirror.folder.rglob("*") if path.is_file()
    )


def test_a_round_that_is_under_way_ends_when_modeld_stops(follow: Follow, tmp_path: Path) -> None:
    with silent_listener() as port:
        follower = follow(tmp_path / "other", url=f"https://127.0.0.1:{port}/x.git")
        threading.Timer(0.5, follower.stop).start()
        began = time.monotonic()

        with pytest.raises(GitUnavailable):
            follower.go()

    assert time.monotonic() - began < 10


def test_a_local_remote_of_another_user_is_followed(
    remote: Remote, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (remote.bare, *remote.bare.rglob("*")):
        os.chown(path, 12345, 12345)
    follower = follow()

    with monkeypatch.context() as patch:
        patch.setattr("modeld.git.mirror._for_any_owner", lambda: "git upload-pack")
        with pytest.raises(GitUnavailable, match="dubious ownership"):
            follower.go()

    assert follower.go().head.commit == remote.head()


def test_a_mirror_of_another_user_is_used(remote: Remote, follower: Follower) -> None:
    folder = follower.mirror.folder
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 12345, 12345)
    plain = subprocess.run(
        ["git", "-C", str(folder), "rev-parse"], capture_output=True, text=True, check=False
    )
    assert "dubious ownership" in plain.stderr

    second = remote.publish("state/active.yaml", "active: v2\n")

    assert follower.go().head.commit == second


def test_a_remote_is_reached_by_the_users_own_ssh(
    remote: Remote, follow: Follow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the place of ssh stands a program that runs here what the other side should."""
    ssh = tmp_path / "ssh"
    ssh.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nfor last; do :; done\neval "$last"\n'
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    follower = follow(url=f"git@example.org:{remote.bare}", allows_local=False)

    assert follower.go().head.commit == remote.head()

    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.partition("git@")[2] for line in asked] == [
        f"example.org git-upload-pack '{remote.bare}'"
    ] * 2


@pytest.mark.parametrize("url", ["ext::sh -c x", "--upload-pack=x", "../relative.git"])
def test_addresses_that_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(GitUrlRefused):
        Mirror(tmp_path / "mirror.git", Origin(url, allows_local=True))


# Programs that a repository names


def test_nothing_that_a_repository_names_is_run(
    remote: Remote, follow: Follow, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $0 >> {marker}\nexit 1\n")
    program.chmod(0o755)
    remote.write(".gitattributes", "* filter=evil diff=evil merge=evil\n")
    remote.write("models/.gitattributes", "* filter=evil diff=evil export-subst\n")
    remote.write(".lfsconfig", f"[lfs]\n\turl = file://{tmp_path}/evil\n")
    remote.write(".gitmodules", f'[submodule "m"]\n\tpath = m\n\turl = ext::{program}\n')
    second = remote.publish("state/active.yaml", "active: v2\n")
    follower = follow()
    follower.mirror.prepare()
    for folder in (remote.bare, follower.mirror.folder):
        plant(folder, program)

    follower.go()

    assert follower.current == second
    assert state(follower) == "active: v2\n"
    assert not marker.exists(), marker.read_text()
    # The trap works: whoever is less careful walks into it.
    with contextlib.suppress(subprocess.CalledProcessError):
        remote.publish("state/active.yaml", "active: v3\n")
    assert marker.exists()


def plant(folder: Path, program: Path) -> None:
    """Name a program wherever git could be told to run one."""
    for key in (
        *("core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.gitProxy"),
        *("core.askPass", "credential.helper", "gpg.program", "gpg.ssh.program"),
        *("filter.evil.smudge", "filter.evil.clean", "filter.evil.process", "diff.evil.textconv"),
        *("diff.evil.command", "diff.external", "merge.evil.driver", "uploadpack.packObjectsHook"),
        *("core.alternateRefsCommand", "remote.origin.uploadpack", "lfs.customtransfer.x.path"),
    ):
        run(folder, "config", key, str(program))
    run(folder, "config", "core.hooksPath", str(folder / "hooks"))
    (folder / "hooks").mkdir(exist_ok=True)
    for name in (
        *("post-merge", "post-checkout", "pre-auto-gc", "reference-transaction", "post-update"),
        *("post-index-change", "fsmonitor-watchman", "proc-receive"),
    ):
        (folder / "hooks" / name).unlink(missing_ok=True)
        (folder / "hooks" / name).symlink_to(program)
    (folder / "info").mkdir(exist_ok=True)
    (folder / "info" / "attributes").write_text("* filter=evil diff=evil\n")


# Signatures


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "key")


def make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def signers(folder: Path, key: Path) -> Path:
    path = folder / "signers"
    path.write_text(f"test@example.org {key.with_suffix('.pub').read_text()}")
    return path


def sign(remote: Remote, key: Path, text: str) -> str:
    remote.write("state/active.yaml", text)
    remote.git("config", "gpg.format", "ssh")
    remote.git("config", "user.signingKey", str(key))
    remote.commit("Signed", "-S")
    return remote.push()


def test_an_unsigned_commit_is_refused_where_signatures_are_asked_for(
    remote: Remote, follow: Follow, key: Path, tmp_path: Path
) -> None:
    follower = follow(signers=signers(tmp_path, key))
    signed = sign(remote, key, "active: v2\n")
    follower.go()
    remote.publish("state/active.yaml", "active: v3\n")

    with pytest.raises(GitUnverified, match=remote.head()[:12]):
        follower.go()

    assert (follower.current, state(follower)) == (signed, "active: v2\n")
    again = sign(remote, key, "active: v4\n")
    assert follower.go().head.commit == again


def test_a_commit_signed_by_a_stranger_is_refused_even_by_force(
    remote: Remote, follow: Follow, key: Path, tmp_path: Path
) -> None:
    follower = follow(signers=signers(tmp_path, key))
    sign(remote, make_key(tmp_path / "stranger"), "active: v2\n")

    with pytest.raises(GitUnverified):
        follower.go(force=True)

    assert follower.current is None


# Interruptions


def test_what_an_interrupted_fetch_left_is_deleted(remote: Remote, follower: Follower) -> None:
    folder = follower.mirror.folder
    left = [
        *(folder / "objects" / "pack" / "tmp_pack_x", folder / "objects" / "tmp_obj_x"),
        *(folder / "refs" / "modeld" / "fetched.lock", folder / "packed-refs.lock"),
    ]
    for path in left:
        path.write_text("")
        os.utime(path, (0, 0))
    (folder / "refs" / "modeld" / "fetched").write_text("")
    second = remote.publish("state/active.yaml", "active: v2\n")

    follower.go()

    assert follower.current == second
    assert not [path for path in left if path.exists()]


def test_a_broken_object_changes_nothing(remote: Remote, follower: Follower) -> None:
    first = remote.head()
    remote.publish("models/v2/model.pkl", os.urandom(5000))
    blob = remote.git("rev-parse", "HEAD:models/v2/model.pkl")
    stored = remote.bare / "objects" / blob[:2] / blob[2:]
    stored.chmod(0o644)
    whole = stored.read_bytes()
    stored.write_bytes(whole[:100] + bytes(100) + whole[200:])

    with pytest.raises(GitError):
        follower.go()

    assert follower.current == first
    stored.write_bytes(whole)
    assert follower.go().head.commit == remote.head()


def test_a_mirror_that_was_deleted_is_fetched_again(remote: Remote, follower: Follower) -> None:
    followed = remote.head()
    follower.mirror.folder.rename(follower.mirror.folder.with_name("elsewhere"))

    assert not follower.go().has_moved

    assert follower.mirror.has(followed)


def test_a_mirror_does_not_fill_with_small_packs(
    remote: Remote, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modeld.git.mirror._MOST_PACKS", 5)
    for number in range(12):
        remote.publish("state/active.yaml", f"active: v{number}\n")
        follower.go()

    assert len(list(follower.mirror.folder.glob("objects/pack/*.pack"))) <= 6
    assert follower.mirror.git.text("rev-list", "--count", remote.head()) == "13"


ROUNDS = """
import sys
from pathlib import Path, PurePosixPath
from modeld.git.follower import Follower
from modeld.git.mirror import Origin
from modeld.git.tree import Wanted

wanted = Wanted(PurePosixPath("state/active.yaml"), PurePosixPath("models"))
follower = Follower(Path(sys.argv[1]), Origin(sys.argv[2], allows_local=True), wanted)
print("ready", flush=True)
follower.go()
"""
KILLS = 25


def test_a_kill_at_any_moment_leaves_a_whole_commit(
    remote: Remote, follow: Follow, tmp_path: Path
) -> None:
    """Each commit has files of its own and others that stay; the link must name a whole one."""
    folder, follower = tmp_path / "git", follow()
    chance = random.Random(1)  # noqa: S311  # the same on every run
    contents = {"state/active.yaml": b"active: v1\n", "models/v1/model.pkl": b"one" * 1000}
    commits = {remote.head(): dict(contents)}
    half_written = 0
    for number in range(KILLS):
        contents |= {f"models/v1/{n}.bin": bytes([number, n]) * 100_000 for n in range(20)}
        contents[f"models/n{number}/model.pkl"] = chance.randbytes(100_000)
        for path, content in contents.items():
            remote.write(path, content)
        remote.commit(f"Commit {number}")
        commits[remote.push()] = dict(contents)

        # In turn: somewhere on the way, or once a folder is being written.
        if number % 2:
            kill_in_the_middle(folder, remote, chance.uniform(0.0, 0.2))
        else:
            kill_in_the_middle(folder, remote, chance.uniform(0.0, 0.03), after_writing=True)

        check_whole(folder, commits)
        half_written += len(list(folder.glob("checkouts/.new-*")))
        eventually(lambda: goes(follower), "a round, once no git of the killed one is left")
        assert follower.current == remote.head()
        check_whole(folder, commits)
        assert not list(folder.rglob(".new-*"))
    assert half_written > KILLS // 5  # The kills came when they hurt.


def goes(follower: Follower) -> bool:
    with contextlib.suppress(GitUnavailable):
        follower.go()
        return True
    return False


def kill_in_the_middle(
    folder: Path, remote: Remote, seconds: float, *, after_writing: bool = False
) -> None:
    """Go a round in another process, and kill it after a while."""
    before = set(folder.glob("checkouts/*"))
    process = subprocess.Popen(
        [sys.executable, "-c", ROUNDS, str(folder), str(remote.bare)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "daemon")},
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        if after_writing:
            eventually(lambda: set(folder.glob("checkouts/*")) - before, "a new folder")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.send_signal(signal.SIGKILL)


def check_whole(folder: Path, commits: dict[str, dict[str, bytes]]) -> None:
    """The link names a commit whose files are all there, and no others; or nothing yet."""
    current = folder / "current"
    if not current.exists():
        assert not current.is_symlink()
        return
    wanted = commits[current.readlink().name]
    assert {
        str(path.relative_to(current)): path.read_bytes()
        for path in current.rglob("*")
        if path.is_file()
    } == wanted


def test_the_followed_folder_names_the_wanted_part_alone(follower: Follower) -> None:
    assert sorted(path.name for path in follower.checkouts.link.iterdir()) == ["models", "state"]


def test_git_that_was_stopped_runs_nothing_more(tmp_path: Path) -> None:
    git = Git(tmp_path)
    git.stop()

    with pytest.raises(GitUnavailable):
        git.run("version")
