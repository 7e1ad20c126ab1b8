"""Commit one file on top of a commit, and push it so that nobody's work is overwritten.

A temporary index and git's own objects are all that is used: the work tree, and the index
of the person who works there, are not touched. A push that is not a fast-forward is refused
by the remote, which makes it a compare-and-set.
"""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from modeld.errors import GitConflict, GitDetached, GitError, GitUnavailable
from modeld.git.command import LOCAL_SECONDS, REMOTE_SECONDS, Git
from modeld.git.worktree import GitView, WorkTree

COMMITTER = ("modeld", "modeld@localhost")

_PLAIN_FILE = "100644"
_FILTER = r"^filter\..*\.(clean|process|required)$"
_REJECTED = re.compile(r"rejected|stale info|failed to update ref|cannot lock ref|fetch first")
_NOT_IN_A_NAME = re.compile(r"[<>\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Remote:
    """A branch elsewhere: the remote's name or address, and the branch's name there."""

    name: str
    branch: str

    @property
    def kept_as(self) -> str:
        """The private ref that remembers its newest commit."""
        return f"refs/modeld/{self.branch}"


@dataclass(frozen=True, slots=True)
class Words:
    """What a commit says, and of whom; people's own commits have them as committer too."""

    message: str
    author: str
    is_own: bool = True


def commit_file(git: Git, base: str, path: str, content: bytes, words: Words) -> str:
    """Make a commit on top of `base` in which one file is another; gives its id."""
    blob = git.text("hash-object", "-w", "--stdin", "--no-filters", given=content)
    name = _NOT_IN_A_NAME.sub(" ", words.author).strip() or COMMITTER[0]
    author = (name, f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}@modeld")
    committer = COMMITTER if words.is_own else author
    people = {
        "GIT_AUTHOR_NAME": author[0],
        "GIT_AUTHOR_EMAIL": author[1],
        "GIT_COMMITTER_NAME": committer[0],
        "GIT_COMMITTER_EMAIL": committer[1],
    }
    with tempfile.TemporaryDirectory(prefix="modeld-") as folder:
        index = people | {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.run("read-tree", base, environment=index)
        entry = f"{_PLAIN_FILE},{blob},{path}"
        git.run("update-index", "--add", "--cacheinfo", entry, environment=index)
        tree = git.run("write-tree", environment=index).decode().strip()
    given = words.message.encode(errors="replace")
    made = git.run("commit-tree", tree, "-p", base, given=given, environment=people)
    return made.decode().strip()


def advance_branch(tree: WorkTree, view: GitView, commit: str) -> None:
    """Move the checked-out branch from the commit that was seen to a new one on top of it.

    The index follows for the one file, unless somebody has staged another text of it. Raises
    `GitUnavailable` when somebody else was faster or is at work.
    """
    if view.branch is None:
        raise GitDetached("no branch is checked out, so that nothing can be committed to it")
    if tree.is_locked():
        raise GitUnavailable("another git command is at work: .git/index.lock is there")
    try:
        reason = "modeld: the live version was changed"
        reference = f"refs/heads/{view.branch}"
        tree.git.run("update-ref", "-m", reason, reference, commit, view.head or "")
    except GitError as error:
        raise GitUnavailable(f"{view.branch} has moved meanwhile: {error}") from error
    follow_in_index(tree, view.head_blob, commit)


def follow_in_index(tree: WorkTree, before: str | None, commit: str) -> None:
    """Let the index have the file as a commit has it, where it still had it as before."""
    blob = tree.blob_at(commit)
    if blob is not None and tree.look().index_blob == before:
        entry = f"{_PLAIN_FILE},{blob},{tree.path}"
        environment = _without_filters(tree.git)
        tree.git.run("update-index", "--add", "--cacheinfo", entry, environment=environment)


def _without_filters(git: Git) -> dict[str, str]:
    """Configure that no filter runs.

    git reads files again that were changed in the second of the index, whichever file it was
    asked about, and passes them through the filters that the repository names.
    """
    found = git.ask("config", "--name-only", "--get-regexp", _FILTER) or ""
    drivers = sorted({key.rpartition(".")[0] for key in found.splitlines()})
    settings = [
        (f"{driver}.{name}", value)
        for driver in drivers
        for name, value in (("clean", ""), ("process", ""), ("required", "false"))
    ]
    environment = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


def upstream_of(tree: WorkTree, view: GitView, branch: str) -> Remote:
    """Find where the work tree's commits go: its upstream, or `branch` at the remote `origin`.

    Raises `GitDetached` where nothing says it.
    """
    git = tree.git
    here = view.branch
    name = (git.ask("config", f"branch.{here}.remote") if here else None) or "origin"
    merge = git.ask("config", f"branch.{here}.merge") if here else None
    there = branch or (merge or "").removeprefix("refs/heads/") or here or _head_of(git, name)
    if there is None:
        raise GitDetached("no branch is checked out; MODELD_GIT_BRANCH says where commits go")
    return Remote(name, there)


def _head_of(git: Git, remote: str) -> str | None:
    found = git.ask("symbolic-ref", "-q", "--short", f"refs/remotes/{remote}/HEAD")
    return found.removeprefix(f"{remote}/") if found else None


def fetch(git: Git, remote: Remote) -> str:
    """Fetch the newest commit of a remote's branch into a ref of our own; gives its id.

    The refs that follow the remote are left to the people who work there: git lets a fetch of
    theirs fail when somebody else writes them meanwhile.

    Raises `GitUnavailable`, or `GitDetached` where there is no such branch.
    """
    wanted = f"+refs/heads/{remote.branch}:{remote.kept_as}"
    try:
        git.run(
            "fetch", "-q", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
            "--no-auto-gc", "--refmap=", remote.name, wanted, seconds=REMOTE_SECONDS,
        )  # fmt: skip
    except GitError as error:
        if "couldn't find remote ref" in str(error):
            raise GitDetached(f"{remote.name} has no branch {remote.branch}") from error
        raise GitUnavailable(str(error)) from error
    return git.text("rev-parse", "--verify", remote.kept_as, seconds=LOCAL_SECONDS)


def push(git: Git, remote: Remote, commit: str, branch: str = "", *, by_name: bool = False) -> None:
    """Push a commit to the remote's branch, or to another one there; never forces.

    After a push to the remote's name git writes the ref that follows it, as people expect of
    their own commands. Otherwise it goes to the address; `fetch` says why.

    Raises `GitConflict` where the branch has moved, `GitUnavailable` for anything else.
    """
    target = f"{commit}:refs/heads/{branch or remote.branch}"
    address = remote.name if by_name else _address_of(git, remote.name)
    try:
        git.run("push", "-q", "--no-verify", address, target, seconds=REMOTE_SECONDS)
    except GitUnavailable:
        raise
    except GitError as error:
        kind = GitConflict if _REJECTED.search(str(error)) else GitUnavailable
        raise kind(str(error)) from error


def _address_of(git: Git, remote: str) -> str:
    for key in ("pushurl", "url"):
        if found := git.ask("config", "--get-all", f"remote.{remote}.{key}"):
            return found.splitlines()[0]
    return remote
