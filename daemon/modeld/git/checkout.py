"""Write commits to folders of their own, and move a link from one to the next.

    checkouts/<commit>/   the state file and the models folder of a commit, never changed later
    current               a link to the one that is followed

The files are written here and not by git: no hook, filter or attribute has a say. A folder is
whole before it has its name, and on the disk before the link names it, so that a reader sees
one commit or the other, whenever the power goes. A model that did not change is a link to the
file of the commit before.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from modeld.errors import GitError, GitUnavailable
from modeld.git.command import Git
from modeld.git.lfs import LONGEST_POINTER, find_pointers
from modeld.git.mirror import Mirror
from modeld.git.tree import Entry, LeftOut, Tree, Wanted, read_tree

KEPT_SECONDS = 600.0

_CHECKOUT_SECONDS = 1800.0
_SHA1_LENGTH = 40
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BLOCK = 1 << 20
_TEMPORARY = ".new-"
_NO_LFS = "in Git LFS, and git-lfs is not installed here"


class Checkouts:
    """The commits that are on the disk, and which of them is followed."""

    def __init__(self, folder: Path, mirror: Mirror, wanted: Wanted) -> None:
        self.link = folder / "current"
        self._folder = folder / "checkouts"
        self._mirror = mirror
        self._wanted = wanted
        self._filled = ""
        self.left_out: tuple[LeftOut, ...] = ()

    @property
    def current(self) -> str | None:
        """The commit that is followed."""
        try:
            return self.link.readlink().name
        except OSError:
            return None

    def prepare(self) -> None:
        """Delete what an earlier process has left half written, or written of other paths."""
        layout = self.link.with_name("layout")
        paths = f"{self._wanted.state}\n{self._wanted.models}\n"
        with _on_disk(self._folder):
            if not layout.exists() or layout.read_text() != paths:
                self.link.unlink(missing_ok=True)
                _delete(self._folder)
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            layout.write_text(paths)
            for left in (
                *self._folder.glob(f"{_TEMPORARY}*"),
                *self.link.parent.glob(f"{_TEMPORARY}*"),
            ):
                _delete(left)

    def make(self, commit: str) -> None:
        """Write a commit to its folder, unless it is there.

        Raises `GitError` where an object is broken, `GitUnavailable` where the disk is full.
        """
        tree = read_tree(self._mirror.git, commit, self._wanted)
        self.left_out = tree.left_out
        target = self._folder / commit
        if target.is_dir():
            return
        new = self._folder / f"{_TEMPORARY}{secrets.token_hex(8)}"
        with _on_disk(self._folder):
            try:
                new.mkdir(mode=0o755)
                self._write(tree, new)
                _folders_to_disk(new)
                new.rename(target)
            except BaseException:
                _delete(new)
                raise
            _to_disk(self._folder)

    def _write(self, tree: Tree, new: Path) -> None:
        before = self._before()
        self.left_out += write_tree(
            self._mirror.git, tree, new, lambda entry, path: self._linked(entry, path, before)
        )

    def _before(self) -> dict[str, Entry]:
        """List the plain files of the commit that is followed now."""
        if self.current is None:
            return {}
        try:
            tree = read_tree(self._mirror.git, self.current, self._wanted)
        except GitError:
            return {}
        return {entry.path: entry for entry in tree.entries}

    def _linked(self, entry: Entry, path: Path, before: dict[str, Entry]) -> bool:
        """Take a model's file from the commit before, where it is the same."""
        # Small files cost nothing, and a pointer's place may have been taken by its file.
        if before.get(entry.path) != entry or entry.size <= LONGEST_POINTER:
            return False
        old = self.link / entry.path
        try:
            if old.stat(follow_symlinks=False).st_size != entry.size:
                return False
            path.hardlink_to(old)
        except FileExistsError:
            raise
        except OSError:
            return False
        return True

    def fill(self, commit: str) -> None:
        """Put large files in the place of the pointers of a commit, where there is `git lfs`.

        Raises `GitUnavailable` where one cannot be had; the others are there.
        """
        if self._filled == commit:
            return
        with _on_disk(self._folder):
            folder = self._folder / commit
            pointers = find_pointers(folder)
            if pointers and not self._mirror.lfs.is_installed:
                names = sorted(str(path.relative_to(folder)) for path in pointers)
                self.left_out += tuple(LeftOut(name, _NO_LFS) for name in names)
                return
            if pointers:
                self._mirror.lfs.fill(pointers, commit, str(self._wanted.models))
        self._filled = commit

    def switch(self, commit: str) -> None:
        """Follow a commit from now on, in one step."""
        target = self._folder / commit
        new = self.link.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        with _on_disk(self._folder):
            # The newest are kept, and newest is what was followed last.
            os.utime(target)
            new.symlink_to(target.relative_to(self.link.parent))
            new.replace(self.link)
            _to_disk(self.link.parent)

    def collect(self, now: float | None = None) -> None:
        """Delete old commits, but not the current one, the one before, and young ones.

        Never right after a switch: models are being read from what shares its files with them.
        """
        now = time.time() if now is None else now
        with _on_disk(self._folder):
            folders = [path for path in self._folder.glob("[!.]*") if path.name != self.current]
            ages = sorted((now - path.stat().st_mtime, path) for path in folders)
            for age, path in ages[1:]:
                if age > KEPT_SECONDS:
                    # Under another name first: half a folder must not look like a whole one.
                    doomed = path.rename(self._folder / f"{_TEMPORARY}{secrets.token_hex(8)}")
                    _delete(doomed)
            self._mirror.lfs.collect()


