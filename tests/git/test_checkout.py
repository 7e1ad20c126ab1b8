"""Commits are written whole, by us alone, and nothing in them leads out of their folder."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest

from modeld.errors import GitError, GitUnavailable
from modeld.git.checkout import KEPT_SECONDS
from modeld.git.follower import Follower
from modeld.git.tree import Wanted, is_safe
from tests.git.conftest import Follow
from tests.support.remotes import Remote
from tests.support.server import ROOT

LARGE = os.urandom(300_000)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def commit_tree(remote: Remote, lines: Mapping[str, tuple[str, str]]) -> str:
    """Push a commit with a tree of our own making: name to mode and object."""
    kinds = {"040000": "tree", "160000": "commit"}
    text = "".join(
        f"{mode} {kinds.get(mode, 'blob')} {name}\t{path}\0" for path, (mode, name) in lines.items()
    )
    git = remote.objects()
    tree = git.text("mktree", "-z", "--missing", given=text.encode())
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    commit = git.text(*who, "commit-tree", tree, "-p", "main", "-m", "By hand")
    git.run("update-ref", "refs/heads/main", commit)
    return commit


def blob(remote: Remote, content: bytes) -> str:
    return remote.objects().text("hash-object", "-w", "--stdin", given=content)


# What is written


def test_the_state_and_the_models_are_written_read_only(remote: Remote, follower: Follower) -> None:
    remote.write("models/v2/run.sh", "exit\n").chmod(0o755)
    remote.publish("models/v2/model.pkl", LARGE)

    follower.go()

    folder = follower.checkouts.link
    assert sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    ) == [
        "models/v1/model.pkl",
        "models/v2/model.pkl",
        "models/v2/run.sh",
        "state/active.yaml",
    ]
    assert (folder / "models/v2/model.pkl").read_bytes() == LARGE
    assert mode(folder / "models/v2/model.pkl") == 0o444
    assert mode(folder / "models/v2/run.sh") == 0o555


def test_a_model_that_did_not_change_shares_its_file(remote: Remote, follower: Follower) -> None:
    remote.write("models/v1/model.pkl", LARGE)
    remote.publish("models/v1/other.pkl", LARGE)
    follower.go()
    before = follower.checkouts.link.resolve() / "models" / "v1"
    remote.publish("models/v1/other.pkl", LARGE[1:])

    follower.go()

    after = follower.checkouts.link.resolve() / "models" / "v1"
    assert after != before
    assert (after / "model.pkl").samefile(before / "model.pkl")
    assert not (after / "other.pkl").samefile(before / "other.pkl")
    assert (before / "other.pkl").read_bytes() == LARGE
    assert (after / "other.pkl").read_bytes() == LARGE[1:]


def test_a_file_that_became_executable_shares_nothing(remote: Remote, follower: Follower) -> None:
    path = remote.write("models/v1/run.sh", LARGE)
    remote.commit()
    remote.push()
    follower.go()
    path.chmod(0o755)
    remote.commit()
    remote.push()

    follower.go()

    assert mode(follower.checkouts.link / "models/v1/run.sh") == 0o555


def test_a_checkout_that_was_deleted_is_written_again(remote: Remote, follower: Follower) -> None:
    shutil.rmtree(follower.checkouts.link.resolve())

    follower.go()

    assert (follower.checkouts.link / "state/active.yaml").read_text() == "active: v1\n"


def test_names_are_bytes(remote: Remote, follower: Follower) -> None:
    name = os.fsdecode(b"models/v1/\xff\n\t.pkl")
    commit_bytes = b"strange"
    (remote.work / name).write_bytes(commit_bytes)
    remote.commit()
    remote.push()

    follower.go()

    assert (follower.checkouts.link / name).read_bytes() == commit_bytes


# What is left out


def test_links_and_submodules_are_left_out_and_said(remote: Remote, follower: Follower) -> None:
    link = remote.work / "models" / "v2"
    link.symlink_to("/etc")
    (remote.work / "models" / "v1" / "link.pkl").symlink_to("model.pkl")
    head = remote.head()
    remote.git("add", "-A")
    remote.git("update-index", "--add", "--cacheinfo", f"160000,{head},models/v3")
    remote.git("commit", "-qm", "Links")
    remote.push()

    done = follower.go()

    assert {one.path: one.why.split(",")[0] for one in done.left_out} == {
        "models/v2": "a symbolic link",
        "models/v1/link.pkl": "a symbolic link",
        "models/v3": "a submodule",
    }
    models = follower.checkouts.link / "models"
    assert [path.name for path in models.iterdir()] == ["v1"]
    assert [path.name for path in (models / "v1").iterdir()] == ["model.pkl"]


def test_a_state_file_that_is_a_link_is_left_out(remote: Remote, follower: Follower) -> None:
    (remote.work / "state" / "active.yaml").unlink()
    (remote.work / "state" / "active.yaml").symlink_to("/etc/passwd")
    remote.commit()
    remote.push()

    done = follower.go()

    assert [one.path for one in done.left_out] == ["state/active.yaml"]
    assert not (follower.checkouts.link / "state" / "active.yaml").exists()


BAD_NAMES = [
    *(
        ".git",
        ".GIT",
        ".Git",
        "git~1",
        "GIT~1",
        ".git ",
        ".git.",
        ".git. .",
        ".git::$INDEX_ALLOCATION",
    ),
    *(".g\u200cit", "\ufeff.git", ".gi\u200dt", "a\\.git", ".git\\hooks", "..", "."),
]


@pytest.mark.parametrize("name", [*BAD_NAMES, "", "x" * 256])
def test_names_that_may_be_a_repository_or_lead_out(name: str) -> None:
    assert not is_safe(name)


@pytest.mark.parametrize(
    "name", [".gitattributes", "git", "v1.git", "...", "git~", "a:b", "é", ".gitx"]
)
def test_names_that_are_harmless(name: str) -> None:
    assert is_safe(name)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_folder_with_such_a_name_is_left_out(
    remote: Remote, follower: Follower, name: str
) -> None:
    hook = blob(remote, b"#!/bin/sh\n")
    git = remote.objects()
    inner = git.text("mktree", given=f"100755 blob {hook}\tconfig\n".encode())
    models = git.text("mktree", "-z", given=f"040000 tree {inner}\t{name}\0".encode())
    commit_tree(remote, {"models": ("040000", models)})

    done = follower.go()

    assert [one.why for one in done.left_out] == ["a name that no file may have"]
    assert not [path for path in follower.checkouts.link.rglob("*") if path.is_file()]


def test_names_that_are_one_on_this_file_system_do_not_stop_a_checkout(
    remote: Remote, follower: Follower
) -> None:
    """Git makes no such tree, and takes it all the same."""
    one, two = blob(remote, b"one"), blob(remote, b"two")
    entries = b"".join(b"100644 model.pkl\0" + bytes.fromhex(name) for name in (one, two))
    git = remote.objects()
    version = git.text("hash-object", "-t", "tree", "-w", "--literally", "--stdin", given=entries)
    models = git.text("mktree", given=f"040000 tree {version}\tv1\n".encode())
    commit_tree(remote, {"models": ("040000", models)})

    done = follower.go()

    assert [one.path for one in done.left_out] == ["models/v1/model.pkl"]
    assert (follower.checkouts.link / "models/v1/model.pkl").read_bytes() == b"one"


# Failures


def fetch_loose(follower: Follower) -> None:
    """Fetch the branch, and keep each object in a file of its own."""
    follower.mirror.fetch("main")
    for pack in follower.mirror.folder.glob("objects/pack/*.pack"):
        content = pack.read_bytes()
        for part in pack.parent.glob(f"{pack.stem}.*"):
            part.unlink()
        follower.mirror.git.run("unpack-objects", "-q", given=content)


def test_a_missing_object_changes_nothing(remote: Remote, follower: Follower) -> None:
    first = remote.head()
    remote.publish("models/v2/model.pkl", LARGE)
    fetch_loose(follower)
    for path in (follower.mirror.folder / "objects").glob("??/*"):
        if path.stat().st_size > 100_000:
            path.unlink()

    with pytest.raises(GitError):
        follower.go()

    assert follower.current == first
    assert not list(follower.checkouts.link.parent.rglob(".new-*"))


def test_a_broken_object_in_the_mirror_is_not_written(remote: Remote, follower: Follower) -> None:
    """Same length, other bytes: only the hash can tell."""
    first = remote.head()
    remote.publish("models/v2/model.pkl", b"x" * 2000)
    fetch_loose(follower)
    name = remote.git("rev-parse", "HEAD:models/v2/model.pkl")
    stored = follower.mirror.folder / "objects" / name[:2] / name[2:]
    other = remote.objects().text("hash-object", "-w", "--stdin", given=b"y" * 2000)
    stored.unlink()
    shutil.copyfile(remote.bare / "objects" / other[:2] / other[2:], stored)

    with pytest.raises(GitError, match=r"models/v2/model\.pkl"):
        follower.go()

    assert follower.current == first


LIMITED = """
import resource, sys
from pathlib import Path, PurePosixPath
from modeld.errors import GitUnavailable
from modeld.git.follower import Follower
from modeld.git.mirror import Origin
from modeld.git.tree import Wanted

resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
wanted = Wanted(PurePosixPath("state/active.yaml"), PurePosixPath("models"))
try:
    Follower(Path(sys.argv[1]), Origin(sys.argv[2], allows_local=True), wanted).go()
except GitUnavailable as error:
    print(error)
"""


@pytest.mark.parametrize("content", [LARGE, bytes(1_000_000)], ids=["fetch", "checkout"])
def test_a_disk_without_room_leaves_the_old_commit_and_nothing_half_written(
    remote: Remote, follower: Follower, content: bytes
) -> None:
    """A limit on the size of files stands in for it: what is random fails in git, zeros here."""
    first, folder = remote.head(), follower.checkouts.link.parent
    second = remote.publish("models/v2/model.pkl", content)

    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), str(remote.bare)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "daemon")},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ("File too large" in done.stdout) == (content != LARGE), done.stdout
    assert done.stdout
    assert follower.current == first
    assert not [*folder.rglob(".new-*"), *folder.rglob("tmp_*")]
    assert follower.go().head.commit == second


# Old commits


def test_old_commits_are_deleted_but_not_the_one_before_or_young_ones(
    remote: Remote, follower: Follower
) -> None:
    commits = [remote.head()]
    for number in range(2, 6):
        commits.append(remote.publish("state/active.yaml", f"active: v{number}\n"))
        follower.go()
    folder = follower.checkouts.link.resolve().parent
    assert {path.name for path in folder.iterdir()} == set(commits)

    follower.checkouts.collect(time.time() + KEPT_SECONDS + 60)

    assert {path.name for path in folder.iterdir()} == set(commits[-2:])


def test_the_commit_before_is_the_one_that_was_followed_before(
    remote: Remote, follower: Follower
) -> None:
    first = remote.head()
    second = remote.publish("state/active.yaml", "active: v2\n")
    follower.go()
    third = remote.publish("state/active.yaml", "active: v3\n")
    follower.go()
    remote.git("push", "-q", "--force", "origin", f"{first}:main")
    follower.go(force=True)

    follower.checkouts.collect(time.time() + KEPT_SECONDS + 60)

    left = {path.name for path in follower.checkouts.link.resolve().parent.iterdir()}
    assert left == {first, third}
    assert second not in left


def test_what_an_earlier_process_left_is_deleted(follower: Follower) -> None:
    folder = follower.checkouts.link.parent
    (folder / "checkouts" / ".new-x" / "models").mkdir(parents=True)
    (folder / ".new-y").symlink_to("nowhere")

    follower.go()

    assert not list(folder.rglob(".new-*"))


def test_other_paths_are_written_anew(remote: Remote, follower: Follower) -> None:
    remote.publish("other/active.yaml", "active: v3\n")
    follower.go()
    wanted = Wanted(PurePosixPath("other/active.yaml"), PurePosixPath("."))
    other = Follower(follower.checkouts.link.parent, follower.mirror.origin, wanted)

    other.go()

    assert (other.checkouts.link / "other/active.yaml").read_text() == "active: v3\n"
    assert (other.checkouts.link / "README").exists()


# Git LFS


@pytest.fixture
def lfs(remote: Remote) -> Remote:
    """The remote, with models tracked by Git LFS and one of them in v2."""
    if shutil.which("git-lfs") is None:
        pytest.skip("git-lfs is not installed")
    remote.git("lfs", "install", "--local")
    remote.git("lfs", "track", "models/v2/*.pkl")
    remote.publish("models/v2/model.pkl", LARGE)
    return remote


@pytest.fixture
def no_lfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A PATH on which there is a git and no git-lfs."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("git", "git-upload-pack", "sh"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    return str(programs)


def is_pointer(path: Path) -> bool:
    return path.read_bytes().startswith(b"version https://git-lfs")


def stored_object(follower: Follower) -> Path:
    name = hashlib.sha256(LARGE).hexdigest()
    return follower.mirror.folder / "lfs" / "objects" / name[:2] / name[2:4] / name


def test_a_large_file_takes_the_place_of_its_pointer(lfs: Remote, follow: Follow) -> None:
    follower = follow()

    done = follower.go()

    path = follower.checkouts.link / "models" / "v2" / "model.pkl"
    assert done.trouble is None
    assert path.read_bytes() == LARGE
    assert mode(path) == 0o444
    assert not lfs.bare.joinpath("hooks", "post-checkout").exists()


def test_a_large_file_is_kept_once_and_fetched_once(lfs: Remote, follow: Follow) -> None:
    follower = follow()
    follower.go()
    before = follower.checkouts.link.resolve()
    shutil.rmtree(lfs.bare / "lfs")
    lfs.publish("state/active.yaml", "active: v2\n")

    done = follower.go()

    path = follower.checkouts.link / "models" / "v2" / "model.pkl"
    assert done.trouble is None
    assert path.samefile(before / "models" / "v2" / "model.pkl")


def test_without_git_lfs_the_pointer_stays_until_it_is_installed(
    lfs: Remote, follow: Follow, monkeypatch: pytest.MonkeyPatch, no_lfs: str, tmp_path: Path
) -> None:
    follower = follow()

    done = follower.go()

    path = follower.checkouts.link / "models" / "v2" / "model.pkl"
    assert done.trouble is None
    assert done.head.commit == lfs.head()
    assert [one.path for one in done.left_out] == ["models/v2/model.pkl"]
    assert is_pointer(path)
    monkeypatch.undo()
    follower.go()
    assert path.read_bytes() == LARGE


def test_the_place_of_large_files_is_not_the_commits_to_say(
    lfs: Remote, follow: Follow, tmp_path: Path
) -> None:
    lfs.write(".lfsconfig", f"[lfs]\n\turl = file://{tmp_path}/elsewhere\n")
    lfs.commit("Lead astray")
    lfs.push("--no-verify")
    follower = follow()

    done = follower.go()

    assert done.trouble is None
    assert (follower.checkouts.link / "models/v2/model.pkl").read_bytes() == LARGE


def test_a_large_file_that_arrives_later_is_put_in_place(lfs: Remote, follow: Follow) -> None:
    hidden = (lfs.bare / "lfs").rename(lfs.bare / "elsewhere")
    follower = follow()

    done = follower.go()

    path = follower.checkouts.link / "models" / "v2" / "model.pkl"
    assert isinstance(done.trouble, GitUnavailable)
    assert follower.current == lfs.head()
    assert is_pointer(path)
    shutil.copytree(hidden, lfs.bare / "lfs", dirs_exist_ok=True)
    assert follower.go().trouble is None
    assert path.read_bytes() == LARGE


def test_a_large_file_with_other_bytes_is_not_taken(lfs: Remote, follow: Follow) -> None:
    follower = follow()
    follower.mirror.prepare()
    follower.mirror.fetch("main")
    stored = stored_object(follower)
    stored.parent.mkdir(parents=True)
    stored.write_bytes(LARGE[::-1])
    stored.with_name("a link to it").hardlink_to(stored)

    done = follower.go()

    path = follower.checkouts.link / "models" / "v2" / "model.pkl"
    assert isinstance(done.trouble, GitUnavailable)
    assert is_pointer(path)
    assert follower.go().trouble is None
    assert path.read_bytes() == LARGE


def test_large_files_that_no_commit_on_the_disk_has_are_deleted(
    lfs: Remote, follow: Follow
) -> None:
    follower = follow()
    follower.go()
    assert stored_object(follower).exists()
    for folder in (lfs.bare, lfs.work / ".git"):
        shutil.rmtree(folder / "lfs")  # On one machine, git lfs shares its files by links.
    lfs.git("rm", "-q", "models/v2/model.pkl")
    lfs.commit("Without it")
    lfs.push()
    follower.go()
    lfs.publish("state/active.yaml", "active: v3\n")
    follower.go()

    follower.checkouts.collect(time.time() + KEPT_SECONDS + 60)

    assert not stored_object(follower).exists()
