"""A commit is deployed into the folder that a server serves from, as CI does it over ssh."""

import fcntl
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deploys import Upstream
from tests.support.server import Server, add_example, cared_for, eventually, make_server
from tests.support.versions import write_code

APPLIED, FAILED, NO_SERVER, REFUSED, TIMED_OUT = 0, 1, 2, 3, 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with cared_for(make_server(tmp_path / "repository", versions=["v1"], is_light=True)) as server:
        yield server


@pytest.fixture
def upstream(server: Server, tmp_path: Path) -> Upstream:
    return Upstream(server, tmp_path)


def publish(upstream: Upstream) -> str:
    """Push a commit that brings v2 and makes it active."""
    add_example(upstream.clone / "models", "v2", is_light=True)
    upstream.git("add", "-A")
    return upstream.commit("active: v2\n")


def test_a_commit_is_deployed_and_applied(server: Server, upstream: Upstream) -> None:
    server.start().wait_until_live("v1")
    commit = publish(upstream)

    done = server.command("sync", commit)

    assert done.returncode == APPLIED, done.stderr
    assert done.stdout.startswith("Serving v2 since ")
    assert server.live() == "v2"
    assert server.git("rev-parse", "HEAD") == commit
    assert server.git("status", "--porcelain") == ""
    assert server.is_settled()


def test_a_branch_of_the_remote_will_do(server: Server, upstream: Upstream) -> None:
    server.start().wait_until_live("v1")
    commit = publish(upstream)

    assert server.command("sync", "main").returncode == APPLIED
    assert server.git("rev-parse", "HEAD") == commit


def test_a_commit_of_another_branch_is_fetched_by_its_hash(
    server: Server, upstream: Upstream
) -> None:
    server.start().wait_until_live("v1")
    upstream.git("checkout", "-q", "-b", "candidate")
    add_example(upstream.clone / "models", "v2", is_light=True)
    (upstream.clone / "state" / "active.yaml").write_text("active: v2\n")
    upstream.git("add", "-A")
    upstream.git("commit", "-qm", "Try v2")

    done = server.command("sync", upstream.push())

    assert done.returncode == APPLIED, done.stderr
    assert server.live() == "v2"


def test_what_a_commit_no_longer_has_is_deleted(server: Server, upstream: Upstream) -> None:
    server.start().wait_until_live("v1")
    publish(upstream)
    upstream.git("rm", "-qr", "models/v1")
    upstream.git("commit", "-qm", "Take v1 away")

    assert server.command("sync", upstream.push()).returncode == APPLIED
    assert not (server.models / "v1").exists()


def test_a_version_that_does_not_load_is_refused_with_its_reason(
    server: Server, upstream: Upstream
) -> None:
    server.expects_tracebacks = True  # the model's own
    server.start().wait_until_live("v1")
    version = upstream.clone / "models" / "v2"
    version.mkdir()
    write_code(version, "1 / 0")
    upstream.git("add", "-A")
    commit = upstream.commit("active: v2\n")

    done = server.command("sync", commit, "--timeout", "20")

    assert done.returncode == REFUSED, done.stdout
    assert "division by zero" in done.stdout
    assert server.live() == "v1"


def test_a_deploy_of_a_held_version_is_refused(server: Server, upstream: Upstream) -> None:
    server.start().wait_until_live("v1")
    commit = publish(upstream)
    server.command("sync", commit)
    server.admin("rollback", {"reason": "p99 4x"})

    done = server.command("sync", commit)

    assert done.returncode == REFUSED, done.stdout
    assert "modeld unhold v2" in server.status()["next"]
    assert server.live() == "v1"


def test_what_was_not_committed_is_kept(server: Server, upstream: Upstream) -> None:
    server.start().wait_until_live("v1")
    commit = publish(upstream)
    server.write_state("active: v1\nnote: mine\n")

    done = server.command("sync", commit)

    assert done.returncode == APPLIED, done.stderr
    assert "git stash apply refs/modeld/replaced" in done.stderr
    assert server.git("show", "refs/modeld/replaced:state/active.yaml").endswith("note: mine")


def test_a_commit_that_is_nowhere_changes_nothing(server: Server, upstream: Upstream) -> None:
    server.start().wait_until_live("v1")
    head = server.git("rev-parse", "HEAD")

    for name in ("0" * 40, "no-such-branch", "--upload-pack=x"):
        done = server.command("sync", name)
        assert done.returncode in (FAILED, 64), done.stdout
        assert done.stderr

    assert server.git("rev-parse", "HEAD") == head
    assert server.live() == "v1"


