"""A file is looked at as git sees it: committed or not, written by git or by somebody else."""

import subprocess
from pathlib import Path

import pytest

from modeld.git.commits import Words, commit_file
from modeld.git.past import earlier_texts, trailers
from modeld.git.worktree import GitView, WorkTree, find_work_tree
from tests.support.server import GIT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "state").mkdir()
    commit(tmp_path, "active: v1\n")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(folder: Path, text: str, message: str = "Change") -> str:
    (folder / "state" / "active.yaml").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def tree_of(folder: Path) -> WorkTree:
    found = find_work_tree(folder / "state" / "active.yaml")
    assert found is not None
    return found


def look(folder: Path) -> GitView:
    return tree_of(folder).look()


def test_what_git_checked_out_is_written_by_git(folder: Path) -> None:
    (folder / "state" / "active.yaml").write_text("active: v9\n")
    git(folder, "reset", "-q", "--hard")

    view = look(folder)

    assert view.is_written_by_git
    assert view.branch == "main"
    assert view.head == git(folder, "rev-parse", "HEAD")
    assert view.head_blob == view.index_blob == git(folder, "rev-parse", "HEAD:state/active.yaml")


@pytest.mark.parametrize("how", ["edit", "replace", "the same text again"])
def test_what_somebody_wrote_is_not(folder: Path, how: str) -> None:
    git(folder, "reset", "-q", "--hard")
    path = folder / "state" / "active.yaml"
    if how == "replace":
        (folder / "new").write_text("active: v2\n")
        (folder / "new").replace(path)
    else:
        path.write_text("active: v2\n" if how == "edit" else "active: v1\n")

    assert not look(folder).is_written_by_git


def test_a_detached_head_has_no_branch(folder: Path) -> None:
    git(folder, "checkout", "-q", "--detach")

    assert look(folder).branch is None


def test_a_file_that_git_does_not_know(folder: Path) -> None:
    git(folder, "rm", "-q", "--cached", "state/active.yaml")

    view = look(folder)

    assert (view.index_blob, view.is_written_by_git) == (None, False)
    assert view.head_blob is not None


def test_outside_a_repository_there_is_no_work_tree(tmp_path: Path) -> None:
    assert find_work_tree(tmp_path / "active.yaml") is None


@pytest.mark.parametrize(
    "move", [("commit", "-q", "--allow-empty", "-m", "x"), ("checkout", "-q", "-b", "other")]
)
def test_the_signature_tells_that_git_moved(folder: Path, move: tuple[str, ...]) -> None:
    tree = tree_of(folder)
    before = tree.signature()
    assert tree.signature() == before

    git(folder, *move)

    assert tree.signature() != before


def test_earlier_texts_come_newest_first_and_only_where_the_file_changed(folder: Path) -> None:
    commit(folder, "active: v2\n")
    git(folder, "commit", "-q", "--allow-empty", "-m", "Nothing")
    tree = tree_of(folder)

    texts = [text for _, text in earlier_texts(tree.git, "HEAD", tree.path, 10)]

    assert texts == [b"active: v2\n", b"active: v1\n"]


def test_trailers_are_read_from_the_commits_after_one(folder: Path) -> None:
    start = commit(folder, "active: v2\n", "A\n\nUnhold: v0")
    commit(folder, "active: v3\n", "B\n\nUnhold: v1")
    commit(folder, "active: v4\n", "C\n\nUnhold: v2")
    git_here = tree_of(folder).git

    assert trailers(git_here, "HEAD", "Unhold", start) == {"v1", "v2"}
    assert trailers(git_here, "HEAD", "Unhold", "") == {"v2"}
    assert trailers(git_here, "HEAD", "Unhold", "0" * 40) == {"v2"}
    assert trailers(git_here, "HEAD", "Other", start) == frozenset()


def test_a_commit_changes_one_file_and_nothing_around_it(folder: Path) -> None:
    (folder / "other.txt").write_text("staged\n")
    git(folder, "add", "other.txt")
    status = git(folder, "status", "--porcelain")
    tree = tree_of(folder)
    words = Words("Set v1 to v2\n", "Ann <x>\nB")

    made = commit_file(tree.git, "HEAD", tree.path, b"active: v2\n", words)

    assert git(folder, "show", f"{made}:state/active.yaml") == "active: v2"
    assert git(folder, "diff", "--name-only", "HEAD", made) == "state/active.yaml"
    assert git(folder, "log", "-1", "--format=%an|%cn", made) == "Ann  x B|modeld"
    assert git(folder, "status", "--porcelain") == status