class Objects:
    """A conversation with `git cat-file --batch`."""

    def __init__(self, asked: IO[bytes], answers: IO[bytes]) -> None:
        self._asked = asked
        self._answers = answers

    def blocks(self, entry: Entry) -> Iterator[bytes]:
        """Read an object block by block, and make sure at the end that it was the right one."""
        with contextlib.suppress(BrokenPipeError):
            self._asked.write(f"{entry.blob}\n".encode())
            self._asked.flush()
        if self._answers.readline() != f"{entry.blob} blob {entry.size}\n".encode():
            raise _broken(entry)
        hashed, left = _hash_of(entry), entry.size
        while left:
            block = self._answers.read(min(left, _BLOCK))
            if not block:
                raise _broken(entry)
            hashed.update(block)
            left -= len(block)
            yield block
        if self._answers.read(1) != b"\n" or hashed.hexdigest() != entry.blob:
            raise _broken(entry)


def _hash_of(entry: Entry) -> "hashlib._Hash":
    is_sha1 = len(entry.blob) == _SHA1_LENGTH
    header = f"blob {entry.size}\0".encode()
    # Git's own name of the object; what it guards against here is a broken disk.
    return hashlib.sha1(header, usedforsecurity=False) if is_sha1 else hashlib.sha256(header)


def _broken(entry: Entry) -> GitError:
    return GitError(f"{entry.path}: its object {entry.blob[:12]} is broken")


def write_tree(
    git: Git, tree: Tree, folder: Path, take: Callable[[Entry, Path], bool] = lambda *_: False
) -> tuple[LeftOut, ...]:
    """Write what is taken of a commit to a new folder, and give what could not be written.

    `take` may have a file from elsewhere, and then says so. Raises `GitError` where an object
    is broken.
    """
    left_out: list[LeftOut] = []
    with git.conversing("cat-file", "--batch", seconds=_CHECKOUT_SECONDS) as pipes:
        objects = Objects(*pipes)
        for entry in tree.entries:
            path = folder / entry.path
            try:
                path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                if not take(entry, path):
                    _write_file(path, entry, objects)
            except (FileExistsError, NotADirectoryError):
                # Two names that this file system takes for one, or a broken tree.
                left_out.append(LeftOut(entry.path, "its name is that of another file"))
    return tuple(left_out)


def _write_file(path: Path, entry: Entry, objects: Objects) -> None:
    descriptor = os.open(path, _NEW, 0o555 if entry.is_executable else 0o444)
    with os.fdopen(descriptor, "wb") as file:
        for block in objects.blocks(entry):
            file.write(block)
        file.flush()
        os.fsync(descriptor)


def _folders_to_disk(folder: Path) -> None:
    for path, _, _ in os.walk(folder):
        _to_disk(Path(path))


def _to_disk(folder: Path) -> None:
    # A file system that cannot sync folders changes nothing about a rename.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, _FOLDER)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _delete(path: Path) -> None:
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _on_disk(folder: Path) -> Iterator[None]:
    """Say in one way that the disk is full or may not be written."""
    try:
        yield
    except OSError as error:
        name = error.filename or folder
        raise GitUnavailable(f"{name}: {error.strerror or error}") from error