def test_a_remote_that_is_down_changes_nothing(server: Server, upstream: Upstream) -> None:
    server.start().wait_until_live("v1")
    commit = publish(upstream)
    upstream.bare.rename(upstream.bare.with_suffix(".gone"))

    done = server.command("sync", commit)

    assert (done.returncode, server.live()) == (FAILED, "v1")
    assert "is not deployed" in done.stderr


def test_without_a_server_the_folder_is_brought_there(server: Server, upstream: Upstream) -> None:
    commit = publish(upstream)

    done = server.command("sync", commit)

    assert done.returncode == NO_SERVER
    assert f"The folder is at {commit[:12]}" in done.stderr
    assert server.state.read_text() == "active: v2\n"


def test_a_lock_that_a_killed_git_left_is_named(server: Server, upstream: Upstream) -> None:
    commit = publish(upstream)
    (server.folder / ".git" / "index.lock").touch()

    done = server.command("sync", commit)

    assert done.returncode == FAILED
    assert "index.lock" in done.stderr
    assert server.state.read_text() == "active: v1\n"


def test_large_files_are_there_before_the_wish(server: Server, upstream: Upstream) -> None:
    if shutil.which("git-lfs") is None:
        pytest.skip("git-lfs is not installed")
    upstream.git("lfs", "install", "--local", "--skip-repo")
    (upstream.clone / ".gitattributes").write_text("*.onnx filter=lfs -text\n")
    server.start().wait_until_live("v1")
    commit = publish(upstream)
    assert upstream.git("show", f"{commit}:models/v2/model.onnx").startswith(
        "version https://git-l"
    )

    done = server.command("sync", commit, "--timeout", "20")

    assert done.returncode == APPLIED, f"{server.status()}"
    assert model_of(server.models).read_bytes() == model_of(upstream.clone / "models").read_bytes()


def model_of(models: Path) -> Path:
    return models / "v2" / "model.onnx"


# Interrupted

GIT_THAT_TELLS = """\
#!/bin/sh
"{git}" "$@"
code=$?
if grep -q v2 "{folder}/state/active.yaml"; then
    cmp -s "{folder}/models/v2/model.onnx" "{model}" || touch "{told}/too-early"
fi
count=$(ls "{told}" | grep -c step)
touch "{told}/step-$count"
if [ "$count" = "{fatal}" ]; then kill -9 $PPID; fi
exit $code
"""


def git_that_tells(upstream: Upstream, folder: Path, fatal: int) -> Path:
    """Put a git first that looks at the folder after each command, and kills after one."""
    folder.mkdir()
    (folder / "told").mkdir()
    script = folder / "git"
    script.write_text(
        GIT_THAT_TELLS.format(
            git=shutil.which("git"),
            folder=upstream.server.folder,
            model=model_of(upstream.clone / "models"),
            told=folder / "told",
            fatal=fatal,
        )
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder


def test_killed_after_any_step_the_wish_never_comes_first_and_the_next_deploy_mends_it(
    server: Server, upstream: Upstream, tmp_path: Path
) -> None:
    first = server.git("rev-parse", "HEAD")
    commit = publish(upstream)

    for fatal in range(100):
        folder = git_that_tells(upstream, tmp_path / f"kill-{fatal}", fatal)
        done = server.command("sync", commit, PATH=f"{folder}:{os.environ['PATH']}")
        told = {path.name for path in (folder / "told").iterdir()}
        assert "too-early" not in told
        if done.returncode == NO_SERVER:
            break
        assert done.returncode == -9
        assert server.command("sync", commit).returncode == NO_SERVER
        assert server.git("rev-parse", "HEAD") == commit
        assert server.git("status", "--porcelain") == ""
        server.git("reset", "-q", "--hard", first)
        server.git("update-ref", "-d", "refs/modeld/main")

    assert fatal > 5


def test_deploys_follow_one_another(server: Server, upstream: Upstream) -> None:
    server.start().wait_until_live("v1")
    commit = publish(upstream)
    lock = server.runtime / "deploy.lock"

    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        command = [sys.executable, "-m", "modeld", "sync", commit]
        with subprocess.Popen(command, cwd=server.folder, stderr=subprocess.DEVNULL) as waiting:
            eventually(lambda: is_waited_for(lock), "somebody waits for the lock")
            assert server.state.read_text() == "active: v1\n"
            fcntl.flock(file, fcntl.LOCK_UN)

            assert waiting.wait(30) == APPLIED


def is_waited_for(lock: Path) -> bool:
    inode = f":{lock.stat().st_ino} "
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and inode in line for line in lines)
