"""See the state file as git sees it: committed or not, written by git or by somebody else.

Nothing here changes a repository. The file is found through all links, so that a work tree
that is swapped by flipping a link is looked at where it is.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from modeld.config_values import git_directory
from modeld.errors import GitDetached, GitError
from modeld.git.command import Git

Signature = tuple[tuple[int, int, int] | None, ...]

_STAT = re.compile(
    r"ctime: (?P<ctime>\d+):(?P<ctime_ns>\d+)\s+mtime: (?P<mtime>\d+):(?P<mtime_ns>\d+)\s+"
    r"dev: \d+\s+ino: (?P<ino>\d+)\s+uid: \d+\s+gid: \d+\s+size: (?P<size>\d+)"
)
_NS = 1_000_000_000
_32_BITS = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class GitView:
    """What git knows of one file.

    `branch` is `None` where none is checked out, `head` where there is no commit yet;
    `head_blob` and `index_blob` are `None` where the file is not in there.
    `is_written_by_git` tells whether the file is the one that git itself put there last.
    """

    head: str | None
    branch: str | None
    head_blob: str | None
    index_blob: str | None
    is_written_by_git: bool


class WorkTree:
    """The work tree that holds a file. `path` is the file's path inside it."""

    def __init__(self, root: Path, file: Path) -> None:
        self.root = root
        self.path = file.relative_to(root).as_posix()
        self.git = Git(root, allows_local=True)
        self._file = file

    def signature(self) -> Signature:
        """Give what changes whenever git commits, checks out or resets. Runs nothing."""
        folder = self._folder()
        common = _common_folder(folder)
        head = _read(folder / "HEAD")
        branch = head.removeprefix("ref: ").strip() if head.startswith("ref: ") else "HEAD"
        files = (folder / "index", folder / "HEAD", folder / "logs" / "HEAD", common / branch)
        return tuple(map(_identity, files))

    def is_locked(self) -> bool:
        """Tell whether somebody is changing the index right now."""
        return (self._folder() / "index.lock").exists()

    def _folder(self) -> Path:
        return git_directory(self._file) or self.root / ".git"

    def look(self) -> GitView:
        """Ask git about the file; raises `GitError`."""
        head = self.git.ask("rev-parse", "--verify", "-q", "HEAD")
        entry = self.git.text("--literal-pathspecs", "ls-files", "-s", "--debug", "--", self.path)
        return GitView(
            head=head,
            branch=self.git.ask("symbolic-ref", "-q", "--short", "HEAD"),
            head_blob=self.blob_at(head) if head else None,
            index_blob=entry.split()[1] if entry else None,
            is_written_by_git=self._is_as_noted(entry),
        )

    def _is_as_noted(self, entry: str) -> bool:
        """Compare the file with what the index noted of it when git wrote it."""
        noted = _STAT.search(entry)
        status = _status(self._file)
        if noted is None or status is None:
            return False
        times = (
            int(noted["ctime"]) * _NS + int(noted["ctime_ns"]),
            int(noted["mtime"]) * _NS + int(noted["mtime_ns"]),
        )
        is_same_file = int(noted["ino"]) == status.st_ino & _32_BITS
        is_same_size = int(noted["size"]) == status.st_size & _32_BITS
        return is_same_file and is_same_size and times == (status.st_ctime_ns, status.st_mtime_ns)

    def blob_at(self, commit: str) -> str | None:
        """Give the blob of the file in a commit."""
        return blob_at(self.git, commit, self.path)


def find_work_tree(file: Path) -> WorkTree | None:
    """Find the work tree that a file stands in, through all links; `None` where there is none."""
    try:
        real = file.resolve()
    except (OSError, RuntimeError):
        return None
    for folder in real.parents:
        if (folder / ".git").exists():
            return WorkTree(folder, real)
    return None


def find_shared(file: Path, folder: Path) -> tuple[WorkTree, str]:
    """Find the work tree that holds a file and a folder, and the folder's path inside it.

    Raises `GitDetached` where there is none.
    """
    tree = find_work_tree(file)
    real = folder.resolve()
    if tree is None or not real.is_relative_to(tree.root):
        raise GitDetached(f"{file} and {folder} are not in one git repository")
    return tree, real.relative_to(tree.root).as_posix()


def commit_of(git: Git, name: str) -> str:
    """Give the commit that a branch, a tag or a hash names; raises `GitError`."""
    found = git.ask("rev-parse", "--verify", "-q", "--end-of-options", f"{name}^{{commit}}")
    if found is None:
        raise GitError(f"there is no commit {name} here; a shallow clone has the newest ones alone")
    return found


def blob_at(git: Git, commit: str, path: str) -> str | None:
    """Give the blob of a file in a commit; `None` where it has none."""
    entry = git.ask("--literal-pathspecs", "ls-tree", commit, "--", path)
    fields = entry.split() if entry else []
    return fields[2] if len(fields) > 2 and fields[1] == "blob" else None


def text_at(git: Git, commit: str, path: str) -> bytes | None:
    """Give the bytes of a file in a commit; `None` where it has none."""
    blob = blob_at(git, commit, path)
    try:
        return git.run("cat-file", "blob", blob) if blob else None
    except GitError:
        return None


def _common_folder(folder: Path) -> Path:
    """Give the folder of the branches, which several work trees share."""
    text = _read(folder / "commondir").strip()
    return folder / text if text else folder


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _identity(path: Path) -> tuple[int, int, int] | None:
    status = _status(path)
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
