"""Make remote repositories to follow: bare ones, written to by a clone of each."""

import os
import subprocess
from pathlib import Path

from modeld.git.command import Git
from tests.support.server import GIT, add_example

NO_LFS = {"GIT_LFS_SKIP_PUSH": "1"}


class Remote:
    """A bare repository, and the work tree of somebody who pushes to it."""

    def __init__(self, folder: Path) -> None:
        self.bare = folder / "remote.git"
        self.work = folder / "work"
        folder.mkdir(parents=True, exist_ok=True)
        run(folder, "init", "-q", "--bare", "-b", "main", str(self.bare))
        run(folder, "init", "-q", "-b", "main", str(self.work))
        self.git("remote", "add", "origin", str(self.bare))

    def git(self, *arguments: str) -> str:
        """Run git in the work tree."""
        return run(self.work, *arguments)

    def write(self, path: str, content: str | bytes) -> Path:
        """Write a file in the work tree."""
        target = self.work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def add_example(self, version: str, name: str = "", *, is_light: bool = False) -> None:
        """Add an example version to the work tree."""
        add_example(self.work / "models", version, name, is_light=is_light)

    def commit(self, message: str = "Change", *options: str) -> str:
        """Commit everything in the work tree; gives the commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, *options)
        return self.head()

    def push(self, *options: str) -> str:
        """Push the branch; gives its head."""
        self.git("push", "-q", *options, "origin", "HEAD:main")
        return self.head()

    def publish(self, path: str, content: str | bytes, message: str = "Change") -> str:
        """Write a file, commit and push it; gives the commit."""
        self.write(path, content)
        self.commit(message)
        return self.push()

    def rewrite(self, path: str, content: str | bytes) -> str:
        """Put another commit in the place of the last, by force; gives it."""
        self.write(path, content)
        self.commit("Another one", "--amend")
        return self.push("--force")

    def head(self) -> str:
        """Give the commit of the work tree."""
        return self.git("rev-parse", "HEAD")

    def objects(self) -> Git:
        """Give git in the bare repository."""
        return Git(self.bare)


def run(folder: Path, *arguments: str) -> str:
    """Run git as a user who has no configuration of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        [*GIT, *arguments],
        cwd=folder,
        env=kept | {"GIT_CONFIG_NOSYSTEM": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()
