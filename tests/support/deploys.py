"""Deploy to a server's folder as CI does: from a bare remote, by `reset --hard`."""

import subprocess
from pathlib import Path

from tests.support.server import GIT, Server


class Upstream:
    """A bare remote of a server's repository, and a clone in which people work."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.bare = folder / "upstream.git"
        self.clone = folder / "clone"
        _run(folder, "clone", "-q", "--bare", str(server.folder), str(self.bare))
        _run(folder, "clone", "-q", str(self.bare), str(self.clone))
        server.git("remote", "add", "origin", str(self.bare))
        server.git("fetch", "-q", "origin")
        server.git("branch", "-q", "--set-upstream-to", f"origin/{self.branch}")

    @property
    def branch(self) -> str:
        return _run(self.clone, "symbolic-ref", "--short", "HEAD")

    def git(self, *arguments: str) -> str:
        """Run git in the clone."""
        return _run(self.clone, *arguments)

    def at_remote(self, *arguments: str) -> str:
        """Run git in the bare repository."""
        return _run(self.bare, *arguments)

    def commit(self, text: str, message: str = "Change the wish") -> str:
        """Commit a text of the state file and push it; gives the commit."""
        self.git("pull", "-q", "--ff-only")
        (self.clone / "state" / "active.yaml").write_text(text)
        self.git("commit", "-q", "-am", message)
        return self.push()

    def push(self) -> str:
        self.git("push", "-q", "origin", "HEAD")
        return self.git("rev-parse", "HEAD")

    def deploy(self) -> str:
        """Bring the server's folder to the newest commit, whatever it has; gives the commit."""
        self.server.git("fetch", "-q", "origin")
        self.server.git("reset", "-q", "--hard", f"origin/{self.branch}")
        return self.server.git("rev-parse", "HEAD")


def _run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()
