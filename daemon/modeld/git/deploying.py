"""Bring a work tree to a commit, so that a server that serves from it is never misled.

The models are written before the wish that may name them, and what a commit no longer has is
deleted last. Nothing is merged: the work tree then is the commit. What was not committed is
kept in a reference of its own.
"""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from modeld.errors import GitUnavailable
from modeld.git.command import REMOTE_SECONDS, Git
from modeld.git.commits import Remote, fetch, upstream_of
from modeld.git.worktree import WorkTree, commit_of
from modeld.locks import locked

REPLACED = "refs/modeld/replaced"
"""The changes that the last deploy found uncommitted, as `git stash apply` takes them."""

_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_WRITE_SECONDS = 1800.0
_LOCKED_SECONDS = 5.0
_POLL_SECONDS = 0.05
# Paths are paths; and whatever the user's own configuration says, real files, not pointers.
_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}
_LFS = {
    "GIT_LFS_SKIP_SMUDGE": "0",
    "GIT_CONFIG_COUNT": "4",
    "GIT_CONFIG_KEY_0": "filter.lfs.clean",
    "GIT_CONFIG_VALUE_0": "git-lfs clean -- %f",
    "GIT_CONFIG_KEY_1": "filter.lfs.smudge",
    "GIT_CONFIG_VALUE_1": "git-lfs smudge -- %f",
    "GIT_CONFIG_KEY_2": "filter.lfs.process",
    "GIT_CONFIG_VALUE_2": "git-lfs filter-process",
    "GIT_CONFIG_KEY_3": "filter.lfs.required",
    "GIT_CONFIG_VALUE_3": "true",
}


@dataclass(frozen=True, slots=True)
class Deployed:
    """The commit that the work tree has now, and whether uncommitted changes were put aside."""

    commit: str
    has_replaced: bool


def deploy(tree: WorkTree, name: str, models: str, lock: Path) -> Deployed:
    """Fetch a commit, by its hash or by its branch at the remote, and write it.

    `models` is the folder of versions, as a path in the work tree. Raises `GitUnavailable`
    where the remote or the work tree cannot be had now, `GitError` for anything else.
    """
    # One that was called off may not have ended.
    with locked(lock):
        remote = upstream_of(tree, tree.look(), "")
        commit = _fetched(tree, remote, name)
        _wait_for_index(tree)
        return _write(tree, remote, commit, models)


def _fetched(tree: WorkTree, remote: Remote, name: str) -> str:
    if not _HASH.fullmatch(name):
        return fetch(tree.git, Remote(remote.name, name))
    if not _has(tree, name):
        fetch(tree.git, remote)
    if not _has(tree, name):
        # Not on the branch, but a remote may give it all the same.
        options = ("-q", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        tree.git.run("fetch", *options, remote.name, name, seconds=REMOTE_SECONDS)
    return commit_of(tree.git, name)


def _has(tree: WorkTree, name: str) -> bool:
    return tree.git.ask("cat-file", "-e", f"{name}^{{commit}}") is not None


def _wait_for_index(tree: WorkTree) -> None:
    end = time.monotonic() + _LOCKED_SECONDS
    while tree.is_locked():
        if time.monotonic() > end:
            raise GitUnavailable(
                "another git command is at work, or was killed: .git/index.lock is there; "
                "delete it if no git runs"
            )
        time.sleep(_POLL_SECONDS)


def _write(tree: WorkTree, remote: Remote, commit: str, models: str) -> Deployed:
    has_lfs = tree.git.ask("lfs", "version") is not None
    git = Git(tree.root, allows_local=True, environment=_LITERAL | (_LFS if has_lfs else {}))
    if has_lfs:
        git.run("lfs", "fetch", remote.name, commit, seconds=_WRITE_SECONDS)
    kept = git.text("stash", "create", "Replaced by a deploy", seconds=_WRITE_SECONDS)
    if kept:
        git.run("update-ref", "-m", "modeld: replaced by a deploy", REPLACED, kept)
    # The attributes first: they say which files are in Git LFS.
    for path in (".gitattributes", models, tree.path):
        if git.ask("ls-tree", commit, "--", path):
            git.run("checkout", "-q", commit, "--", path, seconds=_WRITE_SECONDS)
    git.run("reset", "-q", "--hard", commit, seconds=_WRITE_SECONDS)
    return Deployed(commit, bool(kept))
